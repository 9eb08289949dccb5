"""Find the enrollments that a registrar should check in Qmlativ.

The rules are in `enrollments` and `status`, and the fix for each problem is in `tables.worklist`. A no-show
(never effective) is no problem. The only thing about a person in the list is the student number.
"""

import json
from datetime import date, timedelta

import pandas as pd
import pyarrow as pa

from samegoal_pipelines.tables import worklist as problems
from samegoal_pipelines.tables.vocabulary import GRADUATED_CODE, UNCERTAIN
from samegoal_pipelines.transforms.columns import Frames, columns_of
from samegoal_pipelines.transforms.enrollments import cecs_only, window_start
from samegoal_pipelines.transforms.explanation import year_names
from samegoal_pipelines.transforms.status import PAST, UPCOMING, deciding_order

# A school closes its year with a code if at least this share of the year's enrollments, and at least this
# many, end on one day with that code.
YEAR_END_SHARE = 0.5
YEAR_END_ENROLLMENTS = 20

SETTLED_AFTER = timedelta(days=30)
GONE = "no longer in Qmlativ"

# The columns in which two enrollments are compared → their names for people.
_COMPARED = {
    "first_day": "first day",
    "last_day": "last day",
    "withdrawal_code": "withdrawal code",
    "school_id": "school",
    "entity_id": "entity",
}

# What only one student should have → the fields of Student and Name.
_IDENTITY = {
    "student number": ["StudentNumber"],
    "state id": ["CalculatedStudentStateID"],
    "name and birth date": ["FirstName", "LastName", "BirthDate"],
}

# The id that a quarantined row names and no list knows.
_ODD_ID = {"unknown_withdrawal_code": "WithdrawalCodeID", "no_school_year": "SchoolYearID"}

_LISTED = ["student_id", "enrollment_id", "building", "building_reporting_id"]
_TEXT = pd.ArrowDtype(pa.string())


def list_problems(
    raw_enrollments: Frames,
    raw_students: Frames,
    filtered: Frames,
    classified: Frames,
    today: date,
    published: Frames | None = None,
) -> pd.DataFrame:
    """The registrar's worklist (`tables.worklist.REGISTRAR_WORKLIST`), by school, problem and student.

    Takes what the assets of the night landed, and `filtered` of the last published night, if there is one.
    Student numbers are those of the latest year in `raw_students`.
    """
    counted, unused = _with_plain_texts(filtered)
    statuses, uncertain = classified["student_status"], classified["uncertain"]
    found = [
        _never_closed(unused, raw_enrollments),
        _upcoming_after_withdrawal(counted, statuses, today),
        _cecs_only(unused, counted),
        _ties(counted, statuses, today),
        *(
            _quarantined(reason, unused, raw_enrollments["EntryWithdrawal"], uncertain)
            for reason in UNCERTAIN
        ),
        _flagged_without_code(counted),
        _possible_duplicates(raw_students, statuses),
    ]
    if published is not None:
        before = pd.concat(_with_plain_texts(published))
        found.append(_the_past_moved(before, pd.concat([counted, unused]), today))
    return _in_order(pd.concat(found, ignore_index=True), raw_students["Student"])


# -- the problems --


def _never_closed(excluded: pd.DataFrame, raw: Frames) -> pd.DataFrame:
    """Open enrollments of school years that are over."""
    rows = excluded[excluded["reason"] == "never_closed"]
    year = rows["school_year_id"].map(year_names(raw)).astype(_TEXT)
    return _listed(problems.NEVER_CLOSED, rows, _period(rows) + ", never ended, school year " + year)


def _upcoming_after_withdrawal(counted: pd.DataFrame, statuses: pd.DataFrame, today: date) -> pd.DataFrame:
    """Upcoming enrollments that keep students ENROLLED who have left.

    The student is between two enrollments, and the last one ended with a withdrawal code, unless the school
    closes its year with that code for everybody. Graduates (01) are always listed.
    """
    between = statuses.loc[statuses["reason"] == "between_enrollments", "student_id"]
    theirs = counted[counted["student_id"].isin(between)]
    order = _order(theirs, today)
    last = theirs.loc[order[order["when"] == PAST].sort_values([*order]).index]
    last = last.drop_duplicates("student_id", keep="last")
    left = last[last["withdrawal_code"].notna() & ~_closes_the_year(counted)[last.index]]
    rows = theirs[order["when"] == UPCOMING].merge(
        left[["student_id", "last_day", "withdrawal_code"]], on="student_id", suffixes=("", "_left")
    )
    left_after = rows["last_day_left"].astype(_TEXT) + " with code " + rows["withdrawal_code_left"]
    detail = _period(rows) + "; left after " + left_after
    return _listed(problems.UPCOMING_AFTER_WITHDRAWAL, rows, detail)


def _closes_the_year(counted: pd.DataFrame) -> pd.Series:
    """Whether most enrollments of the same school and year end on the same day with the same code."""
    school = ["school_id", "school_year_id"]
    of_school, alike = (
        counted.groupby(by, dropna=False)["enrollment_id"].transform("size")
        for by in (school, [*school, "last_day", "withdrawal_code"])
    )
    usual = (alike >= YEAR_END_ENROLLMENTS) & (alike >= YEAR_END_SHARE * of_school)
    return usual & (counted["withdrawal_code"] != GRADUATED_CODE)


def _cecs_only(excluded: pd.DataFrame, counted: pd.DataFrame) -> pd.DataFrame:
    """The latest enrollment of each student who only has cross-entity course enrollments."""
    by = ["student_id", "first_day", "enrollment_id"]
    cecs = cecs_only(counted, excluded).sort_values(by, na_position="first")
    rows = cecs.drop_duplicates("student_id", keep="last")
    return _listed(problems.CECS_ONLY, rows, "every enrollment is CECS; the latest " + _period(rows))


def _ties(counted: pd.DataFrame, statuses: pd.DataFrame, today: date) -> pd.DataFrame:
    """Enrollments that lose to the deciding one only because of its higher id."""
    several = counted[counted.duplicated(["student_id", "first_day"], keep=False)]
    order = _order(several, today).drop(columns="enrollment_id").add_prefix("by_")
    ranked = several.join(order)
    deciding = ranked[ranked["enrollment_id"].isin(statuses["enrollment_id"])]
    rows = ranked.merge(deciding, on=["student_id", *order], suffixes=("", "_deciding"))
    rows = rows[rows["enrollment_id"] != rows["enrollment_id_deciding"]]
    differing = _differing(rows, "_deciding")
    detail = (
        _period(rows)
        + "; enrollment "
        + rows["enrollment_id_deciding"].astype(_TEXT)
        + " decided only because its id is higher; they differ in: "
        + differing.where(differing != "", "nothing")
    )
    return _listed(problems.TIE, rows, detail)


def _quarantined(
    reason: str, excluded: pd.DataFrame, entries: pd.DataFrame, uncertain: pd.DataFrame
) -> pd.DataFrame:
    """Rows that are quarantined for this reason, with the field or id, never with a field's value."""
    rows = excluded[excluded["reason"] == reason]
    detail = _period(rows)
    if reason == "unreadable":
        texts = _looked_up(rows["enrollment_id"], entries, "EntryWithdrawalID", "Unreadable").fillna("{}")
        fields = [", ".join(sorted(json.loads(text))) or "EntryWithdrawalID" for text in texts]
        detail += "; unreadable: " + pd.Series(fields, rows.index, _TEXT)
    elif field := _ODD_ID.get(reason):
        odd = _looked_up(rows["enrollment_id"], entries, "EntryWithdrawalID", field)
        detail += f"; {field} " + odd.astype(_TEXT).fillna("unknown")
    carried_over = rows["student_id"].isin(uncertain["student_id"])
    detail = detail.where(~carried_over, detail + "; the student is carried over as last published")
    return _listed(problems.quarantined_as(reason), rows, detail)


def _flagged_without_code(counted: pd.DataFrame) -> pd.DataFrame:
    """Counted enrollments that Qmlativ flags as cross-entity course enrollments."""
    rows = counted[counted["is_cross_entity_course"]]
    return _listed(problems.FLAGGED_WITHOUT_CODE, rows, _period(rows))


def _possible_duplicates(raw_students: Frames, statuses: pd.DataFrame) -> pd.DataFrame:
    """Students with a status who share a number, a state id, or both name and birth date with another one."""
    records = raw_students["Student"].sort_values("SchoolYearIDAsked", kind="stable")
    records = records[records["StudentID"].isin(statuses["student_id"])]
    records = records.drop_duplicates("StudentID", keep="last")
    names = raw_students["Name"].dropna(subset="NameID").drop_duplicates("NameID")
    people = records.merge(names, on="NameID", how="left", validate="many_to_one")
    shared: dict[int, list[str]] = {}
    for what, columns in _IDENTITY.items():
        keys = people[columns].dropna().astype(_TEXT)
        keys = keys.apply(lambda values: values.str.strip().str.casefold())
        keys = keys[(keys != "").all(axis=1)]
        keys = keys[keys.duplicated(keep=False)]
        for _, group in people["StudentID"].loc[keys.index].groupby([keys[name] for name in columns]):
            for student in group:
                others = ", ".join(str(other) for other in group if other != student)
                shared.setdefault(int(student), []).append(f"same {what} as StudentID {others}")
    rows = statuses[statuses["student_id"].isin(list(shared))]
    details = ["; ".join(shared[student]) for student in rows["student_id"]]
    return _listed(problems.POSSIBLE_DUPLICATE, rows, pd.Series(details, rows.index, _TEXT))


def _the_past_moved(before: pd.DataFrame, now: pd.DataFrame, today: date) -> pd.DataFrame:
    """Enrollments that ended long ago and have changed, as they were in the published night.

    Counted and excluded rows are compared, because a new code or date may exclude a row. Rows that cannot be
    relied on and enrollments of entities that did not count are not. A row that is gone is a change if the
    import window still needs it and its school year was read tonight: other rows of older years are no
    longer asked for.
    """
    settled = before[before["last_day"] < today - SETTLED_AFTER].dropna(subset="enrollment_id")
    settled = settled[~settled["reason"].isin([*UNCERTAIN, "entity_not_included"])]
    reliable = now[~now["reason"].isin(UNCERTAIN)].dropna(subset="enrollment_id")
    rows = settled.merge(
        reliable[["enrollment_id", *_COMPARED]],
        on="enrollment_id",
        how="left",
        suffixes=("", "_now"),
        validate="many_to_one",
    )
    gone = (
        ~rows["enrollment_id"].isin(now["enrollment_id"])
        & (rows["last_day"] >= window_start(today))
        & rows["school_year_id"].isin(now["school_year_id"])
    )
    there = rows["enrollment_id"].isin(reliable["enrollment_id"])
    changed = _differing(rows, "_now").where(there, "").where(~gone, GONE)
    rows, changed = rows[changed != ""], changed[changed != ""]
    detail = "was " + _period(rows) + "; changed since the last published night: " + changed
    return _listed(problems.THE_PAST_MOVED, rows, detail)


# -- helpers --


def _order(rows: pd.DataFrame, today: date) -> pd.DataFrame:
    """`deciding_order` of these rows."""
    return pd.DataFrame(deciding_order(columns_of(rows), today), rows.index)


def _with_plain_texts(filtered: Frames) -> list[pd.DataFrame]:
    """The counted and the excluded enrollments, with strings in place of dictionaries."""
    texts = {"building", "building_reporting_id", "withdrawal_code", "reason"}
    frames = (filtered["enrollments"], filtered["excluded"])
    return [frame.astype(dict.fromkeys(texts & {*frame}, _TEXT)) for frame in frames]


def _looked_up(keys: pd.Series, table: pd.DataFrame, key: str, field: str) -> pd.Series:
    """The table's field for each key, from the last row that has the key. Null if there is none."""
    rows = table.loc[table[key].isin(keys), [key, field]].dropna(subset=key).drop_duplicates(key, keep="last")
    return keys.to_frame(key).merge(rows, on=key, how="left")[field].set_axis(keys.index)


def _differing(rows: pd.DataFrame, other: str) -> pd.Series:
    """The names of the columns that differ from those with the suffix `other`. Null equals null only."""
    names = pd.Series("", rows.index, _TEXT)
    for column, name in _COMPARED.items():
        one, two = rows[column], rows[column + other]
        differs = (one != two).fillna(one.isna() != two.isna())
        if differs.any():
            names = names.where(~differs, names + f", {name}")
    return names.str.removeprefix(", ")


def _period(rows: pd.DataFrame) -> pd.Series:
    """`from 2026-08-12 to 2026-09-30` of each row."""
    first, last = (rows[name].astype(_TEXT) for name in ("first_day", "last_day"))
    return "from " + first.fillna("an unknown day") + (" to " + last).fillna("")


def _listed(problem: str, rows: pd.DataFrame, detail: pd.Series) -> pd.DataFrame:
    return rows[_LISTED].assign(problem=problem, detail=detail)


def _in_order(listed: pd.DataFrame, students: pd.DataFrame) -> pd.DataFrame:
    """One row per problem, student and enrollment, with the fix and the student number.

    By school (none last), problem, student and enrollment. Of several rows with one key, the first one.
    """
    listed = listed.drop_duplicates([*problems.REGISTRAR_WORKLIST.key])
    place, fix = (listed["problem"].map(which) for which in (problems.PROBLEMS.index, problems.FIX))
    listed = listed.assign(place=place, fix=fix)
    listed = listed.sort_values(["building", "place", "student_id", "enrollment_id"], ignore_index=True)
    numbered = students.dropna(subset="StudentNumber").sort_values("SchoolYearIDAsked", na_position="first")
    listed["student_number"] = _looked_up(listed["student_id"], numbered, "StudentID", "StudentNumber")
    types = {name: pd.ArrowDtype(kind) for name, kind in problems.REGISTRAR_WORKLIST.arrow_types.items()}
    listed = listed[[*types]].astype(types)
    texts = {name: listed[name].str.replace("\0", "") for name in ("detail", "student_number")}
    return listed.assign(**texts)
