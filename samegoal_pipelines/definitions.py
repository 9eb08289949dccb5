"""The pipeline's Dagster definitions, which `workspace.yaml` loads.

Tests call `build_defs` with their own deployment.
"""

from multiprocessing import parent_process
from typing import Any

import dagster as dg

from samegoal_pipelines.defs import (
    alerts,
    housekeeping,
    nightly,
    op_jobs,
    published,
    report,
    students,
    worklist,
)
from samegoal_pipelines.defs.dagster_internals import start_runs_warm
from samegoal_pipelines.defs.district_run import district_run
from samegoal_pipelines.defs.materializing import IN_MEMORY, landing_io_manager
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.reporting.addresses import check_addresses
from samegoal_pipelines.settings import Settings

OWNER = "team:data-engineers"
ASSETS = [students, published, worklist, report]
"""The modules with assets. A module that is added here runs in the nightly job and in a release."""


def build_defs(deployment: Deployment | None = None) -> dg.Definitions:
    """The assets, jobs, schedule and resources over one deployment, by default the environment's."""
    assets: Any = dg.load_assets_from_modules(ASSETS)
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: spec.replace_attributes(owners=[OWNER]), assets),
        asset_checks=[alerts.once_published],
        jobs=[
            nightly.nightly_snapshot,
            published.release_held_snapshot,
            op_jobs.dry_run,
            op_jobs.replay_nights,
            housekeeping.prune_landing,
            report.make_nightly_report,
        ],
        sensors=[report.report_after_the_night, alerts.night_alert],
        schedules=[nightly.nightly_by_district, housekeeping.nightly_prune],
        resources={
            "deployment": deployment or Deployment(),
            "district_run": district_run,
            "io_manager": landing_io_manager,
            IN_MEMORY: dg.mem_io_manager,
        },
        # One process per run: `today` is decided once, and frames are passed on in memory.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the environment's deployment, for Dagster's code server and the runs it starts."""
    if parent_process() is None:  # the code server, not each of its runs
        settings = Settings()
        check_addresses(settings.alert_urls, settings.contact_mail_url)
    start_runs_warm()
    return build_defs()
