"""Explain a student's status, or why there is none: the outcome of each enrollment, and which one decided.

No rule lives here. The functions that publish run on the whole district and decide outcome, status,
enrollment and building, so an explanation cannot differ from what is published. Who was published before is
known to the warehouse only.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.arrow_types import arrow_types
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
    MISSING,
    NOWHERE,
    columns_of,
    frame_from,
    frame_of,
    ids,
    records_of,
    take,
)
from samegoal_pipelines.transforms.demographics import build_student_demographics
from samegoal_pipelines.transforms.enrollments import filter_enrollments, find_school_rows, window_start
from samegoal_pipelines.transforms.status import DECIDED_BY, UPCOMING, classify_students, deciding_order

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
    student, reasons = (columns_of(excluded)[name] for name in ("student_id", "reason"))
    weight_of = {reason: weight for weight, reason in enumerate(_EXPLAINED_BY, start=1)}
    weights = np.asarray([weight_of.get(reason, 0) for reason in reasons.dictionary.to_pylist()], np.int64)
    found = pd.Series(weights[reasons.indices.to_numpy()], ids(student))
    decided = np.append(ids(columns_of(statuses)["student_id"]), MISSING)
    found = found[(found > 0) & ~found.index.isin(decided)]
    in_doubt = pd.Series(len(_EXPLAINED_BY) + 1, ids(columns_of(uncertain)["student_id"]))
    strongest = pd.concat([found, in_doubt]).groupby(level=0).max()
    words = pa.array([None, *_EXPLAINED_BY.values(), ROWS_UNREADABLE])
    return frame_of(
        {
            "student_id": pa.array(strongest.index.to_numpy(np.int64)),
            "why": take(words, strongest.to_numpy(np.int64)),
        }
    )


def explain_students(
    raw: Mapping[str, pd.DataFrame], students: Collection[int], today: date
) -> list[Explanation]:
    """Explain these students as of `today`, from `raw_enrollments` (Qmlativ object → frame), in their order.

    Raises ValueError as `filter_enrollments` does.
    """
    filtered = filter_enrollments(raw, today)
    statuses, uncertain = classify_students(filtered.enrollments, filtered.excluded, today)
    absent = explain_absences(filtered.excluded, statuses, uncertain)
    decided, doubts, why = (_by_student(frame, students) for frame in (statuses, uncertain, absent))

    explained = []
    for student in students:
        counted, excluded = (_of(frame, student) for frame in (filtered.enrollments, filtered.excluded))
        status, doubt = decided.get(student), doubts.get(student)
        seen = _seen(raw, student, counted, excluded, status["enrollment_id"] if status else None, today)
        explained.append(
            Explanation(
                student_id=student,
                night=today,
                window_start=window_start(today),
                enrollments=tuple(seen),
                decision=_decision(raw, counted, status, today) if status else None,
                uncertain=tuple(doubt["reasons"].split(",")) if doubt else (),
                absent=None if status or doubt else why.get(student, {"why": NO_ROWS})["why"],
            )
        )
    return explained


def numbers_on_record(
    raw: Mapping[str, pd.DataFrame], explained: Iterable[Explanation]
) -> dict[int, str | None]:
    """The student number of each decided status, from `raw_students` (Qmlativ object → frame).

    A student without an entry has no usable record in Student and Name, and is carried over.
    """
    decided = [{"student_id": one.student_id} | asdict(one.decision) for one in explained if one.decision]
    known = build_student_demographics(raw, frame_from(decided, arrow_types(STUDENT_STATUS))).students
    return {row["student_id"]: row["student_number"] for row in records_of(known)}


def _of(frame: pd.DataFrame, student: int, key: str = "student_id") -> pd.DataFrame:
    """The student's rows, in their order."""
    return frame.loc[(frame[key] == student).fillna(False).to_numpy(bool)].reset_index(drop=True)


def _by_student(frame: pd.DataFrame, students: Collection[int]) -> dict[int, dict[str, Any]]:
    rows = frame.loc[frame["student_id"].isin(list(students))]
    return {row["student_id"]: row for row in records_of(rows)}


def _seen(
    raw: Mapping[str, pd.DataFrame],
    student: int,
    counted: pd.DataFrame,
    excluded: pd.DataFrame,
    deciding: int | None,
    today: date,
) -> Iterator[SeenEnrollment]:
    """The student's rows in Qmlativ's order.

    Both frames keep that order, and a counted row is the only one with its id.
    """
    when = (WHEN[kind] for kind in deciding_order(columns_of(counted), today)[0])
    counted_rows = {
        row["enrollment_id"]: row | {"outcome": "counted", "reason": next(when)}
        for row in records_of(counted)
    }
    others, years = iter(records_of(excluded)), _year_names(raw)
    before: dict[tuple[Any, ...], SeenEnrollment] = {}
    for entry in records_of(_of(raw["EntryWithdrawal"], student, "StudentID")):
        content = tuple(entry.values())
        if content in before:
            words = "a repeat of another row, counted once with it"
            yield replace(before[content], outcome="repeated", reason="repeat", words=words, decides=False)
            continue
        row = counted_rows.get(entry["EntryWithdrawalID"]) or next(others)
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
) -> Decision:
    columns = columns_of(counted)
    numbers = ids(columns["enrollment_id"])
    first = int(np.flatnonzero(numbers == status["enrollment_id"])[0])
    return Decision(
        **{name: value for name, value in status.items() if name != "student_id"},
        rule=list(RULES).index(status["reason"]) + 1,
        rule_words=RULES[status["reason"]].sentence,
        why_this_enrollment=_why_first(first, numbers, *deciding_order(columns, today)),
        why_this_building=_why_building(raw, counted.iloc[[first]]),
    )


def _why_first(first: int, numbers: np.ndarray, when: np.ndarray, order: list[np.ndarray]) -> str:
    """Why this enrollment takes precedence over the others of its kind, by the first field that differs."""
    kind, tied = WHEN[when[first]], when == when[first]
    rivals: dict[str, list[int]] = {}
    for field, values in zip(DECIDED_BY, order, strict=True):
        alike = values == values[first]
        rivals[field] = sorted(numbers[tied & ~alike].tolist())
        tied = tied & alike
    if not any(rivals.values()):
        return f"it is the only {kind} one"
    reasons = _PRECEDENCE | ({"first_day": "it begins first"} if when[first] == UPCOMING else {})
    parts = [
        f"over {', '.join(map(str, beaten))} because {reasons[field]}"
        for field, beaten in rivals.items()
        if beaten
    ]
    return f"of the {kind} ones, {'; '.join(parts)}"


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
