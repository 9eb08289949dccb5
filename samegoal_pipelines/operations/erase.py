"""Erase a district or one student everywhere, or contacts that are withheld from now on.

A district: rows, credentials, landed files, partition, and its lines in reports and alerts. The record in
`erasures` stays, and so do Dagster's tables of past runs: they name the district and hold counts, but no
student.

A student: the rows in every table and in landed files, including rows of parents who have no other student
there. A marker without personal data stays, so that later nights drop the student right after reading.

The rows come first, in one transaction. If an erasure is interrupted, a second call does the rest.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from samegoal_pipelines.defs.district_run import DISTRICTS
from samegoal_pipelines.defs.instance import (
    Instance,
    close_abandoned_runs,
    open_instance,
    run_in_progress,
)
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.errors import DistrictError, UnknownDistrictError
from samegoal_pipelines.districts.registration import checked_id
from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.landing import LandingError, Rewritten
from samegoal_pipelines.landing.runs import read_landed_for
from samegoal_pipelines.reporting.report import make_report
from samegoal_pipelines.transforms.demographics import find_confidential_phones
from samegoal_pipelines.transforms.erasure import ErasedStudents, hash_of, without_erased
from samegoal_pipelines.transforms.withholding import WITHHOLD
from samegoal_pipelines.warehouse import erase
from samegoal_pipelines.warehouse.changes import students_with_number
from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines.warehouse.snapshots import last_published
from samegoal_pipelines.warehouse.withholding import Hidden, hide_contacts

_PARTITIONS = DISTRICTS.name or ""


def erase_district(deployment: Deployment, district_id: str, *, dry_run: bool = False) -> dict[str, Any]:
    """Remove everything that belongs to a district, and return the rows by table, files and partition.

    A dry run only counts them. After the rows are gone, no run of the district can start. If one started at
    the same moment, this refuses to delete the files until the run has ended.
    """
    checked_id(district_id)
    warehouse, landing = deployment.warehouse, deployment.landing
    with _erasing(deployment, district_id, dry_run=dry_run) as instance:
        found = {
            "rows": erase.count_rows(warehouse, district_id),
            "files": landing.count_files(district_id),
            "partition": instance.has_dynamic_partition(_PARTITIONS, district_id),
        }
        if not any(found.values()) and not erase.is_unfinished(warehouse, district_id):
            raise UnknownDistrictError("there is no data of this district")
        if not dry_run:
            found["rows"] = erase.erase_rows(warehouse, district_id, deployment.settings.operator)
            _refuse_while_running(instance, district_id)
            found["files"] = files = landing.erase(district_id)
            _make_reports_again(deployment, district_id)
            instance.delete_dynamic_partition(_PARTITIONS, district_id)
            erase.finish(warehouse, district_id, files)
    return found


def erase_student(
    deployment: Deployment,
    district_id: str,
    number: str,
    student_id: int | None = None,
    *,
    dry_run: bool = False,
) -> tuple[dict[str, int], Rewritten]:
    """Erase the student, and return the rows by table, and the landed files. A dry run only counts them."""
    deployment.registry.get(district_id)
    warehouse, rows = deployment.warehouse, dict[str, int]()
    with (
        _erasing(deployment, district_id, dry_run=dry_run) as instance,
        nullcontext() if dry_run else erase.one_at_a_time(warehouse, district_id),
    ):
        found = _find(deployment, district_id, number, student_id)
        if dry_run:
            rows = erase.count_rows(warehouse, district_id, found)
        else:
            for student in found:
                operator = deployment.settings.operator
                rows = erase.erase_student_rows(warehouse, district_id, student, number, operator)
            _refuse_while_running(instance, district_id)
        marked = erase.erased_students(warehouse, district_id)
        hashes = {hash_of(marked.key, "student", one) for one in found}  # a dry run has not marked them
        wanted = ErasedStudents(marked.key, marked.students | hashes)
        rewritten = _rewrite(deployment, instance, district_id, wanted, dry_run=dry_run)
        if not dry_run:
            erase.finish_student(warehouse, district_id, rewritten.files + rewritten.deleted)
    return rows, rewritten


def lift(deployment: Deployment, district_id: str, number: str) -> None:
    """Let later nights publish the student again. What was erased stays erased."""
    deployment.registry.get(district_id)
    if not erase.lift(deployment.warehouse, district_id, number):
        sentence = "no student with this number is marked as erased"
        to_do = "give the number with which the student was erased"
        raise DistrictError(sentence, district_id=district_id, next_step=to_do)


@contextmanager
def _erasing(deployment: Deployment, district_id: str, *, dry_run: bool) -> Iterator[Instance]:
    """Refuse to erase while a run of the district is in progress. Name the district in every error."""
    try:
        with open_instance(deployment.settings) as instance:
            if not dry_run:
                close_abandoned_runs(instance, deployment, district_id)
                _refuse_while_running(instance, district_id)
            yield instance
    except PipelineError as error:
        error.district_id = district_id
        raise


def _refuse_while_running(instance: Instance, district_id: str) -> None:
    """Refuse to erase while a run of the district may read or land what is erased."""
    if run_id := run_in_progress(instance, district_id):
        to_do = "wait for its end or cancel it, then run this again"
        raise DistrictError(f"run {run_id} is still in progress", step="erasing", next_step=to_do)


def _make_reports_again(deployment: Deployment, district_id: str) -> None:
    """Rewrite the pages that name the district, from the remaining rows."""
    named = re.compile(rf"(?<![a-z0-9-]){district_id}(?![a-z0-9-])")
    for night, text in deployment.landing.pages().items():
        if named.search(text):
            report = make_report(deployment.warehouse, datetime.now(UTC), night)
            deployment.landing.keep_page(night, report.html(deployment.settings.ui_url))


def _find(deployment: Deployment, district_id: str, number: str, student_id: int | None) -> list[int]:
    """The StudentID with this number, ever published or landed. Empty if the student is already marked."""
    wanted, warehouse, found = number.strip(), deployment.warehouse, set[int]()
    if wanted:
        columns = ("raw_students", "Student", "StudentID", "StudentNumber")
        landed = deployment.landing.values(district_id, *columns)
        found = {one for one, text in landed if one is not None and (text or "").strip() == wanted}
        found |= students_with_number(warehouse, district_id, wanted)
    found -= erase.erased_students(warehouse, district_id).among(found)
    erased = erase.erased_on(warehouse, district_id, number)
    if student_id is not None:
        found &= {student_id}
    elif found and (len(found) > 1 or erased):
        who = ", ".join(map(str, sorted(found))) + (", besides one who is erased already" if erased else "")
        sentence = f"several students have or had this number: StudentID {who}"
        raise DistrictError(sentence, next_step="say which one with --student-id")
    if not found and not erased:
        where = "neither in the landed rows nor in anything ever published"
        to_do = "it is text: check leading zeros, and that it is StudentNumber and not StudentID"
        raise DistrictError(f"no student has this number, {where}; nothing was erased", next_step=to_do)
    return sorted(found)


def _rewrite(
    deployment: Deployment, instance: Instance, district_id: str, erased: ErasedStudents, *, dry_run: bool
) -> Rewritten:
    """Remove them from the landed files, from `raw_parents` last: only it says whose parents are whose."""
    columns = ("raw_parents", "StudentGuardian", "StudentID", "NameIDGuardian")
    pairs = deployment.landing.values(district_id, *columns)
    gone = erased.among({student for student, _ in pairs})
    theirs = {parent for student, parent in pairs if student in gone}
    others = {parent for student, parent in pairs if student not in gone}
    parents = theirs - others - {None}
    return deployment.landing.rewrite(
        district_id,
        lambda tables: without_erased(tables, erased, parents),
        in_progress=lambda: run_in_progress(instance, district_id),
        last="raw_parents",
        dry_run=dry_run,
    )


# -- contacts --


def hide_published_contacts(
    deployment: Deployment, district_id: str, *, restricted: bool, confidential: bool
) -> Hidden:
    """Remove the contacts that the district withholds from now on from its published rows.

    Call it after the switch is set. A run that is publishing either sees the switch and fails, or ends first,
    and then its rows are changed.
    """
    try:
        numbers = _confidential_numbers(deployment, district_id) if confidential else None
        return hide_contacts(deployment.warehouse, district_id, restricted=restricted, confidential=numbers)
    except WarehouseError as error:
        raise WarehouseError(
            f"the switch is set, but what is published still shows these contacts: {error.reason}",
            district_id=district_id,
            next_step=f"{error.next_step}; then give the same command again",
        ) from None


def _confidential_numbers(deployment: Deployment, district_id: str) -> dict[int, pd.DataFrame]:
    """The confidential numbers of the published snapshot, by its id. Empty if its rows are not landed."""
    if published := last_published(deployment.warehouse, district_id):
        with suppress(LandingError):
            assets = ("raw_students", "raw_parents")
            landed = (read_landed_for(deployment.landing, published, asset) for asset in assets)
            numbers = [find_confidential_phones(raw, WITHHOLD) for raw in landed]
            return {published.snapshot_id: pd.concat(numbers, ignore_index=True)}
    return {}
