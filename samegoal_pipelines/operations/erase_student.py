"""Erase one student: rows in every table, and rows in landed files, those of parents only theirs included.

A marker without personal data stays, so that later nights drop the student right after reading. The rows and
the marker come first, in one transaction. If this is interrupted, a second call does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from samegoal_pipelines.defs.in_process import run_in_progress
from samegoal_pipelines.defs.instance import Instance, open_instance
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.errors import DistrictError
from samegoal_pipelines.landing import Rewritten
from samegoal_pipelines.operations.erase import ROWS_ERASED, erasing, naming, refuse_while_running
from samegoal_pipelines.transforms.erasure import ErasedStudents, hash_of, without_erased
from samegoal_pipelines.warehouse import changes, erase, student_erasures
from samegoal_pipelines.warehouse.student_erasures import erased_students


class StudentNotErasedError(DistrictError):
    """No student has this number, or it does not say which student."""


@dataclass(frozen=True)
class StudentHoldings:
    """What there is or was of a student: rows by table, and landed files and the rows in them.

    `unreadable` counts landed files that nobody can read any more. They are deleted.
    """

    rows: dict[str, int]
    files: int
    landed_rows: int
    unreadable: int


def holdings(
    deployment: Deployment, district_id: str, number: str, student_id: int | None = None
) -> StudentHoldings:
    """What erasing the student would remove. Raises `StudentNotErasedError`."""
    deployment.registry.get(district_id)
    with open_instance(deployment.settings) as instance, naming(district_id):
        found = _find(deployment, district_id, number, student_id)
        rows = erase.count_rows(deployment.warehouse, district_id, found)
        marked = erased_students(deployment.warehouse, district_id)
        hashes = {hash_of(marked.key, "student", one) for one in found}
        wanted = ErasedStudents(marked.key, marked.students | hashes)
        return _holdings(rows, _rewrite(deployment, instance, district_id, wanted, dry_run=True))


def erase_student(
    deployment: Deployment, district_id: str, number: str, student_id: int | None = None
) -> StudentHoldings:
    """Erase the student. After an interruption, a second call removes the rest.

    Raises:
        StudentNotErasedError: no student has this number, or several have.
        EraseRefusedError: a run of the district is in progress, or rows or files cannot be changed.
    """
    deployment.registry.get(district_id)
    warehouse = deployment.warehouse
    with erasing(deployment, district_id) as instance:
        rows: dict[str, int] = {}
        with student_erasures.one_at_a_time(warehouse, district_id):
            for student in _find(deployment, district_id, number, student_id):
                operator = deployment.settings.operator
                rows = student_erasures.erase_rows(warehouse, district_id, student, number, operator)
            refuse_while_running(instance, district_id, ROWS_ERASED)
            marked = erased_students(warehouse, district_id)
            rewritten = _rewrite(deployment, instance, district_id, marked)
            student_erasures.finish(warehouse, district_id, rewritten.files + rewritten.deleted)
    return _holdings(rows, rewritten)


def lift(deployment: Deployment, district_id: str, number: str) -> None:
    """Let later nights publish the student again. What was erased stays erased."""
    deployment.registry.get(district_id)
    if not student_erasures.lift(deployment.warehouse, district_id, number):
        raise StudentNotErasedError(
            "no student with this number is marked as erased",
            district_id=district_id,
            next_step="give the number with which the student was erased",
        )


def _holdings(rows: dict[str, int], rewritten: Rewritten) -> StudentHoldings:
    return StudentHoldings(rows, rewritten.files, rewritten.rows, rewritten.deleted)


def _find(deployment: Deployment, district_id: str, number: str, student_id: int | None) -> list[int]:
    """The StudentID with this number, ever published or landed. Empty if the student is already marked."""
    wanted = number.strip()
    found: set[int] = set()
    if wanted:
        published = changes.numbers_like(deployment.warehouse, district_id, wanted)
        found = {student for student, text in published if text.strip() == wanted}
        for pairs in _landed(
            deployment, district_id, "raw_students", "Student", "StudentID", "StudentNumber"
        ):
            found |= {one for one, text in pairs if one is not None and (text or "").strip() == wanted}
    marked = erased_students(deployment.warehouse, district_id)
    found -= marked.among(found)
    erased = student_erasures.erased_on(deployment.warehouse, district_id, number)
    if student_id is not None:
        found &= {student_id}
    elif found and (len(found) > 1 or erased):
        raise StudentNotErasedError(
            f"several students have or had this number: StudentID {', '.join(map(str, sorted(found)))}"
            + (", besides one who is erased already" if erased else ""),
            district_id=district_id,
            next_step="say which one with --student-id",
        )
    if not found and not erased:
        raise StudentNotErasedError(
            "no student has this number, neither in the landed rows nor in anything ever published; "
            "nothing was erased",
            district_id=district_id,
            next_step="it is text: check leading zeros, and that it is StudentNumber and not StudentID",
        )
    return sorted(found)


def _rewrite(
    deployment: Deployment,
    instance: Instance,
    district_id: str,
    erased: ErasedStudents,
    *,
    dry_run: bool = False,
) -> Rewritten:
    """Remove them from the landed files, from `raw_parents` last: only it says whose parents are whose."""
    theirs: set[int | None] = set()
    others: set[int | None] = {None}
    columns = ("StudentID", "NameIDGuardian")
    for pairs in _landed(deployment, district_id, "raw_parents", "StudentGuardian", *columns):
        gone = erased.among([student for student, _ in pairs])
        theirs |= {parent for student, parent in pairs if student in gone}
        others |= {parent for student, parent in pairs if student not in gone}
    parents = {one for one in theirs - others if one is not None}
    return deployment.landing.rewrite(
        district_id,
        lambda tables: without_erased(tables, erased, parents),
        in_progress=lambda: run_in_progress(instance, district_id),
        last="raw_parents",
        dry_run=dry_run,
    )


def _landed(
    deployment: Deployment, district_id: str, asset: str, table: str, *columns: str
) -> Iterator[list[tuple[Any, ...]]]:
    """Columns of one table of an asset, from every landed run."""
    for night in deployment.landing.nights(district_id):
        for landed in deployment.landing.landed(asset, district_id=district_id, night=night):
            rows = deployment.landing.column_values(landed, table, list(columns))
            yield [tuple(row[name] for name in columns) for row in rows]
