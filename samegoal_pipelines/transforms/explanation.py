"""Explain a student's status, or why there is none: the outcome of each enrollment, and which one decided.

No rule lives here. The functions that publish decide outcome, status, enrollment and building, so an
explanation cannot differ from what is published. Who was published before is known to the warehouse only.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.enrollments import STUDENT_STATUS
from samegoal_pipelines.tables.vocabulary import (
    CECS_ONLY,
    ENTITY_NOT_INCLUDED,
    EXCLUDED,
    LEFT_WINDOW,
    NEVER_EFFECTIVE_ONLY,
    NO_ROWS,
    QUARANTINED,
    ROWS_UNREADABLE,
    RULES,
)
from samegoal_pipelines.transforms.columns import (
    NOWHERE,
    columns_of,
    frame_from,
    ids,
    records_of,
)
from samegoal_pipelines.transforms.demographics import student_tables
from samegoal_pipelines.transforms.enrollments import (
    FilteredEnrollments,
    filter_enrollments,
    find_school_rows,
    rows_of_students,
    window_start,
)
from samegoal_pipelines.transforms.status import UPCOMING, classify_students, deciding_order

WHEN = ("past", "upcoming", "current")  # in the order of PAST, UPCOMING, CURRENT

# Why one enrollment takes precedence over another of its kind, by the first field in which they differ.
_PRECEDENCE = {
    "last_day": "it ended last",
    "default_entity": "it is at the default entity",
    "first_day": "it began last",
    "enrollment_id": "its id is the highest",
}


# The last matching reason in this table explains the absence: an enrollment that once counted says more than
# one that never did. A student without any of these reasons is uncertain or has a status.
_EXPLAINED_BY = {
    "never_effective": NEVER_EFFECTIVE_ONLY,
    "cecs": CECS_ONLY,
    "entity_not_included": ENTITY_NOT_INCLUDED,
    "never_closed": LEFT_WINDOW,
    "outside_window": LEFT_WINDOW,
}


@dataclass(frozen=True)
class SeenEnrollment:
    """One row of EntryWithdrawal and its outcome."""

    enrollment_id: int | None
    school_year: str | None
    entity_id: int | None
    is_default_entity: bool
    school: str | None
    first_day: date | None
    last_day: date | None
    withdrawal_code: str | None
    unreadable: tuple[str, ...]
    """Names of the unreadable fields."""
    outcome: str
    """counted, excluded, quarantined or repeated."""
    reason: str
    """current, upcoming or past; why it does not count; or repeat."""
    words: str
    decides: bool


@dataclass(frozen=True)
class Explanation:
    """One student's enrollments and the result: `decision`, `uncertain` or `absent`."""

    student_id: int
    night: date
    window_start: date
    enrollments: tuple[SeenEnrollment, ...]
    decision: dict[str, Any] | None
    """The row of `student_status` without the student, and `rule`, `rule_words`, `why_this_enrollment` and
    `why_this_building`."""
    uncertain: tuple[str, ...]
    """The quarantine reasons that leave the status in doubt."""
    absent: str | None
    """Why there is no status, in the words of the table `departures`."""

    def sentences(self) -> list[str]:
        """The result as sentences for people."""
        window = f"the import window of {self.night} begins on {self.window_start}"
        if found := self.decision:
            return [
                f"rule {found['rule']}: {found['rule_words']} ({found['reason']})",
                f"enrollment {found['enrollment_id']} decides: {found['why_this_enrollment']}",
                f"building: {found['building'] or 'none'}; {found['why_this_building']}",
                window,
            ]
        if self.uncertain:
            rows = counted(sum(one.outcome == "quarantined" for one in self.enrollments), "row")
            return [
                f"uncertain: {rows} cannot be relied on ({', '.join(self.uncertain)}), and no sound one "
                "makes the student currently enrolled; the last published rows are carried over, because "
                "unreadable is not gone",
                window,
            ]
        return [f"no status: {self.absent}", window]


def explain_absences(excluded: pd.DataFrame, statuses: pd.DataFrame, uncertain: pd.DataFrame) -> pd.DataFrame:
    """Explain every student who has enrollments and no status: student_id and `why`, ordered by student.

    Takes `excluded` of `filter_enrollments` and both frames of `classify_students`. An uncertain student is
    carried over, so `rows unreadable` only applies if nothing was published before.
    """
    students, reasons = excluded[["student_id"]], excluded["reason"]
    causes = [students[reasons == reason].assign(why=why) for reason, why in _EXPLAINED_BY.items()]
    found = pd.concat([*causes, uncertain[["student_id"]].assign(why=ROWS_UNREADABLE)])
    found = found[~found["student_id"].isin(statuses["student_id"])].dropna()
    found = found.drop_duplicates("student_id", keep="last").sort_values("student_id", ignore_index=True)
    return found.astype({"why": pd.ArrowDtype(pa.string())})


def explain_students(
    raw: Mapping[str, pd.DataFrame], students: Iterable[int], today: date
) -> list[Explanation]:
    """Explain these students as of `today`, from `raw_enrollments` (Qmlativ object → frame), in their order.

    Raises ValueError as `filter_enrollments` does.
    """
    return [_explain(raw, student, today) for student in students]


def _explain(raw: Mapping[str, pd.DataFrame], student: int, today: date) -> Explanation:
    raw = rows_of_students(raw, [student])
    filtered = filter_enrollments(raw, today)
    statuses, uncertain = classify_students(filtered.enrollments, filtered.excluded, today)
    absent = explain_absences(filtered.excluded, statuses, uncertain)
    status, doubt, why = (
        next(iter(_rows_of(student, frame)), None) for frame in (statuses, uncertain, absent)
    )
    return Explanation(
        student_id=student,
        night=today,
        window_start=window_start(today),
        enrollments=tuple(_seen(raw, student, filtered, status, today)),
        decision=_decision(raw, filtered.enrollments, status, today) if status else None,
        uncertain=tuple(doubt["reasons"].split(",")) if doubt else (),
        absent=None if status or doubt else why["why"] if why else NO_ROWS,
    )


def numbers_on_record(
    raw: Mapping[str, pd.DataFrame], explained: Iterable[Explanation]
) -> dict[int, str | None]:
    """The student number of each decided status, from `raw_students` (Qmlativ object → frame).

    A student without an entry has no usable record in Student and Name, and is carried over.
    """
    decided = [{"student_id": one.student_id} | one.decision for one in explained if one.decision]
    known = student_tables(raw, frame_from(decided, STUDENT_STATUS.arrow_types))["student_demographics"]
    return {row["student_id"]: row["student_number"] for row in records_of(known)}


def _rows_of(student: int, frame: pd.DataFrame, key: str = "student_id") -> list[dict[str, Any]]:
    return records_of(frame[frame[key] == student])


def _seen(
    raw: Mapping[str, pd.DataFrame],
    student: int,
    filtered: FilteredEnrollments,
    status: Mapping[str, Any] | None,
    today: date,
) -> Iterator[SeenEnrollment]:
    """The student's rows in Qmlativ's order, as the filtered ones are. Each counted row has its own id."""
    when = deciding_order(columns_of(filtered.enrollments), today)["when"]
    counted = {
        row["enrollment_id"]: row | {"outcome": "counted", "reason": WHEN[kind]}
        for row, kind in zip(records_of(filtered.enrollments), when, strict=True)
    }
    others, years = iter(_rows_of(student, filtered.excluded)), _year_names(raw)
    before: dict[tuple[Any, ...], SeenEnrollment] = {}
    for entry in _rows_of(student, raw["EntryWithdrawal"], "StudentID"):
        content = tuple(entry.values())
        if content in before:
            words = "a repeat of another row, counted once with it"
            yield replace(before[content], outcome="repeated", reason="repeat", words=words, decides=False)
            continue
        row = counted.get(entry["EntryWithdrawalID"]) or next(others)
        unreadable = tuple(json.loads(entry["Unreadable"] or "{}"))
        before[content] = SeenEnrollment(
            enrollment_id=row["enrollment_id"],
            school_year=years.get(row["school_year_id"]),
            entity_id=row["entity_id"],
            is_default_entity=row["is_default_entity"],
            school=row["building"],
            first_day=row["first_day"],
            last_day=row["last_day"],
            withdrawal_code=row["withdrawal_code"],
            unreadable=unreadable,
            outcome=row["outcome"],
            reason=row["reason"],
            words=_fate(row, unreadable, today),
            decides=bool(status and row["enrollment_id"] == status["enrollment_id"]),
        )
        yield before[content]


def _fate(row: Mapping[str, Any], unreadable: tuple[str, ...], today: date) -> str:
    reason = row["reason"]
    if row["outcome"] == "counted":
        return f"counted as {reason}"
    details = {
        "outside_window": f" (before {window_start(today)})",
        "unreadable": f" ({', '.join(unreadable) or 'its id'})",
    }
    return f"{row['outcome']}: {(EXCLUDED | QUARANTINED)[reason].sentence}{details.get(reason, '')}"


def _year_names(raw: Mapping[str, pd.DataFrame]) -> dict[int, str]:
    return {
        row["SchoolYearID"]: row["Description"] or str(row["NumericYear"] or row["SchoolYearID"])
        for row in records_of(raw["SchoolYear"])
    }


def _decision(
    raw: Mapping[str, pd.DataFrame], counted: pd.DataFrame, status: Mapping[str, Any], today: date
) -> dict[str, Any]:
    order = deciding_order(columns_of(counted), today)
    first = int(np.flatnonzero(order["enrollment_id"] == status["enrollment_id"])[0])
    return {
        **{name: value for name, value in status.items() if name != "student_id"},
        "rule": list(RULES).index(status["reason"]) + 1,
        "rule_words": RULES[status["reason"]].sentence,
        "why_this_enrollment": _why_first(first, order),
        "why_this_building": _why_building(raw, counted.iloc[[first]]),
    }


def _why_first(first: int, order: Mapping[str, np.ndarray]) -> str:
    """Why this enrollment takes precedence over the others of its kind, by the first field that differs."""
    when, numbers = order["when"], order["enrollment_id"]
    kind, tied = WHEN[when[first]], when == when[first]
    reasons = _PRECEDENCE | ({"first_day": "it begins first"} if when[first] == UPCOMING else {})
    parts = []
    for field, values in order.items():
        alike = values == values[first]
        if beaten := sorted(numbers[tied & ~alike].tolist()):
            parts.append(f"over {', '.join(map(str, beaten))} because {reasons[field]}")
        tied = tied & alike
    return f"of the {kind} ones, {'; '.join(parts)}" if parts else f"it is the only {kind} one"


def _why_building(raw: Mapping[str, pd.DataFrame], deciding: pd.DataFrame) -> str:
    row, schools = columns_of(deciding), columns_of(raw["School"])
    if row["school_id"].null_count:
        return "the enrollment names no school"
    (found,) = find_school_rows(schools, ids(row["school_id"]), ids(row["school_year_id"]))
    if found == NOWHERE:
        return "no school year lists its school"
    listed = schools["SchoolYearID"][int(found)].as_py()
    year = _year_names(raw).get(listed, listed)
    if listed == row["school_year_id"][0].as_py():
        return f"its school as listed for its school year, {year}"
    return f"its school is not listed for its school year; {year} is the latest that lists it"


# -- absent students: one cause, one next step --


class Cause(NamedTuple):
    """Why a student is absent, and what to do."""

    name: str
    sentence: str
    next_step: str


_NOTHING = "nothing, if that is right"
_BY_DEPARTURE = {
    LEFT_WINDOW: Cause(
        "outside the window",
        "the last enrollment ended more than a year ago",
        f"{_NOTHING}; else correct EndDate, or add the new enrollment, in Entry/Withdrawal",
    ),
    CECS_ONLY: Cause(
        "CECS only",
        "every enrollment is a cross-entity course enrollment (CECS), which never counts",
        f"{_NOTHING}; a student of this district needs an enrollment at the home campus in Entry/Withdrawal",
    ),
    ENTITY_NOT_INCLUDED: Cause(
        "entity not included",
        "every enrollment is at an entity whose enrollments do not count",
        f"{_NOTHING}; else include the entity: samegoal-pipelines districts set ID --entities …",
    ),
    NEVER_EFFECTIVE_ONLY: Cause(
        "never effective",
        "every enrollment ends before it begins (a no-show)",
        f"{_NOTHING}; if the student came, correct StartDate and EndDate in Entry/Withdrawal",
    ),
    NO_ROWS: Cause(
        "no enrollment",
        "Qmlativ returned no enrollment: there is none, or it ended long before the import window",
        "add the enrollment in Entry/Withdrawal; it may be under another record of the same student",
    ),
    ROWS_UNREADABLE: Cause(
        "quarantined",
        "the enrollments cannot be relied on, and nothing was published before",
        "see the registrar's worklist: samegoal-pipelines worklist ID",
    ),
}
"""Why a student has no row, in the words of the table `departures` → the cause."""
NEVER_CLOSED = Cause(
    "never closed",
    "the enrollment is still open in a school year that is over",
    "enter EndDate and the withdrawal code in Entry/Withdrawal; if the student is still here, add the "
    "enrollment of the current school year",
)
NOT_IN_QMLATIV = Cause(
    "not in Qmlativ",
    "Qmlativ has neither the student nor an enrollment any more",
    "look for the student under another number: of two records that were merged, one stays",
)
NO_RECORD = Cause(
    "no Student or Name row",
    "Student and Name have no row of the student that can be read, and nothing was published before",
    "open the student in Qmlativ and save the profile again; report it to Skyward if that does not help",
)
CHANGED_SINCE = Cause(
    "changed since",
    "the rows of that night give a status today: rules, or what was landed, changed after it was published",
    "run the night again: samegoal-pipelines sync ID",
)


def absence_of(
    explanation: Explanation | None, *, has_record: bool, in_qmlativ: bool, departed_as: str | None
) -> Cause:
    """Why a student is absent.

    Args:
        explanation: of the landed rows. None if they are gone.
        has_record: whether Student and Name have a row that can be read.
        in_qmlativ: whether the object Student has the student at all.
        departed_as: why the student left, in the words of the table `departures`, if ever published.
    """
    if explanation is None:
        return _BY_DEPARTURE[departed_as or NO_ROWS]
    if explanation.decision is not None:
        return CHANGED_SINCE if has_record else NO_RECORD
    if explanation.uncertain:
        doubt = explanation.uncertain[0]
        known = [one.enrollment_id for one in explanation.enrollments if one.reason == doubt]
        which = f"enrollment {known[0]}" if known and known[0] else "an enrollment"
        sentence = f"{which} cannot be relied on: {QUARANTINED[doubt].sentence}; nothing was published before"
        return Cause("quarantined", sentence, QUARANTINED[doubt].fix)
    if explanation.absent == NO_ROWS and not in_qmlativ:
        return NOT_IN_QMLATIV
    if explanation.absent == LEFT_WINDOW:
        windowed = [
            one for one in explanation.enrollments if one.reason in ("outside_window", "never_closed")
        ]
        if max(windowed, key=lambda one: one.first_day or date.min).reason == "never_closed":
            return NEVER_CLOSED
    return _BY_DEPARTURE[explanation.absent or NO_ROWS]
