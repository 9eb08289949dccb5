"""A run's district and date, decided once and passed down.

No asset reads the clock for a date. A run executes in one process, so all its assets see the same date.
"""

from contextlib import suppress
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

import dagster as dg

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.errors import SYNC, Kind, PipelineError
from samegoal_pipelines.landing.runs import RunLanding
from samegoal_pipelines.tables.vocabulary import FIRST_NIGHT, LAST_NIGHT
from samegoal_pipelines.warehouse.snapshots import RunIdentity

PARTITIONS = "district"
DISTRICTS = dg.DynamicPartitionsDefinition(name=PARTITIONS)
"""The one partition dimension. Keys are district ids. `districts add` adds them without a restart.

The night is data, not a partition: Qmlativ only answers for now, so a date could not be filled later.
"""
TODAY_TAG = "samegoal/today"
SCHEDULE_TAG = "dagster/schedule_name"
SOURCE_HOST_TAG = "samegoal/source_host"
PARTITION_TAG = "dagster/partition"
RELEASE_TAG = "samegoal/release"
"""The tag of runs that publish what is held."""
DRY_RUN_JOB = "dry_run"
PUBLISHED_SNAPSHOT = "published_snapshot"
BY_COMMAND_TAG = ".dagster/samegoal_by_command"
"""The tag of runs started at a terminal. The UI hides such tags."""
RETRIES = 2
OUTCOME_TAG = "samegoal/outcome"
"""The tag of runs that published nothing: `held` or `failed`. It distinguishes them in the list of runs.

A run that publishes after all has `published`: its step was retried, or it re-executes a run with such a tag.
"""


class NotADateError(PipelineError):
    """A run's date cannot be read or used."""

    kind = Kind.DATE
    rerun = False


class NotTonightError(PipelineError):
    """Refuse to publish what Qmlativ says now with the date of another night."""

    kind = Kind.ANOTHER_NIGHT
    next_step = (
        "that night can no longer be read; the schedule runs tonight's, or run it now: launch "
        f"nightly_snapshot in the Dagster UI, or: {SYNC}"
    )
    rerun = False


def read_date(text: str, what: str) -> date:
    """Parse a night's date from a run's tags or configuration. `what` names it in the error."""
    with suppress(ValueError):
        if FIRST_NIGHT <= (found := date.fromisoformat(text)) <= LAST_NIGHT:
            return found
    to_do = f"give a date from {FIRST_NIGHT} to {LAST_NIGHT}, as YYYY-MM-DD"
    raise NotADateError(f"{what} is no valid date", next_step=to_do)


def refuse_the_future(deployment: Deployment, district: District, night: date) -> None:
    """Refuse to publish a night in the future, except for sandbox districts."""
    today = district.local_date(datetime.now(UTC))
    if night > today and not deployment.settings.allow_local_sources:
        raise NotADateError(
            f"it is {today} there, and no night is published before its date",
            district_id=district.id,
            next_step=f"see what it would publish with: samegoal-pipelines sync ID --today {night} --dry-run",
        )


class DistrictRun:
    """The district and local date of one run. A re-executed run has the tags of the first one.

    Attributes:
        is_release: whether it publishes what is held.
        is_scheduled: whether the schedule started it, and no person re-executes it.
        outcome: its tag OUTCOME_TAG, if any.
        waits: seconds before each retry of a step that failed for a temporary reason. They belong to the run,
            not to its steps, so that a night with many failures still ends in time. A waiting run keeps its
            place among the runs of its host, which spares an unavailable source. Empty at a terminal, where a
            person reads the reason immediately and decides.
    """

    def __init__(self, deployment: Deployment, run: dg.DagsterRun, instance: dg.DagsterInstance) -> None:
        self.deployment, self.instance, self.run_id = deployment, instance, run.run_id
        self.started_at = datetime.now(UTC)
        self._run = run
        reexecuted = run.parent_run_id is not None
        self.is_release = RELEASE_TAG in run.tags
        self.is_scheduled = SCHEDULE_TAG in run.tags and not reexecuted
        self._may_name_another_night = not (reexecuted or self.is_scheduled)
        first = 0 if BY_COMMAND_TAG in run.tags and not reexecuted else deployment.settings.retry_seconds
        self.outcome = run.tags.get(OUTCOME_TAG)
        self.waits = iter([first * 3**n for n in range(RETRIES if first else 0)])

    @property
    def district_id(self) -> str:
        """The partition of this run. Fails if the run covers no district or several."""
        district_id = self._run.tags.get(PARTITION_TAG)
        if not district_id:
            raise dg.Failure(
                "this run names no district: materialize one district partition per run", allow_retries=False
            )
        return district_id

    @cached_property
    def district(self) -> District:
        """The district's entry in the registry."""
        return self.deployment.registry.get(self.district_id)

    @cached_property
    def local_date(self) -> date:
        """The district's date now."""
        return self.district.local_date(datetime.now(UTC))

    @cached_property
    def today(self) -> date:
        """The date that the run names, or else the district's date. Only a dry run may name a later one."""
        named, what = self._run.tags.get(TODAY_TAG), f"the run's tag {TODAY_TAG}"
        if self.is_release:
            config: Any = self._run.run_config
            for key in ("ops", PUBLISHED_SNAPSHOT, "config", "night"):
                config = config.get(key) or {}
            if config:
                named, what = config, "the night"
        if not named:
            return self.local_date
        night = read_date(named, what)
        if self._run.job_name != DRY_RUN_JOB:
            refuse_the_future(self.deployment, self.district, night)
        return night

    def refuse_another_night(self) -> None:
        """Refuse to read Qmlativ for another night than the current one, unless a person named it.

        A scheduled run may have waited since its request. A re-executed one has the date of the first run.
        """
        if self.today != self.local_date and not self._may_name_another_night:
            raise NotTonightError(
                f"this run is for the night of {self.today}, but it is {self.local_date} there, and Qmlativ "
                "answers only for now"
            )

    def identity(self, landed_run_id: str | None = None) -> RunIdentity:
        """The run and its night, as recorded in the warehouse."""
        return RunIdentity(self.district_id, self.today, self.run_id, self.started_at, landed_run_id)

    @cached_property
    def landing(self) -> RunLanding:
        """What this run lands and reads."""
        return RunLanding(self.deployment.landing, self.identity())


@dg.resource(
    required_resource_keys={"deployment"},
    description="The district and local date of this run, decided once.",
)
def district_run(context: dg.InitResourceContext) -> DistrictRun:
    """The Dagster resource `district_run`."""
    if context.run is None or context.instance is None:
        raise dg.Failure("a district's run only exists within a run", allow_retries=False)
    return DistrictRun(context.resources.deployment, context.run, context.instance)
