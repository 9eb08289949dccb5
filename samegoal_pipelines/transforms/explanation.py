"""Explain a student's status, or why there is none: the outcome of each enrollment, and which one decided.

No rule lives here. The functions that publish decide outcome, status, enrollment and building, so an
explanation cannot differ from what is published. Who was published before is known to the warehouse only.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables import worklist as problems
from samegoal_pipelines.tables.vocabulary import (
    CECS_ONLY,
    ENTITY_NOT_INCLUDED,
    ENTITY_YEAR,
    EXCLUDED,
    LEFT_WINDOW,
    NEVER_EFFECTIVE_ONLY,
    NO_ROWS,
    QUARANTINED,
    ROWS_UNREADABLE,
    RULES,
)
from samegoal_pipelines.transforms.columns import NOWHERE, Frames, columns_of, ids, records_of
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
class Cause:
    """Why a student is absent, and the one thing to do next."""

    name: str
    sentence: str
    next_step: str


_NOTHING = "nothing, if that is right"
BY_DEPARTURE = {
    LEFT_WINDOW: Cause(
        "outside the window",
        "the last enrollment ended more than a year ago",
        f"{_NOTHING}; else correct EndDate, or add the new enrollment, in {ENTITY_YEAR}",
    ),
    CECS_ONLY: Cause(
        "CECS only",
        "every enrollment is a cross-entity course enrollment (CECS), which never counts",
        problems.FIX[problems.CECS_ONLY],
    ),
    ENTITY_NOT_INCLUDED: Cause(
        "entity not included",
        "every enrollment is at an entity whose enrollments do not count",
        f"{_NOTHING}; else include the entity: samegoal-pipelines districts set ID --entities …",
    ),
    NEVER_EFFECTIVE_ONLY: Cause(
        "never effective",
        "every enrollment ends before it begins (a no-show)",
        f"{_NOTHING}; if the student came, correct StartDate and EndDate in {ENTITY_YEAR}",
    ),
    NO_ROWS: Cause(
        "no enrollment",
        "Qmlativ returned no enrollment: there is none, or it ended long before the import window",
        f"add the enrollment in {ENTITY_YEAR}; it may be under another record of the same student",
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
    problems.FIX[problems.NEVER_CLOSED],
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


@dataclass(frozen=True)
class Explanation:
    """One student's enrollments and the result: `decision`, `uncertain` or `absent`."""

    window_start: date
    enrollments: tuple[SeenEnrollment, ...]
    decision: dict[str, Any] | None
    """The row of `student_status`, with `student_number` if Student has one, and `rule`, `rule_words`,
    `why_this_enrollment` and `why_this_building`."""
    uncertain: tuple[str, ...]
    """The quarantine reasons that leave the status in doubt."""
    absent: str | None
    """Why there is no status, in the words of the table `departures`."""
    has_record: bool
    """False: there is a status, but no usable record in Student and Name, so the student is carried over."""
    in_qmlativ: bool
    """False: the object Student does not have the student at all."""

    @property
    def carried_over(self) -> bool:
        """Whether the last published rows stay, if there are any."""
        return bool(self.uncertain) or not self.has_record

    def sentences(self) -> list[str]:
        """The result as sentences for people."""
        if found := self.decision:
            said = [
                f"rule {found['rule']}: {found['rule_words']} ({found['reason']})",
                f"enrollment {found['enrollment_id']} decides: {found['why_this_enrollment']}",
                f"building: {found['building'] or 'none'}; {found['why_this_building']}",
            ]
        elif self.uncertain:
            rows = counted(sum(one.outcome == "quarantined" for one in self.enrollments), "row")
            said = [
                f"uncertain: {rows} cannot be relied on ({', '.join(self.uncertain)}), and no sound one "
                "makes the student currently enrolled; the last published rows are carried over, because "
                "unreadable is not gone"
            ]
        else:
            said = [f"no status: {self.absent}"]
        said.append(f"the import window begins on {self.window_start}")
        if not self.has_record:
            said.append(
                "Student and Name have no usable record of the student, so the last published rows, if any, "
                "are carried over"
            )
        return said

    @property
    def cause(self) -> Cause:
        """Why the student is not published."""
        if self.decision is not None:
            return CHANGED_SINCE if self.has_record else NO_RECORD
        if self.uncertain:
            doubt = self.uncertain[0]
            known = next((one.enrollment_id for one in self.enrollments if one.reason == doubt), None)
            which = f"enrollment {known}" if known else "an enrollment"
            why = f"cannot be relied on: {QUARANTINED[doubt].sentence}; nothing was published before"
            return Cause("quarantined", f"{which} {why}", QUARANTINED[doubt].fix)
        if self.absent == NO_ROWS and not self.in_qmlativ:
            return NOT_IN_QMLATIV
        if self.absent == LEFT_WINDOW:
            left = [one for one in self.enrollments if one.reason in ("outside_window", "never_closed")]
            if max(left, key=lambda one: one.first_day or date.min).reason == "never_closed":
                return NEVER_CLOSED
        return BY_DEPARTURE[self.absent or NO_ROWS]


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


def explain(raw: Frames, raw_students: Frames | None, student: int, today: date) -> Explanation:
    """Explain this student as of `today`.

    Takes `raw_enrollments`, and `raw_students` unless that is gone (each: Qmlativ object → frame). Raises
    ValueError as `filter_enrollments` does.
    """
    raw = rows_of_students(raw, [student])
    filtered = filter_enrollments(raw, today)
    statuses, uncertain = classify_students(filtered.enrollments, filtered.excluded, today)
    absent = explain_absences(filtered.excluded, statuses, uncertain)
    status, doubt, why = (
        next(iter(_rows_of(student, frame)), None) for frame in (statuses, uncertain, absent)
    )
    decision = status and _decision(raw, filtered.enrollments, status, today)
    has_record = in_qmlativ = True
    if raw_students is not None:
        in_qmlativ = bool(raw_students["Student"]["StudentID"].eq(student).any())
        if decision:
            own = statuses[statuses["student_id"] == student]
            described = records_of(student_tables(raw_students, own)["student_demographics"])
            has_record = bool(described)
            if has_record:
                decision["student_number"] = described[0]["student_number"]
    return Explanation(
        window_start=window_start(today),
        enrollments=tuple(_seen(raw, student, filtered, decision, today)),
        decision=decision,
        uncertain=tuple(doubt["reasons"].split(",")) if doubt else (),
        absent=None if status or doubt else why["why"] if why else NO_ROWS,
        has_record=has_record,
        in_qmlativ=in_qmlativ,
    )


def _rows_of(student: int, frame: pd.DataFrame, key: str = "student_id") -> list[dict[str, Any]]:
    return records_of(frame[frame[key] == student])


def _seen(
    raw: Frames, student: int, filtered: FilteredEnrollments, decision: Mapping[str, Any] | None, today: date
) -> Iterator[SeenEnrollment]:
    """The student's rows in Qmlativ's order, as the filtered ones are. Each counted row has its own id."""
    when = deciding_order(columns_of(filtered.enrollments), today)["when"]
    counted = {
        row["enrollment_id"]: row | {"outcome": "counted", "reason": WHEN[kind]}
        for row, kind in zip(records_of(filtered.enrollments), when, strict=True)
    }
    others, years = iter(_rows_of(student, filtered.excluded)), year_names(raw)
    before: dict[tuple[Any, ...], SeenEnrollment] = {}
    for entry in _rows_of(student, raw["EntryWithdrawal"], "StudentID"):
        content = tuple(entry.values())
        if content in before:
            words = "a repeat of another row, counted once with it"
            yield replace(before[content], outcome="repeated", reason="repeat", words=words, decides=False)
            continue
        row = counted.get(entry["EntryWithdrawalID"]) or next(others)
        row["school"], row["school_year"] = row["building"], years.get(row["school_year_id"])
        row["unreadable"] = tuple(json.loads(entry["Unreadable"] or "{}"))
        row["words"] = _outcome_in_words(row, today)
        row["decides"] = decision is not None and row["enrollment_id"] == decision["enrollment_id"]
        before[content] = SeenEnrollment(**{name: row[name] for name in SeenEnrollment.__annotations__})
        yield before[content]


def _outcome_in_words(row: Mapping[str, Any], today: date) -> str:
    reason = row["reason"]
    if row["outcome"] == "counted":
        return f"counted as {reason}"
    details = {
        "outside_window": f" (before {window_start(today)})",
        "unreadable": f" ({', '.join(row['unreadable']) or 'its id'})",
    }
    return f"{row['outcome']}: {(EXCLUDED | QUARANTINED)[reason].sentence}{details.get(reason, '')}"


def year_names(raw: Frames) -> dict[int, str]:
    """SchoolYearID → the year's name for people, from `raw_enrollments`."""
    return {
        row["SchoolYearID"]: row["Description"] or str(row["NumericYear"] or row["SchoolYearID"])
        for row in records_of(raw["SchoolYear"])
    }


def _decision(raw: Frames, counted: pd.DataFrame, status: Mapping[str, Any], today: date) -> dict[str, Any]:
    order = deciding_order(columns_of(counted), today)
    first = int(np.flatnonzero(order["enrollment_id"] == status["enrollment_id"])[0])
    return {
        **status,
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


def _why_building(raw: Frames, deciding: pd.DataFrame) -> str:
    row, schools = columns_of(deciding), columns_of(raw["School"])
    if row["school_id"].null_count:
        return "the enrollment names no school"
    (found,) = find_school_rows(schools, ids(row["school_id"]), ids(row["school_year_id"]))
    if found == NOWHERE:
        return "no school year lists its school"
    listed = schools["SchoolYearID"][int(found)].as_py()
    year = year_names(raw).get(listed, listed)
    if listed == row["school_year_id"][0].as_py():
        return f"its school as listed for its school year, {year}"
    return f"its school is not listed for its school year; {year} is the latest that lists it"
