"""Dagster's instance on the pipeline's Postgres, so that one setting serves both; and the runs in progress.

Named by `dagster.yaml`. Dagster's `env:` entries have no default, and the embedded Postgres has no address
before it is up. The two classes ask the deployment instead, so that `dg dev`, the webserver and the daemon
start from any directory without preparation.

Dagster monitors the runs that its daemon launched, including re-executions of a command's run. A command
holds a lease while it executes a run (`operations.runs`), and a run without its lease is closed here.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property
from glob import has_magic
from pathlib import Path
from typing import Any

import click
import dagster as dg

from samegoal_pipelines.defs.dagster_internals import LeanStorage
from samegoal_pipelines.defs.district_run import BY_COMMAND_TAG, PARTITION_TAG, PARTITIONS, SOURCE_HOST_TAG
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.errors import DistrictError
from samegoal_pipelines.postgres.databases import prepare_dagster_storage
from samegoal_pipelines.settings import INSTANCE_FILES, Settings, plain_link
from samegoal_pipelines.warehouse.leases import is_leased

Instance = dg.DagsterInstance
"""For what commands do with it; only this package imports Dagster."""
OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
UNFINISHED = [status for status in dg.DagsterRunStatus if status not in OVER]


class PipelineStorage(LeanStorage):
    """Dagster's storage in the schema `dagster` of the deployment's database."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """No configuration, because the environment names the database."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> PipelineStorage:  # noqa: ARG003 - {}
        """Storage over the configured Postgres, or the embedded one, which this starts."""
        return cls(prepare_dagster_storage(Deployment().database_url), inst_data)


class SourceHostCoordinator(dg.QueuedRunCoordinator):
    """Dagster's run queue. It adds the source host tag to runs without one, such as a backfill's.

    That tag limits the runs per host.
    """

    @cached_property
    def _deployment(self) -> Deployment:
        """Of all runs, because each deployment connects and checks the migrations."""
        return Deployment()

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tag the run with its district's host, then queue it."""
        run = context.dagster_run
        district_id = run.tags.get(PARTITION_TAG)
        if district_id and SOURCE_HOST_TAG not in run.tags:
            try:
                host = self._deployment.registry.get(district_id).source_host
            except DistrictError:
                host = "unknown"  # the run itself will report that the district is not registered
            # `_instance` is how Dagster's documentation has a coordinator of one's own reach its instance.
            self._instance.add_run_tags(run.run_id, {SOURCE_HOST_TAG: host})
        return super().submit_run(context)


def add_partition(settings: Settings, district_id: str) -> None:
    """Create a district's partition, so that it can be materialized immediately."""
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions(PARTITIONS, [district_id])


def open_instance(settings: Settings) -> Instance:
    """The Dagster instance of this deployment, which the webserver and the daemon also use."""
    prepare_dagster_home(settings)
    return Instance.get()


def prepare_dagster_home(settings: Settings) -> None:
    """Point DAGSTER_HOME at the deployment's home and put `dagster.yaml` there.

    A configured DAGSTER_HOME is only used if its `dagster.yaml` is the pipeline's.
    """
    home = settings.make_home()
    configured = os.environ.get("DAGSTER_HOME")
    if configured and not settings.stock_instance:
        found = ""
        with suppress(OSError, ValueError):
            found = Path(configured, "dagster.yaml").read_text(encoding="utf-8")
        if __name__ not in found:
            click.echo(
                f"note: DAGSTER_HOME is not the pipeline's (no dagster.yaml there names {__name__}); "
                f"using {home} instead",
                err=True,
            )
            configured = None
    if not configured:
        # Dagster looks for `dagster.yaml` with a glob. With brackets or an asterisk in the path it would find
        # none and silently use SQLite.
        os.environ["DAGSTER_HOME"] = str(plain_link(home) if has_magic(str(home)) else home)
        target, link = INSTANCE_FILES / "dagster.yaml", home / "dagster.yaml"
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(target)


# -- runs that are not over --


def run_in_progress(instance: Instance, district_id: str) -> str | None:
    """The id of the district's run in progress, if any."""
    going_on = [status for status in UNFINISHED if status != dg.DagsterRunStatus.NOT_STARTED]
    of_district = dg.RunsFilter(statuses=going_on, tags={PARTITION_TAG: district_id})
    return next((run.run_id for run in instance.get_runs(of_district, limit=1)), None)


def close_abandoned_runs(instance: Instance, deployment: Deployment, district_id: str | None = None) -> int:
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
