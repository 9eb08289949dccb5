"""Group raw: tonight's data from Qmlativ, unchanged.

One step reads everything that the selected assets need, several objects at a time, to use all connections. If
any object fails, nothing of the night is stored.
"""

from collections.abc import Iterable, Iterator, Set
from typing import Any

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.district_run import DISTRICTS, DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.lineage import raw_columns
from samegoal_pipelines.defs.materializing import materialize_tables, schema_check
from samegoal_pipelines.defs.metadata import (
    entity_facts,
    finding_checks,
    reading_facts,
    reading_findings,
)
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.reading import read_district
from samegoal_pipelines.transforms.enrollments import window_start
from samegoal_pipelines.transforms.erasure import drop_erased
from samegoal_pipelines.transforms.reads import rows_by_listing
from samegoal_pipelines.warehouse.erase import erased_students

STEP = "reading Qmlativ"
RAW_ASSETS = {
    "raw_enrollments": "Entries and withdrawals of the previous, current and upcoming school year, and those "
    "of older years that are open or ended within the past year, with their "
    "codes, schools, entities and school years, as Qmlativ gave them tonight.",
    "raw_students": "Students, their names, addresses, phones and e-mails, as Qmlativ gave them tonight.",
    "raw_parents": "Guardians of students, their names, addresses, phones and e-mails, as Qmlativ gave them "
    "tonight. Staff and vendors, who share these objects, are dropped before anything is stored.",
}


@dg.multi_asset(
    name="read_qmlativ",
    outs={
        asset: dg.AssetOut(
            group_name="raw",
            description=description,
            kinds={"qmlativ", "parquet"},
            metadata=raw_columns(asset),
            is_required=False,
        )
        for asset, description in RAW_ASSETS.items()
    },
    check_specs=[check for asset in RAW_ASSETS for check in (schema_check(asset), *finding_checks(asset))],
    partitions_def=DISTRICTS,
    can_subset=True,
)
def read_qmlativ(
    context: dg.AssetExecutionContext,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """Read the selected raw assets in one pass."""
    selected = {key.to_user_string() for key in context.op_execution_context.selected_asset_keys}
    if not selected:  # the UI also offers to execute such a check alone
        message = f"{STEP}: a check of a raw asset only runs with the asset: materialize the asset instead"
        raise dg.Failure(message, allow_retries=False)
    with as_dagster_failure(STEP, district_run, of_night=True):
        district_run.refuse_another_night()
        last = {asset: district_run.landing.last_reads(asset) for asset in selected}
        raw, erased = read_tonight(district_run, selected, last.values())
        for asset, tables in raw.items():
            facts = reading_facts(tables["Reads"]) | entity_facts(tables)
            facts["rows of erased students dropped"] = erased[asset]
            findings = reading_findings(asset, tables, last[asset])
            yield from materialize_tables(context, asset, tables, facts, findings=findings)


def read_tonight(
    run: DistrictRun, assets: Set[str] = RAW_ASSETS.keys(), last_reads: Iterable[pd.DataFrame | None] = ()
) -> tuple[dict[str, Tables], dict[str, int]]:
    """Read these raw assets with the district's credentials.

    Args:
        last_reads: tables of reads, from when the assets were landed last, if ever.

    Returns:
        By asset: its tables with the table of reads; the number of rows of erased students, which are not in
        the tables.
    """
    deployment, district = run.deployment, run.district
    with QmlativClient(deployment.registry.connection(district)) as client:
        deployment.registry.recognize(district, client.identity())
        read = read_district(
            client,
            assets,
            ended_since=window_start(run.today),
            expected_rows=rows_by_listing(last_reads),  # known pages load at once
            entities=district.entities,
            progress=deployment.progress,
        )
    return drop_erased(read, erased_students(deployment.warehouse, district.id))
