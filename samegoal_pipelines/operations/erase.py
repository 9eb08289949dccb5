"""Erase a district: rows, credentials, landed files, partition, and its lines in reports and alerts.

The record in `erasures` stays, and so do Dagster's tables of past runs: they name the district and hold
counts, but no student.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from samegoal_pipelines.defs.district_run import DISTRICTS
from samegoal_pipelines.defs.in_process import close_abandoned_runs, run_in_progress
from samegoal_pipelines.defs.instance import Instance, open_instance
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.errors import DistrictError, UnknownDistrictError
from samegoal_pipelines.districts.names import checked_id
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.reporting.report import FOLDER, make_report
from samegoal_pipelines.warehouse import erase
from samegoal_pipelines.warehouse.errors import WarehouseError

_PARTITIONS = DISTRICTS.name or ""
ROWS_ERASED = "the rows are erased; when it has ended, run this again for the files"


class EraseRefusedError(DistrictError):
    """A district cannot be erased now, or not completely. The message says what to do."""


@dataclass(frozen=True)
class Holdings:
    """What a district has or had: rows by table, landed files, and whether it has a partition."""

    rows: dict[str, int]
    files: int
    partition: bool


def holdings(deployment: Deployment, district_id: str) -> Holdings:
    """What erasing the district would remove. Raises `UnknownDistrictError` if that is nothing."""
    checked_id(district_id)
    with open_instance(deployment.settings) as instance, naming(district_id):
        return _holdings(deployment, instance, district_id)


def erase_district(deployment: Deployment, district_id: str) -> Holdings:
    """Remove everything of a district. After an interruption, a second call removes the rest.

    The rows go first, in one transaction. After that no run of the district can start. If one started at the
    same moment, this refuses to delete the files until the run has ended.

    Raises:
        UnknownDistrictError: the district has no data, and no erasure is unfinished.
        EraseRefusedError: a run of the district is in progress, or its rows or files cannot be deleted.
    """
    checked_id(district_id)
    with erasing(deployment, district_id) as instance:
        had_partition = _holdings(deployment, instance, district_id).partition
        rows = erase.erase_rows(deployment.warehouse, district_id, deployment.settings.operator)
        refuse_while_running(instance, district_id, ROWS_ERASED)
        files = deployment.landing.erase(district_id)
        _make_reports_again(deployment, district_id)
        instance.delete_dynamic_partition(_PARTITIONS, district_id)
        erase.finish(deployment.warehouse, district_id, files)
    return Holdings(rows, files, had_partition)


@contextmanager
def erasing(deployment: Deployment, district_id: str) -> Iterator[Instance]:
    """Refuse to erase while a run of the district is in progress, and name the district in errors."""
    with open_instance(deployment.settings) as instance, naming(district_id):
        close_abandoned_runs(instance, deployment, district_id)
        refuse_while_running(instance, district_id, "wait for its end or cancel it, then run this again")
        yield instance


@contextmanager
def naming(district_id: str) -> Iterator[None]:
    """Add the district to the errors of warehouse and landing."""
    try:
        yield
    except (WarehouseError, LandingError) as error:
        raise EraseRefusedError(
            error.reason, step="erasing", district_id=district_id, next_step=error.next_step
        ) from None


def _holdings(deployment: Deployment, instance: Instance, district_id: str) -> Holdings:
    found = Holdings(
        erase.count_rows(deployment.warehouse, district_id),
        deployment.landing.count_files(district_id),
        instance.has_dynamic_partition(_PARTITIONS, district_id),
    )
    if not any((found.rows, found.files, found.partition)) and not erase.is_unfinished(
        deployment.warehouse, district_id
    ):
        raise UnknownDistrictError("there is no data of this district", district_id=district_id)
    return found


def _make_reports_again(deployment: Deployment, district_id: str) -> None:
    """Rewrite the pages that name the district, from the remaining rows."""
    from samegoal_pipelines.reporting import page  # its plots take a second to import

    named = re.compile(rf"(?<![a-z0-9-]){district_id}(?![a-z0-9-])")
    for night, text in deployment.landing.pages(FOLDER).items():
        if named.search(text):
            report = make_report(deployment.warehouse, datetime.now(UTC), night)
            made = page.html(report, deployment.settings.ui_url)
            deployment.landing.keep_page(FOLDER, night, made)


def refuse_while_running(instance: Instance, district_id: str, next_step: str) -> None:
    """Refuse to erase while a run of the district may read or land what is erased."""
    if run_id := run_in_progress(instance, district_id):
        raise EraseRefusedError(
            f"run {run_id} is still in progress", step="erasing", district_id=district_id, next_step=next_step
        )
