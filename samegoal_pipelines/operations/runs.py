"""Run one district's night or release from a terminal, as a Dagster run in this process.

These runs use the same jobs, assets and instance as the schedule. They skip the launcher, because starting a
process costs more than a small district's night.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from functools import partial
from glob import has_magic
from pathlib import Path
from typing import Any

import click
import dagster as dg
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import (  # exported by no public name, as the others here
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.tags import MAX_RETRIES_TAG, REPOSITORY_LABEL_TAG

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.dry_run import DryRun, try_night
from samegoal_pipelines.defs.errors import NEXT_STEP, REASON
from samegoal_pipelines.defs.gate import LOCATION, PUBLISHED_SNAPSHOT, RELEASE_JOB
from samegoal_pipelines.defs.night import (
    DRY_RUN_JOB,
    PROCESS_TAG,
    SOURCE_HOST_TAG,
    TODAY_TAG,
    refuse_the_future,
)
from samegoal_pipelines.defs.nightly import nightly_snapshot
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.processes import close_abandoned_runs, this_process
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.errors import Kind, PipelineError, fill_in
from samegoal_pipelines.settings import INSTANCE_FILES, Settings
from samegoal_pipelines.warehouse.snapshots import OPEN_THE_RUN, Snapshot, find_attempt

STORAGE_MODULE = "samegoal_pipelines.defs.instance"
REPOSITORY = f"{SINGLETON_REPOSITORY_NAME}@{LOCATION}"
"""The label that Dagster gives its own runs. Without it, the UI lists a run under no job."""


class RunFailedError(PipelineError):
    """A run ended, and no snapshot tells of it."""


class InactiveDistrictError(PipelineError):
    """A disabled district is not run."""

    next_step = "enable it with: samegoal-pipelines districts enable ID"


def run_night(
    deployment: Deployment, district_id: str, *, today: date | None = None, debug: bool = False
) -> Snapshot:
    """Run the nightly job for one district now, and return what became of it.

    Args:
        today: classify as of this date. Default: the district's local date.
        debug: let Dagster write its own log to the terminal.

    Raises:
        PipelineError: the district cannot be run, the run was stopped, or it failed before it was recorded.
    """
    return _run(deployment, district_id, nightly_snapshot.name, today=today, debug=debug)


def run_release(
    deployment: Deployment, district_id: str, *, why: str, today: date | None = None, debug: bool = False
) -> Snapshot:
    """Run the job that publishes a district's held rows.

    Args:
        why: recorded with the release.
        today: the night that was held; by default the district's local date.
        debug: as in `run_night`.

    Raises:
        PipelineError: as `run_night` does.
    """
    config = {"ops": {PUBLISHED_SNAPSHOT: {"config": {"why": why}}}}
    return _run(deployment, district_id, RELEASE_JOB, config, today=today, debug=debug)


def run_dry(
    deployment: Deployment, district_id: str, *, today: date | None = None, debug: bool = False
) -> DryRun:
    """Try one district's night, as a Dagster run in this process.

    Args:
        today: classify as of this date, which may be one that has not come yet.
        debug: as in `run_night`.

    Raises:
        PipelineError: the district is not registered, or the run failed.
    """
    tags = {SOURCE_HOST_TAG: deployment.registry.get(district_id).source_host}
    if today is not None:
        tags[TODAY_TAG] = today.isoformat()
    result = execute(deployment, district_id, DRY_RUN_JOB, None, tags, debug=debug)
    if not result.success:
        raise run_error(result, district_id)
    tried: DryRun = result.output_for_node(try_night.name)
    return tried


def _run(
    deployment: Deployment,
    district_id: str,
    job: str,
    config: Mapping[str, Any] | None = None,
    *,
    today: date | None,
    debug: bool,
) -> Snapshot:
    district = deployment.registry.get(district_id)
    if not district.active:
        raise InactiveDistrictError("disabled", district_id=district_id)
    tags = {SOURCE_HOST_TAG: district.source_host}
    if today is not None:
        refuse_the_future(deployment, district, today)
        tags[TODAY_TAG] = today.isoformat()
    result = execute(deployment, district_id, job, config, tags, debug=debug)
    attempt = find_attempt(deployment.warehouse, result.run_id)
    if attempt is None or was_stopped(result):
        raise run_error(result, district_id, attempt)
    return attempt


def execute(
    deployment: Deployment,
    district_id: str,
    job: str,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    debug: bool = False,
) -> dg.ExecuteInProcessResult:
    """Run a job for one district in this process, on the instance that the UI shows."""
    log_level = "DEBUG" if debug else "CRITICAL"
    with open_instance(deployment.settings) as instance:
        instance.add_dynamic_partitions(DISTRICTS.name or "", [district_id])
        close_abandoned_runs(instance, district_id)
        _name_origin(instance, job)
        return (
            build_defs(deployment)
            .resolve_job_def(job)
            .execute_in_process(
                instance=instance,
                partition_key=district_id,
                tags={
                    **(tags or {}),
                    PROCESS_TAG: this_process(),
                    REPOSITORY_LABEL_TAG: REPOSITORY,
                    MAX_RETRIES_TAG: "0",  # the person at the terminal decides
                },
                raise_on_error=False,
                run_config={**(config or {}), "loggers": {"console": {"config": {"log_level": log_level}}}},
            )
        )


def _name_origin(instance: dg.DagsterInstance, job: str) -> None:
    """Label the runs that this instance creates with their job and code location.

    Dagster's timeline only shows such runs, and `execute_in_process` has no argument for it.
    """
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), SINGLETON_REPOSITORY_NAME)
    origin = RemoteJobOrigin(repository, job)
    instance.create_run_for_job = partial(  # type: ignore[method-assign]
        instance.create_run_for_job, remote_job_origin=origin
    )


def was_stopped(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a step ended because a person or the machine stopped this process."""
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    return any(error and error.cls_name == dg.DagsterExecutionInterruptedError.__name__ for error in errors)


def run_error(
    result: dg.ExecuteInProcessResult, district_id: str, attempt: Snapshot | None = None
) -> RunFailedError:
    """Why a run failed or was stopped, and what to do.

    Args:
        attempt: what the run had recorded by then.
    """
    if was_stopped(result):
        recorded = f"; its snapshot is {attempt.state}" if attempt and not attempt.failed else ""
        to_do = (attempt and attempt.to_do) or ""
        return RunFailedError(
            f"stopped{recorded}", district_id=district_id, kind=Kind.STOPPED, next_step=to_do
        )
    said = {
        REASON: "the run failed before its first step",
        NEXT_STEP: fill_in(OPEN_THE_RUN, district_id, result.run_id),
    }
    for event in result.all_events:
        if event.is_step_failure and (failure := event.step_failure_data.user_failure_data):
            facts = {name: str(value.value) for name, value in failure.metadata.items()}
            said = {REASON: str(failure.description), NEXT_STEP: "", **facts}
            break
    return RunFailedError(said[REASON], district_id=district_id, next_step=said[NEXT_STEP])


def add_partition(settings: Settings, district_id: str) -> None:
    """Create a district's partition, so that it can be materialized immediately."""
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions(DISTRICTS.name or "", [district_id])


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance of this deployment, which the webserver and the daemon also use."""
    prepare_dagster_home(settings)
    return dg.DagsterInstance.get()


def prepare_dagster_home(settings: Settings) -> None:
    """Point DAGSTER_HOME at the deployment's home and put `dagster.yaml` there.

    A configured DAGSTER_HOME is used if its `dagster.yaml` is the pipeline's. Otherwise it belongs to another
    project, and runs would go to an instance that nobody looks at.
    """
    home = settings.make_home()
    configured = os.environ.get("DAGSTER_HOME")
    if configured and not _is_of_the_pipeline(Path(configured)):
        click.echo(
            f"note: DAGSTER_HOME is not the pipeline's (no dagster.yaml there names {STORAGE_MODULE}); "
            f"using {home} instead",
            err=True,
        )
        configured = None
    if not configured:
        os.environ["DAGSTER_HOME"] = str(_link_without_patterns(home) if has_magic(str(home)) else home)
        target, link = INSTANCE_FILES / "dagster.yaml", home / "dagster.yaml"
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def _link_without_patterns(home: Path) -> Path:
    """Return a link to a home whose path has brackets, an asterisk or a question mark.

    Dagster looks for `dagster.yaml` with a glob. In such a path it would find none and silently use SQLite.
    """
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    link = Path("/var/tmp") / f"samegoal-{os.getuid()}-{digest}"  # noqa: S108
    with suppress(FileExistsError):
        link.symlink_to(home)
    if link.lstat().st_uid != os.getuid() or not link.is_symlink() or link.readlink() != home:
        raise FileExistsError(errno.EEXIST, "it is not the link that the pipeline made; remove it", str(link))
    return link


def _is_of_the_pipeline(dagster_home: Path) -> bool:
    try:
        return STORAGE_MODULE in (dagster_home / "dagster.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
