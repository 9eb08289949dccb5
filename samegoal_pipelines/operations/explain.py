"""Explain why a student has the published status, and list the students whom a held night would change.

An answer holds ids, dates, codes, schools and student numbers, but no names. No rule lives here.
"""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.errors import SYNC, PipelineError, fill_in
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.landing.runs import HELD_SNAPSHOT, NotLandedError, landed_for, read_landed_for
from samegoal_pipelines.printable import shown
from samegoal_pipelines.reporting.nightly_status import DistrictNight, read_district
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.vocabulary import NO_ROWS, RULES
from samegoal_pipelines.transforms.explanation import BY_DEPARTURE, Cause, Explanation, explain
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.transforms.students_csv import check_rows
from samegoal_pipelines.warehouse import snapshots
from samegoal_pipelines.warehouse.changes import PublishedStudent, student_as_of, students_with_number
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.erase import erased_on
from samegoal_pipelines.warehouse.export import published_students
from samegoal_pipelines.warehouse.session import StudentChange
from samegoal_pipelines.warehouse.snapshots import Snapshot

Tables = Mapping[str, pd.DataFrame]

_UNKNOWN = dict.fromkeys(Explanation.__annotations__) | {"uncertain": ()}


@dataclass(frozen=True)
class Answer:
    """Every student with the number, for one published night."""

    district_id: str
    student_number: str
    night: date
    landed_run_id: str | None
    """The run whose rows were read. None if they are gone."""
    remarks: tuple[str, ...]
    students: tuple[dict[str, Any], ...]
    """For each, `student_id`, the fields of `PublishedStudent` and of `Explanation` (None if the landed rows
    are gone), and:

    - carried_over: whether an older row stays because this night's rows leave the student in doubt
    - differs: columns whose published value differs from the landed rows under today's rules
    - cause: why the student is absent, or excluded from the export; None: neither
    - in_words: all of it but the cause, as sentences for people
    """


def explain_student(
    deployment: Deployment, district_id: str, student_number: str, on: date | None = None
) -> Answer:
    """Explain what is published about the student, or what was published for a date.

    Raises `PipelineError` if no night is published (by that date), or no student has this number.
    """
    current = read_district(deployment.warehouse, datetime.now(UTC), district_id)
    night, remarks = _night(deployment, current, on), list[str]()
    enrollments = _landed(deployment, night, "raw_enrollments", remarks)
    people = _landed(deployment, night, "raw_students", remarks)
    newer = _newer_night(current) if on is None else None
    behind = newer and _why_behind(deployment, current, newer, student_number)
    answers = []
    for student in _find(deployment, night, student_number, people, behind, remarks):
        seen = None if enrollments is None else explain(enrollments, people, student, night.snapshot_date)
        known = student_as_of(deployment.warehouse, district_id, student, night.snapshot_date)
        cause = None
        if known.published is not None:
            cause = _why_not_exported(deployment, district_id, known.published) if on is None else None
        elif behind and behind.name == "held":
            cause = behind
        else:
            cause = seen.cause if seen else BY_DEPARTURE[(known.departure or {}).get("why", NO_ROWS)]
        differs = _differences(seen, known.published)
        answers.append(
            {
                "student_id": student,
                **known._asdict(),
                **(vars(seen) if seen else _UNKNOWN),
                "carried_over": bool(seen and seen.carried_over and known.published),
                "differs": differs,
                "cause": cause and replace(cause, next_step=fill_in(cause.next_step, district_id)),
                "in_words": _in_words(night, seen, known, differs),
            }
        )
    if on is not None and (later := snapshots.unpublished_since(deployment.warehouse, night, on)):
        newer = _of_attempt(later)
    return Answer(
        district_id=district_id,
        student_number=student_number,
        night=night.snapshot_date,
        landed_run_id=landed_for(deployment.landing, night, "raw_enrollments").run_id
        if enrollments
        else None,
        remarks=(*remarks, *([newer.sentence] if newer else [])),
        students=tuple(answers),
    )


# -- the night, and the one after it --


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
    raise PipelineError(sentence, district_id=current.district_id, next_step=next_step)


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
    with suppress(LandingError):
        night = attempt.snapshot_date
        for one in students_of_hold(deployment, current.district_id, night, attempt.run_id):
            if one.new_status and (one.student_number or "").strip() == number.strip():
                said = f"the night {night} is held, and has the student as {one.new_status}"
                return replace(newer, sentence=said)
    return None


def _landed(deployment: Deployment, night: Snapshot, asset: str, remarks: list[str]) -> Tables | None:
    """An asset as the published run read it. None if it is gone or damaged, which becomes a remark."""
    try:
        return read_landed_for(deployment.landing, night, asset)
    except NotLandedError as error:
        rows = f"landed rows of {asset} for {night.snapshot_date} {error.reason}"
        remarks.append(f"{rows}, so only what was published is shown")
    except LandingError as error:
        remarks.append(str(error))
    return None


# -- the students with a number --


def _find(
    deployment: Deployment,
    night: Snapshot,
    number: str,
    people: Tables | None,
    behind: Cause | None,
    remarks: list[str],
) -> list[int]:
    """The students who had this number that night, or else who ever had it. Spaces around it do not count."""
    wanted, warehouse, district_id = number.strip(), deployment.warehouse, night.district_id
    students: set[int] = set()
    if wanted and wanted.isprintable():  # the database rejects some others
        students = students_with_number(warehouse, district_id, wanted, night.snapshot_date)
        if people is not None:
            landed = people["Student"][["StudentID", "StudentNumber"]].dropna()
            students |= {*landed.loc[landed["StudentNumber"].str.strip() == wanted, "StudentID"].tolist()}
        students = students or students_with_number(warehouse, district_id, wanted)
    erased = erased_on(warehouse, district_id, number)
    if students:
        if len(students) > 1:
            remarks.append(f"{len(students)} students have this number in Qmlativ; each is explained")
        if erased:
            remarks.append(f"another student with this number was erased on {erased:%Y-%m-%d}")
        return sorted(students)
    if erased:
        sentence = (
            f"a student with this number was erased on {erased:%Y-%m-%d}; every night drops the student"
        )
        next_step = "to publish the student again: samegoal-pipelines erase-student ID STUDENT_NUMBER --undo"
    else:
        where = f"neither in the rows landed on {night.snapshot_date} nor in anything ever published"
        sentence = f"no student has the student number {shown(number) or '(empty)'}, {where}"
        next_step = "it is text: check leading zeros, and that it is StudentNumber and not StudentID"
        if behind:
            sentence, next_step = f"{sentence}; {behind.sentence}", behind.next_step
    raise PipelineError(sentence, district_id=district_id, next_step=next_step)


# -- one student --


def _why_not_exported(deployment: Deployment, district_id: str, status: Mapping[str, Any]) -> Cause | None:
    """Why `export` excludes a published student."""
    alike = published_students(deployment.warehouse, district_id, status["student_number"])
    for row, _, complaints in check_rows(alike):
        if row["student_id"] == status["student_id"] and complaints:
            refused = f"SameGoal's layout refuses {', '.join(complaints)}"
            return Cause(
                "excluded from the export",
                f"published, but not in students.csv, because {refused}",
                "complete the student's profile in Qmlativ",
            )
    return None


def _differences(seen: Explanation | None, status: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Columns of the published status that differ from the landed rows."""
    if seen is None or seen.carried_over:
        return ()
    decision = seen.decision
    if decision is None or status is None:
        return () if decision is status else ("status",)
    return tuple(name for name, value in status.items() if name in decision and decision[name] != value)


def _in_words(
    night: Snapshot, seen: Explanation | None, known: PublishedStudent, differs: tuple[str, ...]
) -> list[str]:
    """What was published, the result of the rows and the rule, and any contradiction."""
    status, left, change = known.published, known.departure, known.last_change
    if status:
        where = f"{status['status']} at {status['building'] or 'no building'}"
        said = [f"published: {where}, unchanged since {status['since']}"]
        if seen is not None and seen.carried_over:
            said[0] += "; carried over, because this night's rows cannot be relied on"
        if change and change["change"] == "status" and change["old_status"] != change["new_status"]:
            said.append(f"published before {change['snapshot_date']}: {change['old_status']}")
    elif left:
        said = [
            f"published: nothing; left on {left['snapshot_date']} as {left['last_status']}: {left['why']}"
        ]
    else:
        said = ["published: nothing, on that night or before"]
    if seen is not None:
        said += seen.sentences()
    elif status:
        rule = list(RULES).index(status["reason"]) + 1
        said += [
            f"rule {rule} decided: {RULES[status['reason']].sentence} ({status['reason']})",
            f"enrollment {status['enrollment_id']} decided, {status['first_day']} to "
            f"{status['last_day'] or 'open'}",
        ]
    if seen is not None and differs:
        rows_give = seen.decision["status"] if seen.decision else "no status"
        published = status["status"] if status else "nothing"
        contradiction = f"differ from what is published in {', '.join(differs)}"
        if rows_give != published:
            contradiction = f"give {rows_give}, but {published} is published"
        since = "the rules or the rows have changed since that night was published"
        replay = f"samegoal-pipelines replay {night.district_id} --from {night.snapshot_date} recomputes it"
        said.append(f"by today's rules these rows {contradiction}: {since}; {replay}")
    return said


# -- the students of a held night --


def students_of_hold(
    deployment: Deployment, district_id: str, night: date, run_id: str
) -> tuple[StudentChange, ...]:
    """The students who would be added, removed, or change their status or number, ordered by number."""
    held = SnapshotPayload.from_landed(
        deployment.landing.read(HELD_SNAPSHOT, district_id=district_id, night=night, run_id=run_id)
    )
    columns, nowhere = ["student_id", "student_number", "status"], (None, None)
    kept = held.status[columns]
    after = {one: tuple(rest) for one, *rest in kept.astype(object).where(kept.notna(), None).to_numpy()}
    c = STATUS.table.c
    here = c.district_id == district_id
    with as_operator(deployment.warehouse, "looking up the published students") as connection:
        published = connection.execute(sa.select(*(c[n] for n in columns)).where(here, c.valid_to.is_(None)))
        before = {one: tuple(rest) for one, *rest in published if one not in held.carried_over}
        changed = {
            one: (before.get(one, nowhere), after.get(one, nowhere))
            for one in before.keys() | after.keys()
            if before.get(one) != after.get(one)
        }
        gained = [number for (old, _), (number, _) in changed.values() if number and number != old]
        query = sa.select(c.student_number, c.student_id).distinct().order_by(c.student_id)
        holders: dict[str | None, list[int]] = defaultdict(list)  # who have or had each number
        for number, student in connection.execute(query.where(here, c.student_number.in_(gained))):
            holders[number].append(student)
    why, found = held.why_absent(), []
    for student, ((old_number, old_status), (number, status)) in changed.items():
        others = ", ".join(str(one) for one in holders[number] if one != student)
        of_others = f"the student number is or was that of StudentID {others} too" if others else None
        renumbered = old_status and status and number != old_number
        found.append(
            StudentChange(
                student_id=student,
                student_number=number or old_number,
                change="status" if old_status and status else "added" if status else "removed",
                old_status=old_status,
                new_status=status,
                changed_columns=["student_number"] if renumbered else [],
                previous_number=old_number if renumbered else None,
                why=of_others if status else why.get(student, NO_ROWS),
            )
        )
    return tuple(sorted(found, key=lambda one: (one.student_number or "", one.student_id)))
