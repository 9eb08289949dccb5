"""Districts large enough for the gate's shares, and edits of many enrollments at once."""

from collections.abc import Collection
from datetime import date
from typing import Any, cast

import dagster as dg

from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.sandbox import SandboxDistrict
from samegoal_pipelines.settings import Settings

TOMORROW = date(2026, 10, 13)
ENTRIES = "Enrollment/EntryWithdrawal"


def enrolled(count: int, **more: Any) -> list[dict[str, Any]]:
    """Students 1 to `count`, each with one enrollment since August, of the same number."""
    return [{"StudentID": student, "StartDate": "2026-08-12", **more} for student in range(1, count + 1)]


def change(district: SandboxDistrict, students: Collection[int], **fields: Any) -> None:
    """Edit the enrollments of these students in Qmlativ."""
    rows = district.rows(ENTRIES)
    district.replace_rows(ENTRIES, [row | fields if row["StudentID"] in students else row for row in rows])


def gate_checks(district_id: str = "grand-bend") -> list[tuple[str, dg.AssetCheckEvaluation]]:
    """Run id and outcome of every evaluation of the gate's check for this district, oldest first."""
    return check_outcomes("published_snapshot", "gate", district_id)


def check_outcomes(
    asset: str, check: str, district_id: str = "grand-bend"
) -> list[tuple[str, dg.AssetCheckEvaluation]]:
    """Run id and outcome of every evaluation of a check for this district, oldest first."""
    with open_instance(Settings()) as instance:
        records = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey(asset), check), limit=100
        )
    return [
        (record.run_id, cast("dg.AssetCheckEvaluation", record.event.dagster_event.event_specific_data))
        for record in reversed(records)
        if record.partition == district_id and record.event and record.event.dagster_event
    ]


def materializations(district_id: str = "grand-bend") -> list[tuple[str, dict[str, Any]]]:
    """Run id and metadata of every materialization of the district's published snapshot, oldest first."""
    which = dg.AssetRecordsFilter(dg.AssetKey("published_snapshot"), asset_partitions=[district_id])
    with open_instance(Settings()) as instance:
        found = instance.fetch_materializations(which, limit=100).records
    return [
        (record.run_id, {name: value.value for name, value in made.metadata.items()})
        for record in reversed(found)
        if (made := record.asset_materialization)
    ]
