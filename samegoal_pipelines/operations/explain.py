"""Explain why a student has the published status, from landed rows, rules and warehouse.

`transforms.explanation` applies the rules to the rows, and `warehouse.changes` knows what was published. No
rule and no SQL lives here.

An answer holds ids, dates, codes, schools and the student number that was asked for, but no names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pandas as pd

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.errors import SYNC, PipelineError
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.tables.vocabulary import RULES
from samegoal_pipelines.transforms.explanation import Explanation, explain_students, numbers_on_record
from samegoal_pipelines.warehouse import changes, snapshots
from samegoal_pipelines.warehouse.changes import PublishedStudent
from samegoal_pipelines.warehouse.snapshots import Snapshot

Tables = Mapping[str, pd.DataFrame]

LONGEST_NUMBER = 60  # characters; Qmlativ's are much shorter


class NothingToExplainError(PipelineError):
    """There is no published night, or no student has this number."""


@dataclass(frozen=True)
class StudentAnswer:
    """One student: the result of the landed rows, what was published, and how the two differ."""

    district_id: str
    night: date
    student_id: int
    explanation: Explanation | None
    """None if the landed rows are gone."""
    has_record: bool
    """Whether Qmlativ's Student and Name have a usable record. Otherwise the last published rows stay."""
    published: PublishedStudent
    differs: tuple[str, ...]
    """Columns whose published value differs from the landed rows under today's rules."""

    @property
    def carried_over(self) -> bool:
        """Whether an older row is carried over because tonight's rows leave the student in doubt."""
        unsure = self.explanation is not None and (bool(self.explanation.uncertain) or not self.has_record)
        return unsure and self.published.status is not None

    def published_sentences(self) -> list[str]:
        """What was published that night, as sentences for people."""
        status, left = self.published.status, self.published.departure
        if status is None:
            if left is None:
                return ["published: nothing, on that night or before"]
            return [
                f"published: nothing; left on {left['snapshot_date']} as {left['last_status']}: {left['why']}"
            ]
        building = status["building"] or "no building"
        lines = [f"published: {status['status']} at {building}, unchanged since {self.published.since}"]
        if self.carried_over:
            lines = [f"{lines[0]}; carried over, because this night's rows cannot be relied on"]
        change = self.published.last_change
        if change and change["change"] == "status" and change["old_status"] != change["new_status"]:
            lines.append(f"published before {change['snapshot_date']}: {change['old_status']}")
        return lines

    def decision_sentences(self) -> list[str]:
        """The result of the rows and the rule, as sentences for people, with any contradictions."""
        status = self.published.status
        if self.explanation is None:
            if status is None:
                return []
            rule = list(RULES).index(status["reason"]) + 1
            end = status["last_day"] or "open"
            return [
                f"rule {rule} decided: {RULES[status['reason']].sentence} ({status['reason']})",
                f"enrollment {status['enrollment_id']} decided, {status['first_day']} to {end}",
            ]
        lines = self.explanation.sentences()
        if self.explanation.decision and not self.has_record:
            lines.append(
                "Student and Name have no usable record of the student, so the last published rows, if any, "
                "are carried over"
            )
        if self.differs:
            lines.append(self._difference())
        return lines

    def _difference(self) -> str:
        decision = self.explanation.decision if self.explanation else None
        given = decision.status if decision else "no status"
        published = self.published.status["status"] if self.published.status else "nothing"
        what = (
            f"by today's rules these rows give {given}, but {published} is published"
            if given != published
            else f"by today's rules these rows differ from what is published in {', '.join(self.differs)}"
        )
        return (
            f"{what}: the rules or the rows have changed since that night was published; "
            f"samegoal-pipelines replay {self.district_id} --from {self.night} recomputes it"
        )

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        explained = asdict(self.explanation) if self.explanation else {}
        return {
            "student_id": self.student_id,
            "published": self.published.status and {**self.published.status, "since": self.published.since},
            "carried_over": self.carried_over,
            "last_change": self.published.last_change,
            "departure": self.published.departure,
            "decision": explained.get("decision"),
            "uncertain": list(explained.get("uncertain", ())),
            "absent": explained.get("absent"),
            "has_record": self.has_record if self.explanation else None,
            "window_start": explained.get("window_start"),
            "enrollments": list(explained["enrollments"]) if self.explanation else None,
            "differs": list(self.differs),
            "in_words": [*self.published_sentences(), *self.decision_sentences()],
        }


@dataclass(frozen=True)
class Answer:
    """Every student with the number, for one published night."""

    district_id: str
    student_number: str
    night: date
    landed_run_id: str | None
    """The run whose rows were read. None if they are gone."""
    remarks: tuple[str, ...]
    students: tuple[StudentAnswer, ...]

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "district_id": self.district_id,
            "student_number": self.student_number,
            "night": self.night,
            "landed_run_id": self.landed_run_id,
            "remarks": list(self.remarks),
            "students": [student.facts() for student in self.students],
        }


def explain_student(
    deployment: Deployment, district_id: str, student_number: str, on: date | None = None
) -> Answer:
    """Explain what is published about the student, or what was published for a date.

    Raises:
        UnknownDistrictError: no such district.
        NothingToExplainError: no night is published (by that date), or no student has this number.
    """
    deployment.registry.get(district_id)
    night = _night(deployment, district_id, on)
    landed = _Landed(deployment, district_id, night)
    enrollments, people = landed.read("raw_enrollments"), landed.read("raw_students")
    students, remarks = _find(deployment, district_id, student_number, night.snapshot_date, people)

    explained, on_record = None, None
    if enrollments is not None:
        try:
            explained = explain_students(enrollments, students, night.snapshot_date)
            on_record = numbers_on_record(people, explained) if people is not None else None
        except (KeyError, ValueError):  # landed by a version that read other fields
            landed.remarks.append("the landed rows of that night do not fit the rules of this program")
    published = changes.students_as_of(deployment.warehouse, district_id, students, night.snapshot_date)
    answers = []
    for position, student in enumerate(students):
        explanation = explained[position] if explained else None
        has_record = on_record is None or explanation is None or explanation.decision is None
        has_record = has_record or student in (on_record or {})
        answers.append(
            StudentAnswer(
                district_id=district_id,
                night=night.snapshot_date,
                student_id=student,
                explanation=explanation,
                has_record=has_record,
                published=published[student],
                differs=_differences(explanation, on_record, published[student]) if has_record else (),
            )
        )
    return Answer(
        district_id=district_id,
        student_number=student_number,
        night=night.snapshot_date,
        landed_run_id=landed.run_id if explained is not None else None,
        remarks=(*remarks, *landed.remarks, *_what_came_after(deployment, night, on)),
        students=tuple(answers),
    )


def _night(deployment: Deployment, district_id: str, on: date | None) -> Snapshot:
    night = snapshots.last_published(deployment.warehouse, district_id, on)
    if night is not None:
        return night
    first = snapshots.first_published_night(deployment.warehouse, district_id)
    if first is None:
        raise NothingToExplainError(
            "no night is published yet", district_id=district_id, next_step=f"next: {SYNC}"
        )
    raise NothingToExplainError(
        f"nothing was published by {on} yet; the first night is {first}", district_id=district_id
    )


class _Landed:
    """The landed rows of a published night, with remarks about anything unusual."""

    def __init__(self, deployment: Deployment, district_id: str, night: Snapshot) -> None:
        self._landing, self._district_id, self._night = deployment.landing, district_id, night
        self.run_id = night.landed_by
        self.remarks: list[str] = []

    def read(self, asset: str) -> Tables | None:
        """An asset as the published run read it. None if it is gone or damaged."""
        district_id, night = self._district_id, self._night.snapshot_date
        runs = [one.run_id for one in self._landing.landed(asset, district_id=district_id, night=night)]
        if not runs:
            self.remarks.append(
                f"{asset} of {night} is no longer in the landing, so only what was published is shown"
            )
            return None
        run_id = self._night.landed_by
        if run_id not in runs:
            run_id = runs[-1]  # the same as a UI run that starts with a later asset
            self.remarks.append(f"{asset} was landed by another run of that night, {run_id}")
        if asset == "raw_enrollments":
            self.run_id = run_id
        try:
            return self._landing.read(asset, district_id=district_id, night=night, run_id=run_id)
        except LandingError as error:
            self.remarks.append(str(error))
            return None


def _find(
    deployment: Deployment, district_id: str, number: str, night: date, people: Tables | None
) -> tuple[list[int], list[str]]:
    """The students with exactly this number on that night, or else on any night, or else with other spaces
    around it.

    Raises:
        NothingToExplainError: no student has this number.
    """
    wanted = number.strip()
    if not wanted:
        raise NothingToExplainError(
            "the student number is empty", district_id=district_id, next_step="give it as Qmlativ shows it"
        )
    nobody = NothingToExplainError(
        f"no student has the student number {shown(number)}, neither in the rows landed on {night} "
        "nor in anything ever published",
        district_id=district_id,
        next_step="it is text: check leading zeros, and that it is StudentNumber and not StudentID",
    )
    if len(wanted) > LONGEST_NUMBER or not wanted.isprintable():  # and the databases reject some of these
        raise nobody
    warehouse = deployment.warehouse
    that_night = changes.numbers_like(warehouse, district_id, wanted, night) | _landed_numbers(people, wanted)
    ever = changes.numbers_like(warehouse, district_id, wanted)
    for found in (that_night, ever):
        exact = sorted({student for student, text in found if text == number})
        if exact:
            return exact, _several(exact)
    for found in (that_night, ever):
        trimmed = sorted({student for student, text in found if text.strip() == wanted})
        if trimmed:
            return trimmed, ["the number was found with other spaces around it", *_several(trimmed)]
    raise nobody


def shown(number: str) -> str:
    """A student number as typed, on one line and of limited length."""
    cut = number if len(number) <= LONGEST_NUMBER else f"{number[:LONGEST_NUMBER]}…"
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


def _several(students: list[int]) -> list[str]:
    if len(students) == 1:
        return []
    return [f"{len(students)} students have this number in Qmlativ; each is explained"]


def _landed_numbers(people: Tables | None, wanted: str) -> set[tuple[int, str]]:
    if people is None:
        return set()
    records = people["Student"][["StudentID", "StudentNumber"]]
    alike = records["StudentNumber"].str.contains(wanted, regex=False).fillna(False).to_numpy(bool)
    records = records.loc[alike & records["StudentID"].notna().to_numpy(bool)]
    return set(zip(records["StudentID"].tolist(), records["StudentNumber"].tolist(), strict=True))


def _differences(
    explanation: Explanation | None, on_record: Mapping[int, str | None] | None, published: PublishedStudent
) -> tuple[str, ...]:
    """Columns of the published status that differ from the landed rows."""
    if explanation is None or explanation.uncertain:
        return ()
    decision, status = explanation.decision, published.status
    if decision is None or status is None:
        return () if decision is None and status is None else ("status",)
    given = asdict(decision)
    if on_record is not None:
        given["student_number"] = on_record[explanation.student_id]
    return tuple(name for name, value in status.items() if name in given and given[name] != value)


def _what_came_after(deployment: Deployment, night: Snapshot, on: date | None) -> list[str]:
    """A remark if a later night was not published, to avoid confusion with this one."""
    later = snapshots.unpublished_since(deployment.warehouse, night, on)
    if later is None:
        return []
    message = f"the night {later.snapshot_date} {'was held' if later.state == 'held' else 'failed'}"
    if not later.reason:
        return [message]
    return [f"{message}: {later.reason}"]
