"""Runs that are not over, and how the runs of killed commands are closed.

Dagster monitors the runs that its daemon launched, including re-executions of a command's run. A command
holds a lease while it executes a run (`operations.runs`), and a run without its lease is closed here.
"""

import dagster as dg

from samegoal_pipelines.defs.district_run import BY_COMMAND_TAG, PARTITION_TAG
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.warehouse.leases import is_leased

OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
UNFINISHED = [status for status in dg.DagsterRunStatus if status not in OVER]
_GOING_ON = [status for status in UNFINISHED if status != dg.DagsterRunStatus.NOT_STARTED]


def run_in_progress(instance: dg.DagsterInstance, district_id: str) -> str | None:
    """The id of the district's run in progress, if any."""
    going_on = dg.RunsFilter(statuses=_GOING_ON, tags={PARTITION_TAG: district_id})
    return next((run.run_id for run in instance.get_runs(going_on, limit=1)), None)


def close_abandoned_runs(
    instance: dg.DagsterInstance, deployment: Deployment, district_id: str | None = None
) -> int:
    """Mark as failed the runs of commands that were killed, even before the run started. Return how many."""
    tags = {BY_COMMAND_TAG: "true", **({PARTITION_TAG: district_id} if district_id else {})}
    ids = [
        run.run_id
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags=tags))
        # a re-execution in the UI has the tags of the first run
        if run.parent_run_id is None and not is_leased(deployment.warehouse, run.run_id)
    ]
    # A run that ended while its lease was looked up has given the lease back.
    abandoned = instance.get_runs(dg.RunsFilter(run_ids=ids, statuses=UNFINISHED)) if ids else []
    for run in abandoned:
        instance.report_run_failed(run, "the command that ran it was killed")
    return len(abandoned)
