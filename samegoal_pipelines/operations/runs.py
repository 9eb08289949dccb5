"""Run one district's night, release, dry run or replay from a terminal, as a Dagster run in this process.

These runs use the same jobs, assets and instance as the schedule. They skip Dagster's launcher, because
starting a process costs more than a small district's night.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.dagster_internals import appear_in_timeline
from samegoal_pipelines.defs.district_run import (
    BY_COMMAND_TAG,
    DRY_RUN_JOB,
    PARTITIONS,
    PUBLISHED_SNAPSHOT,
    SOURCE_HOST_TAG,
    TODAY_TAG,
    refuse_the_future,
)
from samegoal_pipelines.defs.errors import RunFailedError, error_of
from samegoal_pipelines.defs.instance import close_abandoned_runs, open_instance
from samegoal_pipelines.defs.nightly import nightly_snapshot
from samegoal_pipelines.defs.op_jobs import DryRun, replay_landed_nights, replay_nights
from samegoal_pipelines.defs.published import RELEASE_JOB
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.errors import SecretAwaitedError
from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.errors import Kind, PipelineError
from samegoal_pipelines.transforms import students_csv
from samegoal_pipelines.transforms.students_csv import Comparison, StudentsFile, StudentsFileError
from samegoal_pipelines.warehouse.export import published_students
from samegoal_pipelines.warehouse.leases import lease
from samegoal_pipelines.warehouse.replay import Replayed
from samegoal_pipelines.warehouse.snapshots import Snapshot, find_attempt


class FinishedRun(NamedTuple):
    """A finished run. `output` is the value of its job's only op, if the run succeeded."""

    run_id: str
    error: RunFailedError | None
    output: Any


def run_night(
    deployment: Deployment, district_id: str, *, today: date | None = None, why: str | None = None
) -> Snapshot:
    """Run the nightly job for one district now, as of `today` there, and return what became of it.

    With `why`, publish the rows that were held for that night instead, for this recorded reason. Raises
    `PipelineError` if the district cannot be run, or its run was stopped or failed before it was recorded.
    """
    district = deployment.registry.get(district_id)
    if not district.active:
        to_do = "enable it with: samegoal-pipelines districts enable ID"
        raise PipelineError("disabled", district_id=district_id, kind=Kind.REGISTRATION, next_step=to_do)
    if district.awaits_secret:
        raise SecretAwaitedError(district_id=district_id)
    if today is not None:
        refuse_the_future(deployment, district, today)
    job, config = nightly_snapshot.name, None
    if why is not None:
        job, config = RELEASE_JOB, {PUBLISHED_SNAPSHOT: {"why": why}}
    run = execute(deployment, district_id, job, config, _tags(district, today))
    attempt = find_attempt(deployment.warehouse, run.run_id)
    if run.error and run.error.kind is Kind.STOPPED and attempt:
        run.error.detail += "" if attempt.failed else f"; its snapshot is {attempt.state}"
        run.error.next_step = attempt.to_do or ""
        raise run.error
    if attempt is None:
        raise run.error or RunFailedError("nothing was recorded", district_id=district_id)
    return attempt


def run_dry(deployment: Deployment, district_id: str, *, today: date | None = None) -> DryRun:
    """Try one district's night, as `run_night` does. `today` may be a day that has not come yet."""
    tags = _tags(deployment.registry.get(district_id), today)
    run = execute(deployment, district_id, DRY_RUN_JOB, tags=tags)
    if run.error:
        raise run.error
    tried: DryRun = run.output
    return tried


def run_replay(deployment: Deployment, district_id: str, *, first: date, dry_run: bool) -> Replayed:
    """Replay one district's published nights from `first` on. Raises `RunFailedError`."""
    deployment.registry.get(district_id)
    config = {"from_date": first.isoformat(), "dry_run": dry_run}
    run = execute(deployment, district_id, replay_nights.name, {replay_landed_nights.name: config})
    if run.error:
        raise run.error
    replayed: Replayed = run.output
    return replayed


def _tags(district: District, today: date | None) -> dict[str, str]:
    return {SOURCE_HOST_TAG: district.source_host} | ({TODAY_TAG: today.isoformat()} if today else {})


def execute(
    deployment: Deployment,
    district_id: str,
    job: str,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> FinishedRun:
    """Run a job for one district in this process, on the instance that the UI shows. `config` is by op.

    Dagster does not monitor such a run, so this process holds its lease (`defs.instance`).
    """
    definition = build_defs(deployment).resolve_job_def(job)
    run_id, log_level = str(uuid4()), "DEBUG" if deployment.debug else "CRITICAL"
    with open_instance(deployment.settings) as instance, lease(deployment.warehouse, run_id):
        instance.add_dynamic_partitions(PARTITIONS, [district_id])
        close_abandoned_runs(instance, deployment, district_id)
        result = definition.execute_in_process(
            instance=instance,
            run_id=run_id,
            partition_key=district_id,
            tags={
                **(tags or {}),
                **appear_in_timeline(instance, job),
                BY_COMMAND_TAG: "true",
                "dagster/max_retries": "0",  # the person at the terminal decides
            },
            raise_on_error=False,
            run_config={
                "ops": {op: {"config": of_op} for op, of_op in (config or {}).items()},
                "loggers": {"console": {"config": {"log_level": log_level}}},
            },
        )
    has_output = result.success and len(definition.nodes) == 1
    output = result.output_for_node(definition.nodes[0].name) if has_output else None
    return FinishedRun(run_id, error_of(result, district_id), output)


# -- beside a file of what SameGoal has --


def read_students_file(district_id: str, path: Path) -> StudentsFile:
    """Read a file in SameGoal's layout. Errors name the district, the file, the line and the column."""
    try:
        return students_csv.read_students_csv(path.read_bytes())
    except StudentsFileError as error:
        error.district_id, error.step, error.object = district_id, "preview", path.name
        raise


def compare_with(deployment: Deployment, tried: DryRun, file: StudentsFile) -> Comparison:
    """Compare all students whom a dry run would leave published with a file, by student number."""
    carried_over = [
        student
        for student in published_students(deployment.warehouse, tried.district_id)
        if student["student_id"] in tried.payload.carried_over
    ]
    district = deployment.registry.get(tried.district_id)
    tonight = students_csv.students_of(tried.payload.status, tried.payload.students, district.name)
    return students_csv.compare([*tonight, *carried_over], file)
