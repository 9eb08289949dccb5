"""A run's district and date, decided once and passed down.

No asset reads the clock for a date. `today` is the run's tag, or else the district's local date when it is
first used. A run executes in one process, so all its assets see the same date. Schedules, sensors and
commands read the clock once and pass the instant down.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, Literal

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.retries import Retries
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.registry import District, SecretAwaitedError
from samegoal_pipelines.errors import SYNC, Kind, PipelineError
from samegoal_pipelines.landing import LandedAsset, LandingError
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.tables.catalog import RAW_TABLES
from samegoal_pipelines.tables.vocabulary import FIRST_NIGHT, LAST_NIGHT
from samegoal_pipelines.warehouse.errors import NothingHeldError
from samegoal_pipelines.warehouse.release import find_held, find_released
from samegoal_pipelines.warehouse.snapshots import RunIdentity, Snapshot, last_attempts, record_failure

TODAY_TAG = "samegoal/today"
SCHEDULE_TAG = "dagster/schedule_name"
SOURCE_HOST_TAG = "samegoal/source_host"
PARTITION_TAG = "dagster/partition"
RELEASE_TAG = "samegoal/release"
"""The tag of runs that publish what is held."""
DRY_RUN_JOB = "dry_run"
PROCESS_TAG = ".dagster/samegoal_process"
"""The tag with the process of a run started at a terminal. The UI hides such tags."""
OUTCOME_TAG = "samegoal/outcome"
"""The tag of runs that published nothing: `held` or `failed`. It distinguishes them in the list of runs."""


class NotADateError(PipelineError):
    """A run's date cannot be read."""

    kind = Kind.DATE
    rerun = False


class FutureNightError(NotADateError):
    """Refuse to publish a night in the future."""

    next_step = "see what it would publish with: samegoal-pipelines sync ID --today DATE --dry-run"


class NotLandedError(LandingError):
    """A night's landed rows cannot be used any more."""


class NotTonightError(PipelineError):
    """Refuse to publish what Qmlativ says now with the date of another night."""

    kind = Kind.ANOTHER_NIGHT
    next_step = (
        "that night can no longer be read; the schedule runs tonight's, or run it now: launch "
        "nightly_snapshot "
        f"in the Dagster UI, or: {SYNC}"
    )
    rerun = False


class OutdatedError(PipelineError):
    """The landed tables are outdated, because Qmlativ was read again or a switch was set."""

    kind = Kind.OUTDATED
    next_step = f"run the whole night again: materialize nightly_snapshot in the Dagster UI, or: {SYNC}"
    rerun = False


def read_date(text: str, what: str) -> date:
    """Parse a night's date from a run's tags or configuration.

    Raises:
        NotADateError: `what` is not a date, or too far from today.
    """
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise NotADateError(f"{what} is no date", next_step="write it as YYYY-MM-DD") from None
    if not FIRST_NIGHT <= found <= LAST_NIGHT:
        raise NotADateError(
            f"{what} is no night", next_step=f"give a date from {FIRST_NIGHT} to {LAST_NIGHT}"
        )
    return found


def run_that_landed(deployment: Deployment, snapshot: Snapshot, asset: str) -> str:
    """The run whose landed asset a snapshot was made from.

    That is its own run, or the run whose enrollments it used, or the last one before it, because a run
    started in the UI with a later asset uses what is landed.

    Raises:
        NotLandedError: nothing is landed, or the enrollments that were used are gone.
    """
    landed = deployment.landing.landed(asset, district_id=snapshot.district_id, night=snapshot.snapshot_date)
    runs = [one.run_id for one in landed if one.landed_at <= snapshot.started_at]
    before = [] if asset == "raw_enrollments" else reversed(runs)
    for run_id in (snapshot.run_id, snapshot.landed_run_id, *before):
        if run_id in runs:
            return str(run_id)
    raise NotLandedError("are missing")


def read_landed_for(deployment: Deployment, snapshot: Snapshot, asset: str) -> dict[str, pd.DataFrame]:
    """An asset as it was landed for a snapshot (see `run_that_landed`).

    Raises:
        NotLandedError: it is not landed, or an older version landed it.
        LandedFileError: a file cannot be used.
    """
    tables = deployment.landing.read(
        asset,
        district_id=snapshot.district_id,
        night=snapshot.snapshot_date,
        run_id=run_that_landed(deployment, snapshot, asset),
    )
    if RAW_TABLES.get(asset, {}).keys() - tables.keys():
        raise NotLandedError("are from an older version, which did not read everything that is used today")
    return tables


def refuse_the_future(deployment: Deployment, district: District, night: date) -> None:
    """Refuse to publish a night in the future, except for sandbox districts.

    Raises:
        FutureNightError: the night is in the future.
    """
    today = district.local_date(datetime.now(UTC))
    if night > today and not deployment.settings.allow_local_sources:
        raise FutureNightError(
            f"it is {today} there, and no night is published before its date",
            district_id=district.id,
            next_step=f"see what it would publish with: samegoal-pipelines sync ID --today {night} --dry-run",
        )


class Night:
    """The district and local date of one run."""

    def __init__(
        self, deployment: Deployment, run: dg.DagsterRun, instance: dg.DagsterInstance | None = None
    ) -> None:
        self._deployment = deployment
        self._instance = instance
        self._run = run
        self.started_at = datetime.now(UTC)
        # At a terminal, a person reads the reason immediately and decides. A re-executed run has the tags of
        # the first one, but no terminal.
        by_hand = PROCESS_TAG in run.tags and run.parent_run_id is None
        self.retries = Retries(0 if by_hand else deployment.settings.retry_seconds)

    @property
    def run_id(self) -> str:
        """Dagster's id of this run."""
        return self._run.run_id

    @property
    def district_id(self) -> str:
        """The partition of this run.

        Raises:
            Failure: the run covers no district or several.
        """
        district_id = self._run.tags.get(PARTITION_TAG)
        if not district_id:
            raise dg.Failure(
                "this run names no district: materialize one district partition per run", allow_retries=False
            )
        return district_id

    @cached_property
    def district(self) -> District:
        """The district's entry in the registry."""
        return self._deployment.registry.get(self.district_id)

    @cached_property
    def today(self) -> date:
        """The local date of this run: the named one, or else the district's date now.

        Raises:
            FutureNightError: it is in the future, and this run is not a dry run.
        """
        if held := self._held_night():
            named = read_date(held, "the night")
        elif tagged := self._run.tags.get(TODAY_TAG):
            named = read_date(tagged, f"the run's tag {TODAY_TAG}")
        else:
            return self.local_date
        if self._run.job_name != DRY_RUN_JOB:
            refuse_the_future(self._deployment, self.district, named)
        return named

    def _held_night(self) -> str | None:
        """The night in a release's configuration."""
        if not self.is_release:
            return None
        config: Any = self._run.run_config
        for key in ("ops", "published_snapshot", "config", "night"):
            config = config.get(key) or {}
        return config or None

    @cached_property
    def local_date(self) -> date:
        """The district's date now."""
        return self.district.local_date(datetime.now(UTC))

    @property
    def is_scheduled(self) -> bool:
        """Whether the schedule started this run. False if a person re-executes such a run."""
        return SCHEDULE_TAG in self._run.tags and self._run.parent_run_id is None

    @property
    def _named_for_this_run(self) -> bool:
        return SCHEDULE_TAG not in self._run.tags and self._run.parent_run_id is None

    def refuse_another_night(self) -> None:
        """Refuse to read Qmlativ for another night than the current one, unless a person named it.

        Scheduled runs have the date of their request, and may have waited since. Re-executed runs have the
        date of the first run.

        Raises:
            NotTonightError: the run's tag is not the district's date, and no person named it for this run.
        """
        if self.today != self.local_date and not self._named_for_this_run:
            raise NotTonightError(
                f"this run is for the night of {self.today}, but it is {self.local_date} there, and Qmlativ "
                "answers only for now"
            )

    def identity(self, landed_run_id: str | None = None) -> RunIdentity:
        """The run and its night, as recorded in the warehouse."""
        return RunIdentity(self.district_id, self.today, self.run_id, self.started_at, landed_run_id)

    @property
    def is_release(self) -> bool:
        """Whether this run publishes what is held."""
        return RELEASE_TAG in self._run.tags

    @cached_property
    def held(self) -> Snapshot:
        """The held snapshot of this run's night.

        Raises:
            NothingHeldError: nothing is held. The message names the last attempt.
            ReleaseTooLateError: as `find_held` does.
        """
        try:
            return find_held(self._deployment.warehouse, self.district_id, self.today)
        except NothingHeldError as error:
            last = next(iter(last_attempts(self._deployment.warehouse, self.district_id, limit=1)), None)
            there = (
                f"its last attempt is of {last.snapshot_date}: {last.state}" if last else "it has no night"
            )
            raise NothingHeldError(f"{error.detail}; {there}") from None

    def read_landed_for(self, snapshot: Snapshot, asset: str) -> dict[str, pd.DataFrame]:
        """An asset as it was landed for a snapshot (see `run_that_landed`).

        Raises:
            NotLandedError, LandedFileError: as the function with this name.
        """
        return read_landed_for(self._deployment, snapshot, asset)

    def read_released(self, asset: str) -> dict[str, pd.DataFrame]:
        """An asset as it was landed for the last released snapshot of this run's night.

        Raises:
            NotLandedError, LandedFileError: as `read_landed_for`.
        """
        released = find_released(self._deployment.warehouse, self.district_id, self.today)
        if released is None:
            raise NotLandedError("are unknown, because no snapshot of this night was released")
        return self.read_landed_for(released, asset)

    def client(self) -> QmlativClient:
        """A client with this district's credentials. The caller closes it."""
        connection = self._deployment.registry.connection(
            self.district, allow_local=self._deployment.settings.allow_local_sources
        )
        return QmlativClient(connection)

    def last_landed(self, assets: Collection[str], table: str) -> list[pd.DataFrame]:
        """One table of each of these assets, as last landed, tonight or before.

        A damaged file is ignored, because the table is only a hint.
        """
        landing, found = self._deployment.landing, []
        for asset in assets:
            with suppress(LandingError):
                found.append(landing.read_last(asset, table, district_id=self.district_id, up_to=self.today))
        return [frame for frame in found if frame is not None]

    def land(
        self,
        asset: str,
        tables: Mapping[str, pd.DataFrame],
        about: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Land an asset's tables under this district, night and run."""
        self._deployment.landing.write(
            tables,
            district_id=self.district_id,
            night=self.today,
            run_id=self.run_id,
            asset=asset,
            landed_at=self.started_at,
            about=about,
        )

    def read_landed(
        self, asset: str, night: date, run_id: str | None, only: str | None = None
    ) -> dict[str, pd.DataFrame]:
        """An asset of this district as landed by that run, or by the last run of that night: all its tables,
        or `only` one.

        Raises:
            LandingError: it is not landed, or damaged.
        """
        return self._deployment.landing.read(
            asset, district_id=self.district_id, night=night, run_id=run_id, only=only
        )

    def newest_landing(self, asset: str) -> LandedAsset | None:
        """The asset as the last run of the night landed it. None if nothing is landed."""
        landed = self._deployment.landing.landed(asset, district_id=self.district_id, night=self.today)
        return landed[-1] if landed else None

    def landed_run_id(self) -> str | None:
        """The run that landed the raw enrollments from which tonight's statuses were made.

        This run if it read Qmlativ itself, or else the last run that had landed them when the enrollments
        were filtered. None if their files are gone.
        """
        raw, filtered = (
            self._deployment.landing.landed(asset, district_id=self.district_id, night=self.today)
            for asset in ("raw_enrollments", "cecs_filtered_enrollments")
        )
        filtered_at = filtered[-1].landed_at if filtered else self.started_at
        found = [landed for landed in raw if landed.landed_at <= filtered_at]
        return next((one.run_id for one in found if one.run_id == self.run_id), None) or (
            found[-1].run_id if found else None
        )

    def tag_outcome(self, outcome: Literal["held", "failed"]) -> None:
        """Tag the run for the list of runs. An unavailable storage must not hide why the run failed."""
        if self._instance is not None:
            with suppress(Exception):
                self._instance.add_run_tags(self.run_id, {OUTCOME_TAG: outcome})

    def record_failure(self, error: PipelineError) -> None:
        """Write this run's failure to `snapshots`; an unreachable warehouse must not hide the reason.

        A district that awaits its secret never counts as failed.
        """
        if isinstance(error, SecretAwaitedError):
            return
        self.tag_outcome("failed")
        with suppress(PipelineError):
            record_failure(self._deployment.warehouse, self.identity(), error)


@dg.resource(
    required_resource_keys={"deployment"},
    description="The district and local date of this run, decided once.",
)
def night(context: dg.InitResourceContext) -> Night:
    """The Dagster resource `night`."""
    if context.run is None:
        raise dg.Failure("a night only exists within a run", allow_retries=False)
    return Night(context.resources.deployment, context.run, context.instance)
