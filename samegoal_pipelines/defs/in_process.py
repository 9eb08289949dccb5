"""Run a job in a command's process, and close the runs of killed commands.

These runs skip Dagster's launcher, because starting a process costs more than a small district's night.
Dagster monitors the runs that its daemon launched, including re-executions of a command's run. A command
holds a lease while it executes a run, and a run without its lease is closed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import dagster as dg

from samegoal_pipelines.defs.dagster_internals import appear_in_timeline
from samegoal_pipelines.defs.district_run import BY_COMMAND_TAG, PARTITION_TAG, PARTITIONS
from samegoal_pipelines.defs.errors import NEXT_STEP, REASON
from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.warehouse.leases import is_leased, lease
from samegoal_pipelines.warehouse.snapshots import OPEN_THE_RUN

GOING_ON = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
UNFINISHED = [dg.DagsterRunStatus.NOT_STARTED, *GOING_ON]


@dataclass(frozen=True)
class FinishedRun:
    """A finished run in this process.

    Attributes:
        success: whether it succeeded.
        stopped: whether a step ended because a person or the machine stopped this process.
        reason, next_step: why it failed, and what to do; blank if it succeeded.
        output: the value of the job's only op, if the run succeeded.
    """

    run_id: str
    success: bool = False
    stopped: bool = False
    reason: str = ""
    next_step: str = ""
    output: Any = None


def execute(
    job: dg.JobDefinition,
    deployment: Deployment,
    district_id: str,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    debug: bool = False,
) -> FinishedRun:
    """Run a job for one district in this process, on the instance that the UI shows."""
    run_id, log_level = str(uuid4()), "DEBUG" if debug else "CRITICAL"
    with open_instance(deployment.settings) as instance, lease(deployment.warehouse, run_id):
        instance.add_dynamic_partitions(PARTITIONS, [district_id])
        close_abandoned_runs(instance, deployment, district_id)
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            partition_key=district_id,
            tags={
                **(tags or {}),
                **appear_in_timeline(instance, job.name),
                BY_COMMAND_TAG: "true",
                "dagster/max_retries": "0",  # the person at the terminal decides
            },
            raise_on_error=False,
            run_config={**(config or {}), "loggers": {"console": {"config": {"log_level": log_level}}}},
        )
    if result.success:
        output = result.output_for_node(job.nodes[0].name) if len(job.nodes) == 1 else None
        return FinishedRun(run_id, success=True, output=output)
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    if any(f.error and f.error.cls_name == dg.DagsterExecutionInterruptedError.__name__ for f in failures):
        return FinishedRun(run_id, stopped=True, reason="stopped")
    for failure in (one.user_failure_data for one in failures if one.user_failure_data):
        said = {name: str(value.value) for name, value in failure.metadata.items()}
        return FinishedRun(
            run_id, reason=said.get(REASON, str(failure.description)), next_step=said.get(NEXT_STEP, "")
        )
    return FinishedRun(run_id, reason="the run failed before its first step", next_step=OPEN_THE_RUN)


def run_in_progress(instance: dg.DagsterInstance, district_id: str) -> str | None:
    """The id of the district's run in progress, if any."""
    going_on = dg.RunsFilter(statuses=GOING_ON, tags={PARTITION_TAG: district_id})
    return next((run.run_id for run in instance.get_runs(going_on, limit=1)), None)


def close_abandoned_runs(
    instance: dg.DagsterInstance, deployment: Deployment, district_id: str | None = None
) -> int:
    """Mark as failed the runs of commands that were killed, even before the run started. Return how many."""
    tags = {BY_COMMAND_TAG: "true", **({PARTITION_TAG: district_id} if district_id else {})}
    abandoned = [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags=tags))
        # a re-execution in the UI has the tags of the first run
        if run.parent_run_id is None and not is_leased(deployment.warehouse, run.run_id)
    ]
    # A run that ended while its lease was looked up has given the lease back.
    ids = [run.run_id for run in abandoned]
    abandoned = list(instance.get_runs(dg.RunsFilter(run_ids=ids, statuses=UNFINISHED))) if ids else []
    for run in abandoned:
        instance.report_run_failed(run, "the command that ran it was killed")
    return len(abandoned)
