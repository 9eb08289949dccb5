"""Explain a student's status: the outcome of each enrollment, and which one decided.

No rule lives here. The functions that publish run on the whole district and decide outcome, status,
enrollment and building, so an explanation cannot differ from what is published.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.vocabulary import (
    CECS_ONLY,
    ENTITY_NOT_INCLUDED,
    EXCLUDED,
    LEFT_WINDOW,
    NEVER_EFFECTIVE_ONLY,
    NO_ROWS,
    QUARANTINED,
    RULES,
)
from samegoal_pipelines.transforms.columns import NOWHERE, columns_of, frame_of, ids, records_of
from samegoal_pipelines.transforms.departures import explain_absences
from samegoal_pipelines.transforms.enrollments import (
    FilteredEnrollments,
    filter_enrollments,
    find_school_rows,
    window_start,
)
from samegoal_pipelines.transforms.status import (
    DECIDED_BY,
    UPCOMING,
    classify_students,
    deciding_order,
)
from samegoal_pipelines.transforms.students import build_student_demographics

WHEN = ("past", "upcoming", "current")  # in the order of PAST, UPCOMING, CURRENT

_REPEAT = "a repeat of another row, counted once with it"

_ABSENCES = {
    LEFT_WINDOW: "no status: no enrollment is within the import window any more",
    CECS_ONLY: "no status: there are only cross-entity course enrollments (CECS)",
    NEVER_EFFECTIVE_ONLY: "no status: no enrollment was ever effective",
    ENTITY_NOT_INCLUDED: "no status: no enrollment is at an entity whose enrollments count",
    NO_ROWS: "no status: Qmlativ has no enrollment of this student in the school years that were read",
}

# Why one enrollment takes precedence over another of its kind, by the first field in which they differ.
_PRECEDENCE = {
    "last_day": "it ended last",
    "default_entity": "it is at the default entity",
    "first_day": "it began last",
    "enrollment_id": "its id is the highest",
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
class Decision:
    """The status, the enrollment that decided it, and the building."""

    status: str
    reason: str
    rule: int
    rule_words: str
    enrollment_id: int
    why_this_enrollment: str
    first_day: date
    last_day: date | None
    withdrawal_code: str | None
    school_year_id: int | None
    entity_id: int | None
    building: str | None
    building_reporting_id: str | None
    why_this_building: str


@dataclass(frozen=True)
class Explanation:
    """One student's enrollments and the result: `decision`, `uncertain` or `absent`."""

    student_id: int
    night: date
    window_start: date
    enrollments: tuple[SeenEnrollment, ...]
    decision: Decision | None
    uncertain: tuple[str, ...]
    """The quarantine reasons that leave the status in doubt."""
    absent: str | None
    """Why there is no status, in the words of the table `departures`."""

    def sentences(self) -> list[str]:
        """The result as sentences for people."""
        window = f"the import window of {self.night} begins on {self.window_start}"
        if self.decision is not None:
            decision = self.decision
            return [
                f"rule {decision.rule}: {decision.rule_words} ({decision.reason})",
                f"enrollment {decision.enrollment_id} decides: {decision.why_this_enrollment}",
                f"building: {decision.building or 'none'}; {decision.why_this_building}",
                window,
            ]
        if self.uncertain:
            return [
                f"uncertain: {count_rows(self.enrollments, 'quarantined')} cannot be relied on "
                f"({', '.join(self.uncertain)}), and no sound one makes the student currently enrolled; "
                "the last published rows are carried over, because unreadable is not gone",
                window,
            ]
        return [_ABSENCES[self.absent or NO_ROWS], window]


def count_rows(seen: Collection[SeenEnrollment], outcome: str) -> str:
    """How many rows have this outcome, in words."""
    return counted(sum(one.outcome == outcome for one in seen), "row")


def explain_students(
    raw: Mapping[str, pd.DataFrame], students: Collection[int], today: date
) -> list[Explanation]:
    """Explain these students as of `today`, from `raw_enrollments` (Qmlativ object → frame), in their order.

    Raises ValueError as `filter_enrollments` does.
    """
    filtered = filter_enrollments(raw, today)
    statuses, uncertain = classify_students(filtered.enrollments, filtered.excluded, today)
    absent = explain_absences(filtered.excluded, statuses, uncertain)
    decided = {row["student_id"]: row for row in _rows_of(statuses, students)}
    doubts = {row["student_id"]: tuple(row["reasons"].split(",")) for row in _rows_of(uncertain, students)}
    why = {row["student_id"]: row["why"] for row in _rows_of(absent, students)}

    explained = []
    for student in students:
        status = decided.get(student)
        theirs = FilteredEnrollments(
            _of(filtered.enrollments, student), _of(filtered.excluded, student), filtered.repeated
        )
        seen = _seen(raw, theirs, student, today, status["enrollment_id"] if status else None)
        explained.append(
            Explanation(
                student_id=student,
                night=today,
                window_start=window_start(today),
                enrollments=tuple(seen),
                decision=_decision(raw, theirs.enrollments, status, today) if status else None,
                uncertain=doubts.get(student, ()),
                absent=None if status or student in doubts else why.get(student, NO_ROWS),
            )
        )
    return explained


def numbers_on_record(
    raw: Mapping[str, pd.DataFrame], explained: Iterable[Explanation]
) -> dict[int, str | None]:
    """The student number of each decided status, from `raw_students` (Qmlativ object → frame).

    A student without an entry has no usable record in Student and Name, and is carried over.
    """
    decided = [(one.student_id, one.decision) for one in explained if one.decision is not None]
    statuses = {
        "student_id": pa.array([student for student, _ in decided], pa.int64()),
        "school_year_id": pa.array([decision.school_year_id for _, decision in decided], pa.int64()),
        "building": pa.array([decision.building for _, decision in decided], pa.string()),
        "building_reporting_id": pa.array(
            [decision.building_reporting_id for _, decision in decided], pa.string()
        ),
    }
    known = build_student_demographics(raw, frame_of(statuses)).students
    return {row["student_id"]: row["student_number"] for row in records_of(known)}


def _of(frame: pd.DataFrame, student: int, key: str = "student_id") -> pd.DataFrame:
    """The student's rows, in their order."""
    return frame.loc[(frame[key] == student).fillna(False).to_numpy(bool)].reset_index(drop=True)


def _rows_of(frame: pd.DataFrame, students: Collection[int]) -> list[dict[str, Any]]:
    return records_of(frame.loc[frame["student_id"].isin(list(students))])


def _seen(
    raw: Mapping[str, pd.DataFrame],
    theirs: FilteredEnrollments,
    student: int,
    today: date,
    deciding: int | None,
) -> Iterator[SeenEnrollment]:
    """The student's rows in Qmlativ's order.

    Both frames keep that order, and a counted row is the only one with its id.
    """
    when = [WHEN[kind] for kind in deciding_order(columns_of(theirs.enrollments), today)[0]]
    counted = {
        row["enrollment_id"]: row | {"outcome": "counted", "reason": kind}
        for row, kind in zip(records_of(theirs.enrollments), when, strict=True)
    }
    excluded = iter(records_of(theirs.excluded))
    years = _year_names(raw)
    before: dict[tuple[Any, ...], SeenEnrollment] = {}
    for entry in records_of(_of(raw["EntryWithdrawal"], student, "StudentID")):
        content = tuple(entry.values())
        if content in before:
            yield replace(before[content], outcome="repeated", reason="repeat", words=_REPEAT, decides=False)
            continue
        row = counted.get(entry["EntryWithdrawalID"]) or next(excluded)
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
            decides=row["outcome"] == "counted" and row["enrollment_id"] == deciding,
        )
        yield before[content]


def _fate(row: Mapping[str, Any], unreadable: tuple[str, ...], today: date) -> str:
    if row["outcome"] == "counted":
        return f"counted as {row['reason']}"
    reason = row["reason"]
    detail = ""
    if reason == "outside_window":
        detail = f" (before {window_start(today)})"
    elif reason == "unreadable":
        detail = f" ({', '.join(unreadable) or 'its id'})"
    return f"{row['outcome']}: {(EXCLUDED | QUARANTINED)[reason].sentence}{detail}"


def _year_names(raw: Mapping[str, pd.DataFrame]) -> dict[int, str]:
    """The names of school years, by id."""
    return {
        row["SchoolYearID"]: row["Description"] or str(row["NumericYear"] or row["SchoolYearID"])
        for row in records_of(raw["SchoolYear"])
        if row["SchoolYearID"] is not None
    }


def _decision(
    raw: Mapping[str, pd.DataFrame], counted: pd.DataFrame, status: Mapping[str, Any], today: date
) -> Decision:
    columns = columns_of(counted)
    numbers = ids(columns["enrollment_id"])
    when, order = deciding_order(columns, today)
    first = int(np.flatnonzero(numbers == status["enrollment_id"])[0])
    return Decision(
        **{name: value for name, value in status.items() if name != "student_id"},
        rule=list(RULES).index(status["reason"]) + 1,
        rule_words=RULES[status["reason"]].sentence,
        why_this_enrollment=_why_first(first, numbers, when, order),
        why_this_building=_why_building(raw, counted, first),
    )


def _why_first(first: int, numbers: np.ndarray, when: np.ndarray, order: list[np.ndarray]) -> str:
    """Why this enrollment takes precedence over the others of its kind, by the first field that differs."""
    kind = WHEN[when[first]]
    rivals: dict[str, list[int]] = {}
    for other in np.flatnonzero(when == when[first]).tolist():
        if other != first:
            field = next(
                name for name, values in zip(DECIDED_BY, order, strict=True) if values[other] != values[first]
            )
            rivals.setdefault(field, []).append(int(numbers[other]))
    if not rivals:
        return f"it is the only {kind} one"
    reasons = _PRECEDENCE | ({"first_day": "it begins first"} if when[first] == UPCOMING else {})
    parts = [
        f"over {', '.join(map(str, sorted(rivals[field])))} because {reasons[field]}"
        for field in DECIDED_BY
        if field in rivals
    ]
    return f"of the {kind} ones, {'; '.join(parts)}"


def _why_building(raw: Mapping[str, pd.DataFrame], counted: pd.DataFrame, row: int) -> str:
    columns, schools = columns_of(counted.iloc[[row]]), columns_of(raw["School"])
    if columns["school_id"][0].as_py() is None:
        return "the enrollment names no school"
    wanted = ids(columns["school_year_id"])
    (found,) = find_school_rows(schools, ids(columns["school_id"]), wanted)
    if found == NOWHERE:
        return "no school year lists its school"
    years = _year_names(raw)
    listed = schools["SchoolYearID"][int(found)].as_py()
    if listed == wanted[0]:
        return f"its school as listed for its school year, {years.get(listed, listed)}"
    latest = years.get(listed, listed)
    return f"its school is not listed for its school year; {latest} is the latest that lists it"
