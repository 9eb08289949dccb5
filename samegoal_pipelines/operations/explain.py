"""Explain why a student has the published status, from landed rows, rules and warehouse.

An answer holds ids, dates, codes, schools and the student number that was asked for, but no names. No rule
and no SQL lives here.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.errors import SYNC, PipelineError, fill_in
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.landing.runs import NotLandedError, landed_for, read_landed_for
from samegoal_pipelines.printable import shown
from samegoal_pipelines.reporting.nightly_status import DistrictNight, read_districts
from samegoal_pipelines.tables.vocabulary import RULES
from samegoal_pipelines.transforms.explanation import (
    Cause,
    Explanation,
    absence_of,
    explain_students,
    numbers_on_record,
)
from samegoal_pipelines.transforms.students_csv import NUMBER, cells_of, complaints
from samegoal_pipelines.warehouse import changes, snapshots
from samegoal_pipelines.warehouse.changes import PublishedStudent
from samegoal_pipelines.warehouse.erase import erased_on
from samegoal_pipelines.warehouse.export import published_students
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
    cause: Cause | None
    """Why the student is absent, or excluded from the export. None: neither."""

    @property
    def carried_over(self) -> bool:
        """Whether an older row is carried over because tonight's rows leave the student in doubt."""
        if self.explanation is None or self.published.status is None:
            return False
        return bool(self.explanation.uncertain) or not self.has_record

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
            decision = self.explanation.decision
            rows_give = decision["status"] if decision else "no status"
            published = status["status"] if status else "nothing"
            lines.append(
                f"by today's rules these rows give {rows_give}, but {published} is published"
                if rows_give != published
                else f"by today's rules these rows differ from what is published in {', '.join(self.differs)}"
            )
            lines[-1] += (
                ": the rules or the rows have changed since that night was published; "
                f"samegoal-pipelines replay {self.district_id} --from {self.night} recomputes it"
            )
        return lines

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        explained = asdict(self.explanation) if self.explanation else {}
        names = ("decision", "absent", "window_start", "enrollments")
        return {
            "student_id": self.student_id,
            "published": self.published.status and {**self.published.status, "since": self.published.since},
            "carried_over": self.carried_over,
            "last_change": self.published.last_change,
            "departure": self.published.departure,
            **{name: explained.get(name) for name in names},
            "uncertain": explained.get("uncertain", ()),
            "cause": self.cause and self.cause._asdict(),
            "has_record": self.has_record if self.explanation else None,
            "differs": self.differs,
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
        return {**vars(self), "students": [student.facts() for student in self.students]}


def explain_student(
    deployment: Deployment,
    district_id: str,
    student_number: str,
    on: date | None = None,
    now: datetime | None = None,
) -> Answer:
    """Explain what is published about the student, or what was published for a date.

    Args:
        now: decides whether the district is late. Default: the clock.

    Raises:
        UnknownDistrictError: no such district.
        NothingToExplainError: no night is published (by that date), or no student has this number.
    """
    deployment.registry.get(district_id)
    current = read_districts(deployment.warehouse, now or datetime.now(UTC), [district_id])[district_id]
    night = _night(deployment, current, on)
    remarks: list[str] = []
    enrollments = _landed(deployment, night, "raw_enrollments", remarks)
    people = _landed(deployment, night, "raw_students", remarks)
    newer = _newer_night(current) if on is None else None
    behind = newer and _why_behind(deployment, current, newer, student_number)
    students, found = _find(deployment, night, student_number, people, behind)

    explained, on_record = None, None
    if enrollments is not None:
        explained = explain_students(enrollments, students, night.snapshot_date)
        on_record = numbers_on_record(people, explained) if people is not None else None
    published = changes.students_as_of(deployment.warehouse, district_id, students, night.snapshot_date)
    answers = []
    for position, student in enumerate(students):
        explanation = explained[position] if explained else None
        decided = explanation is not None and explanation.decision is not None
        has_record = not decided or on_record is None or student in on_record
        cause = None
        if published[student].status is None:
            cause = behind if behind and behind.name == "held" else None
            cause = cause or absence_of(
                explanation,
                has_record=has_record,
                in_qmlativ=people is None or people["Student"]["StudentID"].eq(student).any(),
                departed_as=(published[student].departure or {}).get("why"),
            )
        elif on is None:
            cause = _why_not_exported(deployment, district_id, published[student])
        answers.append(
            StudentAnswer(
                district_id=district_id,
                night=night.snapshot_date,
                student_id=student,
                explanation=explanation,
                has_record=has_record,
                published=published[student],
                differs=_differences(explanation, on_record, published[student]) if has_record else (),
                cause=cause and cause._replace(next_step=fill_in(cause.next_step, district_id)),
            )
        )
    if on is not None and (later := snapshots.unpublished_since(deployment.warehouse, night, on)):
        newer = _of_attempt(later)
    return Answer(
        district_id=district_id,
        student_number=student_number,
        night=night.snapshot_date,
        landed_run_id=landed_for(deployment.landing, night, "raw_enrollments").run_id if explained else None,
        remarks=(*found, *remarks, *([newer.sentence] if newer else [])),
        students=tuple(answers),
    )


def _newer_night(current: DistrictNight) -> Cause | None:
    """Why no newer night is published: the last one is held, failed or late. None if none is expected."""
    if current.open_attempt is not None:
        return _of_attempt(current.open_attempt)
    if current.state == "late":
        return Cause("late", f"the night {current.night} is late: {current.reason}", current.next_step or "")
    return None


def _of_attempt(attempt: Snapshot) -> Cause:
    became = "is held" if attempt.held else "failed"
    sentence = f"the night {attempt.snapshot_date} {became}: {attempt.reason}"
    return Cause(attempt.state, sentence, attempt.to_do or "")


def _why_behind(deployment: Deployment, current: DistrictNight, newer: Cause, number: str) -> Cause | None:
    """The newer night, if it explains why a number is not published. A held one must have the student."""
    attempt = current.open_attempt
    if attempt is None or not attempt.held:
        return newer
    enrollments, people = (
        _landed(deployment, attempt, asset, []) for asset in ("raw_enrollments", "raw_students")
    )
    if enrollments is None or people is None:
        return None
    students = {student for student, _ in _landed_numbers(people, number.strip())}
    explained = explain_students(enrollments, students, attempt.snapshot_date)
    on_record = numbers_on_record(people, explained)
    for one in explained:
        if one.decision and one.student_id in on_record:
            return newer._replace(
                sentence=f"the night {attempt.snapshot_date} is held, and has the student as "
                f"{one.decision['status']}"
            )
    return None


def _why_not_exported(deployment: Deployment, district_id: str, published: PublishedStudent) -> Cause | None:
    """Why `export` excludes a published student."""
    status = published.status or {}
    number = status.get("student_number")
    rows = [cells_of(row) for row in published_students(deployment.warehouse, district_id, number)]
    numbers = Counter(cells[NUMBER] for cells in rows)
    for cells in rows:
        if cells["SIS Internal ID"] == status.get("student_id") and (found := complaints(cells, numbers)):
            return Cause(
                "excluded from the export",
                f"published, but not in students.csv, because SameGoal's layout refuses {', '.join(found)}",
                "complete the student's profile in Qmlativ",
            )
    return None


def _night(deployment: Deployment, current: DistrictNight, on: date | None) -> Snapshot:
    """The last night published (by a date)."""
    night = snapshots.last_published(deployment.warehouse, current.district_id, on)
    if night is not None:
        return night
    sentence, next_step = "no night is published yet", f"next: {SYNC}"
    if current.current is not None:
        first = snapshots.first_published_night(deployment.warehouse, current.district_id)
        sentence, next_step = f"nothing was published by {on} yet; the first night is {first}", ""
    elif newer := _newer_night(current):
        sentence, next_step = f"{sentence}: {newer.sentence}", newer.next_step
    elif current.state != "pending":
        sentence = f"{sentence}: the district is {current.state}"
        next_step = current.reason or "samegoal-pipelines districts enable ID"
    raise NothingToExplainError(sentence, district_id=current.district_id, next_step=next_step)


def _landed(deployment: Deployment, night: Snapshot, asset: str, remarks: list[str]) -> Tables | None:
    """An asset as the published run read it. None if it is gone or damaged, which becomes a remark."""
    try:
        return read_landed_for(deployment.landing, night, asset)
    except NotLandedError as error:
        remarks.append(
            f"landed rows of {asset} for {night.snapshot_date} {error.reason}, so only what was published is "
            "shown"
        )
    except LandingError as error:
        remarks.append(str(error))
    return None


def _find(
    deployment: Deployment, night: Snapshot, number: str, people: Tables | None, behind: Cause | None
) -> tuple[list[int], list[str]]:
    """The students with exactly this number that night, or else any night, or else with other spaces around.

    Raises:
        NothingToExplainError: no student has this number.
    """
    wanted, warehouse, district_id = number.strip(), deployment.warehouse, night.district_id
    if not wanted:
        raise NothingToExplainError(
            "the student number is empty", district_id=district_id, next_step="give it as Qmlativ shows it"
        )
    erased = erased_on(warehouse, district_id, number)
    found: list[tuple[bool, bool, int]] = []  # other spaces around, not that night, StudentID
    if len(wanted) <= LONGEST_NUMBER and wanted.isprintable():  # the database rejects some others
        that_night = changes.numbers_like(warehouse, district_id, wanted, night.snapshot_date)
        that_night |= _landed_numbers(people, wanted)
        ever = changes.numbers_like(warehouse, district_id, wanted) | that_night
        found = [
            (text != number, (student, text) not in that_night, student)
            for student, text in ever
            if text.strip() == wanted
        ]
    if found:
        best = min(found)
        students = sorted({one[-1] for one in found if one[:2] == best[:2]})
        remarks = ["the number was found with other spaces around it"] if best[0] else []
        if len(students) > 1:
            remarks.append(f"{len(students)} students have this number in Qmlativ; each is explained")
        if erased:
            remarks.append(f"another student with this number was erased on {erased:%Y-%m-%d}")
        return students, remarks
    if erased:
        raise NothingToExplainError(
            f"a student with this number was erased on {erased:%Y-%m-%d}, and every night drops that student",
            district_id=district_id,
            next_step=f"to publish the student again: samegoal-pipelines erase-student {district_id} "
            "STUDENT_NUMBER --undo",
        )
    raise NothingToExplainError(
        f"no student has the student number {shown(number)}, neither in the rows landed on "
        f"{night.snapshot_date} nor in anything ever published{f'; {behind.sentence}' if behind else ''}",
        district_id=district_id,
        next_step=behind.next_step
        if behind
        else "it is text: check leading zeros, and that it is StudentNumber and not StudentID",
    )


def _landed_numbers(people: Tables | None, wanted: str) -> set[tuple[int, str]]:
    """StudentID and number of the students whose number is this one, apart from spaces around it."""
    if people is None:
        return set()
    records = people["Student"][["StudentID", "StudentNumber"]]
    alike = records["StudentNumber"].str.strip().eq(wanted).fillna(False).to_numpy(bool)
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
    given = {**decision}
    if on_record is not None:
        given["student_number"] = on_record[explanation.student_id]
    return tuple(name for name, value in status.items() if name in given and given[name] != value)
