"""Find the enrollments that a registrar should check in Qmlativ.

The rules are in `enrollments` and `status`, the fix for each problem is in `tables.worklist`, and the list is
stored by `warehouse`.

A no-show (never effective) is no problem. The only thing about a person in the list is the student number.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.tables import worklist as problems
from samegoal_pipelines.tables.vocabulary import GRADUATED_CODE, UNCERTAIN
from samegoal_pipelines.transforms.columns import (
    EPOCH,
    MISSING,
    NO_DAY,
    NOWHERE,
    Columns,
    RowIndex,
    best_row_of,
    columns_of,
    days,
    flags,
    frame_of,
    ids,
    present,
    storable,
    take,
    take_text,
)
from samegoal_pipelines.transforms.enrollments import window_start
from samegoal_pipelines.transforms.status import PAST, UPCOMING, deciding_order

# A school closes its year with a code if at least this share of the year's enrollments, and at least this
# many, end on one day with that code.
YEAR_END_SHARE = 0.5
YEAR_END_ENROLLMENTS = 20

SETTLED_AFTER = timedelta(days=30)
GONE = "no longer in Qmlativ"

# What the snapshot takes from the deciding enrollment: column → its name for people.
_PUBLISHED = {"school_id": "school", "entity_id": "entity", "withdrawal_code": "withdrawal code"}

# What should not change any more long after an enrollment ended → its name for people.
_SETTLED = {
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

_LISTED = ("student_id", "enrollment_id", "building", "building_reporting_id")


def list_problems(
    raw_enrollments: Mapping[str, pd.DataFrame],
    raw_students: Mapping[str, pd.DataFrame],
    enrollments: pd.DataFrame,
    excluded: pd.DataFrame,
    statuses: pd.DataFrame,
    uncertain: pd.DataFrame,
    today: date,
    published: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """The registrar's worklist (`tables.worklist.REGISTRAR_WORKLIST`), by school, problem and student.

    Takes both frames of `filter_enrollments` and both of `classify_students`, computed from `raw_enrollments`
    for `today`. Student numbers are those of the latest year in `raw_students`.

    Args:
        published: both frames of `filter_enrollments` of the last published night before. None: there is
            nothing to compare with.
    """
    counted, unused, decided = columns_of(enrollments), columns_of(excluded), columns_of(statuses)
    found = [
        _never_closed(unused, columns_of(raw_enrollments["SchoolYear"])),
        _upcoming_after_withdrawal(counted, decided, today),
        _cecs_only(unused, counted),
        _ties(counted, decided, today),
        *_quarantined(unused, columns_of(raw_enrollments["EntryWithdrawal"]), columns_of(uncertain)),
        _flagged_without_code(counted),
        _possible_duplicates(raw_students, decided),
    ]
    if published is not None:
        before = _together(columns_of(published["enrollments"]), columns_of(published["excluded"]))
        found.append(_the_past_moved(before, _together(counted, unused), today))
    return _in_order(pa.concat_tables(found), columns_of(raw_students["Student"]))


# -- the problems --


def _never_closed(excluded: Columns, years: Columns) -> pa.Table:
    """Open enrollments of school years that are over."""
    rows = _with_reason(excluded, "never_closed")
    keys = ids(years["SchoolYearID"])
    named = best_row_of(
        ids(excluded["school_year_id"])[rows], keys, present(years["Description"]), [np.arange(len(keys))]
    )
    school_year = take(storable(years["Description"]), named)
    detail = _joined(_period(excluded, rows), ", never ended, school year ", school_year)
    return _listed(problems.NEVER_CLOSED, excluded, rows, detail)


def _upcoming_after_withdrawal(counted: Columns, statuses: Columns, today: date) -> pa.Table:
    """Upcoming enrollments that keep students ENROLLED who have left.

    The student is between two enrollments, and the last one ended with a withdrawal code, unless the school
    closes its year with that code for everybody. Graduates (01) are always listed.
    """
    when, order = deciding_order(counted, today)
    student = ids(counted["student_id"])
    between = pc.equal(statuses["reason"], "between_enrollments").to_numpy(zero_copy_only=False)
    students = ids(statuses["student_id"])[between]
    last = best_row_of(students, student, when == PAST, order)
    left = (present(counted["withdrawal_code"]) & ~_closes_the_year(counted))[last]
    students, last = students[left], last[left]

    upcoming = np.flatnonzero(when == UPCOMING)
    at = RowIndex(students, "student_id").find(student[upcoming])
    rows, last = upcoming[at != NOWHERE], last[at[at != NOWHERE]]
    detail = _joined(
        _period(counted, rows),
        "; left after ",
        take(counted["last_day"], last).cast(pa.string()),
        " with code ",
        take_text(counted["withdrawal_code"], last),
    )
    return _listed(problems.UPCOMING_AFTER_WITHDRAWAL, counted, rows, detail)


def _closes_the_year(counted: Columns) -> np.ndarray:
    """Whether most enrollments of the same school and year end on the same day with the same code."""
    codes = counted["withdrawal_code"]
    ends = pd.DataFrame({name: ids(counted[name]) for name in ("school_id", "school_year_id")})
    of_school = ends.groupby([*ends]).transform("size")
    ends["day"], ends["code"] = days(counted["last_day"]), codes.indices.fill_null(-1).to_numpy()
    alike = ends.groupby([*ends]).transform("size")
    usual = (alike >= YEAR_END_ENROLLMENTS) & (alike >= YEAR_END_SHARE * of_school)
    return np.asarray(usual & (ends["code"] != pc.index(codes.dictionary, GRADUATED_CODE).as_py()))


def _cecs_only(excluded: Columns, counted: Columns) -> pa.Table:
    """The latest enrollment of each student who only has cross-entity course enrollments."""
    student = ids(excluded["student_id"])
    cecs = np.zeros(len(student), bool)
    cecs[_with_reason(excluded, "cecs")] = True
    cecs &= ~np.isin(student, np.concatenate([student[~cecs], ids(counted["student_id"]), [MISSING]]))
    students, number = np.unique(student[cecs], return_counts=True)
    order = [days(excluded["first_day"]), ids(excluded["enrollment_id"])]
    rows = best_row_of(students, student, cecs, order)
    noun = pc.if_else(pa.array(number == 1), " enrollment", " enrollments")
    texts = pa.array(number).cast(pa.string())
    detail = _joined(texts, noun, ", all CECS; the latest ", _period(excluded, rows))
    return _listed(problems.CECS_ONLY, excluded, rows, detail)


def _ties(counted: Columns, statuses: Columns, today: date) -> pa.Table:
    """Enrollments that lose to the deciding one only because of its higher id."""
    order = deciding_order(counted, today)[1][:-1]
    deciding = RowIndex(ids(counted["enrollment_id"]), "enrollment_id").find(ids(statuses["enrollment_id"]))
    at = RowIndex(ids(statuses["student_id"]), "student_id").find(ids(counted["student_id"]))
    rival = np.append(deciding, NOWHERE)[at]
    rows = np.flatnonzero((rival != NOWHERE) & (rival != np.arange(len(rival))))
    for field in order:
        rows = rows[field[rows] == field[rival[rows]]]
    rival = rival[rows]
    detail = _joined(
        _period(counted, rows),
        "; enrollment ",
        take(counted["enrollment_id"], rival).cast(pa.string()),
        " decided only because its id is higher; they differ in: ",
        _differing(counted, rows, counted, rival, _PUBLISHED, "nothing"),
    )
    return _listed(problems.TIE, counted, rows, detail)


def _quarantined(excluded: Columns, entries: Columns, uncertain: Columns) -> Iterator[pa.Table]:
    """Quarantined rows, by reason."""
    in_doubt = RowIndex(ids(uncertain["student_id"]), "student_id")
    for reason in UNCERTAIN:
        rows = _with_reason(excluded, reason)
        carried_over = pa.array(in_doubt.find(ids(excluded["student_id"])[rows]) != NOWHERE)
        consequence = pc.if_else(carried_over, "; the student is carried over as last published", "")
        detail = _joined(_period(excluded, rows), _oddness(reason, excluded, rows, entries), consequence)
        yield _listed(problems.quarantined_as(reason), excluded, rows, detail)


def _oddness(reason: str, excluded: Columns, rows: np.ndarray, entries: Columns) -> pa.Array | str:
    """Which field or id a row was quarantined for, never a field's value."""
    if not len(rows):
        return ""
    keys = ids(entries["EntryWithdrawalID"])
    at = best_row_of(ids(excluded["enrollment_id"])[rows], keys, keys != MISSING, [np.arange(len(keys))])
    if reason == "unreadable":
        fields = (json.loads(text or "{}") for text in take(entries["Unreadable"], at).to_pylist())
        named = [", ".join(sorted(each)) or "EntryWithdrawalID" for each in fields]
        return _joined("; unreadable: ", pa.array(named, pa.string()))
    if reason in _ODD_ID:
        field = _ODD_ID[reason]
        return _joined(f"; {field} ", take(entries[field], at).cast(pa.string()))
    return ""


def _flagged_without_code(counted: Columns) -> pa.Table:
    """Counted enrollments that Qmlativ flags as cross-entity course enrollments."""
    rows = np.flatnonzero(flags(counted["is_cross_entity_course"]))
    return _listed(problems.FLAGGED_WITHOUT_CODE, counted, rows, _period(counted, rows))


def _possible_duplicates(raw_students: Mapping[str, pd.DataFrame], statuses: Columns) -> pa.Table:
    """Students with a status who share a number, a state id, or both name and birth date with another one."""
    table = ids(statuses["student_id"])
    records = raw_students["Student"].sort_values("SchoolYearIDAsked", kind="stable")
    records = records[records["StudentID"].isin(table)].drop_duplicates("StudentID", keep="last")
    names = raw_students["Name"].dropna(subset="NameID").drop_duplicates("NameID")
    people = records.merge(names, on="NameID", how="left", validate="many_to_one")
    shared: dict[int, list[str]] = {}
    for what, columns in _IDENTITY.items():
        known = people.dropna(subset=columns)
        keys = known[columns].astype(str).apply(lambda values: values.str.strip().str.casefold())
        keys = keys[(keys != "").all(axis=1)]
        keys = keys[keys.duplicated(keep=False)]
        for _, group in known["StudentID"].loc[keys.index].groupby([keys[name] for name in columns]):
            for student in group:
                others = ", ".join(str(other) for other in group if other != student)
                shared.setdefault(int(student), []).append(f"same {what} as StudentID {others}")
    rows = np.flatnonzero(np.isin(table, list(shared)))
    detail = pa.array(["; ".join(shared[student]) for student in table[rows].tolist()], pa.string())
    return _listed(problems.POSSIBLE_DUPLICATE, statuses, rows, detail)


def _the_past_moved(before: Columns, now: Columns, today: date) -> pa.Table:
    """Enrollments that ended long ago and have changed, as they were in the published night.

    Counted and excluded rows are compared, because a new code or date may exclude a row. Rows that cannot be
    relied on and enrollments of entities that did not count are not. A row that is gone is a change if the
    import window still needs it and its school year was read tonight: other rows of older years are no
    longer asked for.
    """
    key, last_day = ids(before["enrollment_id"]), days(before["last_day"])
    settled = (last_day < (today - SETTLED_AFTER - EPOCH).days) & (last_day != NO_DAY) & (key != MISSING)
    settled[_with_reason(before, *UNCERTAIN, "entity_not_included")] = False
    rows = np.flatnonzero(settled)

    now_key = ids(now["enrollment_id"])
    reliable = now_key.copy()
    reliable[_with_reason(now, *UNCERTAIN)] = MISSING
    at = RowIndex(reliable, "enrollment_id").find(key[rows])
    gone = (
        ~np.isin(key[rows], now_key)
        & (last_day[rows] >= (window_start(today) - EPOCH).days)
        & np.isin(ids(before["school_year_id"])[rows], ids(now["school_year_id"]))
    )
    differing = _differing(before, rows, now, at, _SETTLED, "")
    moved = gone | ((at != NOWHERE) & pc.not_equal(differing, "").to_numpy(zero_copy_only=False))
    changed = pc.if_else(pa.array(gone), GONE, differing).filter(pa.array(moved))
    rows = rows[moved]
    detail = _joined("was ", _period(before, rows), "; changed since the last published night: ", changed)
    return _listed(problems.THE_PAST_MOVED, before, rows, detail)


# -- helpers --


def _together(counted: Columns, excluded: Columns) -> dict[str, pa.Array]:
    """Counted and excluded rows in one table, with the reason of those that are excluded."""
    parts = [{**counted, "reason": pa.nulls(len(counted["student_id"]), pa.string())}, excluded]
    names = {*_LISTED, *_SETTLED, "school_year_id", "reason"}
    return {name: pa.concat_arrays([_plain(part[name]) for part in parts]) for name in names}


def _plain(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _with_reason(excluded: Columns, *reasons: str) -> np.ndarray:
    """The rows with one of these reasons."""
    found = pc.is_in(_plain(excluded["reason"]), pa.array(reasons))
    return np.flatnonzero(found.to_numpy(zero_copy_only=False))


def _differing(
    one: Columns,
    rows: np.ndarray,
    other: Columns,
    other_rows: np.ndarray,
    columns: Mapping[str, str],
    nothing: str,
) -> pa.Array:
    """The names of the columns in which two rows differ, or `nothing`. Null equals null only."""
    parts = []
    for column, name in columns.items():
        pair = (take_text(one[column], rows), take_text(other[column], other_rows))
        differs = pc.coalesce(pc.not_equal(*pair), pc.xor(*map(pc.is_null, pair)))
        parts.append(pc.if_else(differs, f", {name}", ""))
    names = _joined(*parts)
    return pc.if_else(pc.equal(names, ""), nothing, pc.utf8_slice_codeunits(names, 2))


def _period(table: Columns, rows: np.ndarray) -> pa.Array:
    """`from 2026-08-12 to 2026-09-30` of each row."""
    first = take(table["first_day"], rows).cast(pa.string()).fill_null("an unknown day")
    last = _joined(" to ", take(table["last_day"], rows).cast(pa.string()))
    ended = pa.array(days(table["last_day"])[rows] != NO_DAY)
    return _joined("from ", first, pc.if_else(ended, last, ""))


def _joined(*parts: pa.Array | str) -> pa.Array:
    """The parts of each row joined. Null means unknown."""
    return pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="unknown")


def _listed(problem: str, table: Columns, rows: np.ndarray, detail: pa.Array) -> pa.Table:
    columns = {name: take_text(table[name], rows) for name in _LISTED}
    return pa.table(columns | {"problem": pa.repeat(problem, len(rows)), "detail": detail})


def _in_order(listed: pa.Table, students: Columns) -> pd.DataFrame:
    """One row per problem, student and enrollment, with the fix and the student number.

    By school (none last), problem, student and enrollment. Of several rows, the first one with their number.
    """
    rest = ("building", "building_reporting_id", "detail")
    grouped = listed.group_by(["problem", "student_id", "enrollment_id"], use_threads=False)
    whole = pc.ScalarAggregateOptions(skip_nulls=False)  # or a row would get the school of another row
    table = grouped.aggregate([*((name, "first", whole) for name in rest), ("detail", "count")])
    table = table.append_column("place", pc.index_in(table["problem"], pa.array(problems.PROBLEMS)))
    by = ("building_first", "place", "student_id", "enrollment_id")
    table = table.sort_by([(name, "ascending") for name in by]).combine_chunks()
    several = _joined(table["detail_first"], " (", table["detail_count"].cast(pa.string()), " rows)")
    numbered, year = present(students["StudentNumber"]), ids(students["SchoolYearIDAsked"])
    latest = best_row_of(ids(table["student_id"]), ids(students["StudentID"]), numbered, [year])
    columns = {
        **{name: table[name] for name in ("problem", "student_id", "enrollment_id")},
        **{name: table[f"{name}_first"] for name in rest},
        "detail": pc.if_else(pc.equal(table["detail_count"], 1), table["detail_first"], several),
        "fix": pa.array(problems.FIX.values()).take(table["place"]),
        "student_number": take(storable(students["StudentNumber"]), latest),
    }
    return frame_of({name: columns[name] for name in problems.REGISTRAR_WORKLIST.names})
