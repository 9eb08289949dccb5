"""Run one district's night, release or replay from a terminal, as a Dagster run in this process.

These runs use the same jobs, assets and instance as the schedule. They skip the launcher, because starting a
process costs more than a small district's night.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs import in_process
from samegoal_pipelines.defs.district_run import DRY_RUN_JOB, SOURCE_HOST_TAG, TODAY_TAG, refuse_the_future
from samegoal_pipelines.defs.dry_run import DryRun
from samegoal_pipelines.defs.gate import PUBLISHED_SNAPSHOT, RELEASE_JOB
from samegoal_pipelines.defs.in_process import FinishedRun
from samegoal_pipelines.defs.nightly import nightly_snapshot
from samegoal_pipelines.defs.replay import REPLAY_JOB, Outcome, replay_landed_nights
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.errors import SecretAwaitedError
from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.errors import Kind, PipelineError, fill_in
from samegoal_pipelines.printable import counted
from samegoal_pipelines.warehouse.replay import ReplayedNight
from samegoal_pipelines.warehouse.snapshots import Snapshot, find_attempt


class RunFailedError(PipelineError):
    """A run ended without a snapshot."""


class InactiveDistrictError(PipelineError):
    """A disabled district is not run."""

    kind = Kind.REGISTRATION
    next_step = "enable it with: samegoal-pipelines districts enable ID"


@dataclass(frozen=True)
class ReplayOutcome:
    """One district's replay."""

    district_id: str
    first: date
    dry_run: bool
    outcome: Outcome

    @property
    def differing(self) -> list[ReplayedNight]:
        """The nights with a difference."""
        return [night for night in self.outcome.replayed.nights if night.differs]

    def line(self) -> str:
        """One line for people."""
        found = self.outcome.replayed.nights
        nights = f"{counted(len(found), 'night')} from {found[0].night} to {found[-1].night}"
        if not self.differing:
            return f"{self.district_id}: replayed {nights}: no difference; nothing was changed"
        if self.dry_run:
            return (
                f"{self.district_id}: {len(self.differing):,} of {nights} would differ; nothing was changed"
            )
        return f"{self.district_id}: replayed {nights}: {len(self.differing):,} differ and were rewritten"

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        replayed, skipped = self.outcome.replayed, self.outcome.skipped
        return {
            "district_id": self.district_id,
            "from": self.first,
            "dry_run": self.dry_run,
            "reason": None,
            "written": replayed.written,
            "nights": [
                {
                    "night": night.night,
                    "differs": night.differs,
                    **asdict(night.counts),
                    "difference": asdict(night.difference),
                }
                for night in replayed.nights
            ],
            "skipped": [{"night": one.snapshot_date, "state": one.state} for one in skipped],
        }


def run_night(
    deployment: Deployment,
    district_id: str,
    *,
    today: date | None = None,
    why: str | None = None,
    debug: bool = False,
) -> Snapshot:
    """Run the nightly job for one district now, and return what became of it.

    Args:
        today: classify as of this date. Default: the district's local date.
        why: run no night, but publish the rows that were held for `today`, for this recorded reason.
        debug: let Dagster write its own log to the terminal.

    Raises:
        PipelineError: the district cannot be run, the run was stopped, or it failed before it was recorded.
    """
    district = deployment.registry.get(district_id)
    if not district.active:
        raise InactiveDistrictError("disabled", district_id=district_id)
    if district.awaits_secret:
        raise SecretAwaitedError(district_id=district_id)
    if today is not None:
        refuse_the_future(deployment, district, today)
    job, config = nightly_snapshot.name, None
    if why is not None:
        job, config = RELEASE_JOB, {"ops": {PUBLISHED_SNAPSHOT: {"config": {"why": why}}}}
    result = execute(deployment, district_id, job, config, _tags(district, today), debug=debug)
    attempt = find_attempt(deployment.warehouse, result.run_id)
    if attempt is None or result.stopped:
        raise run_error(result, district_id, attempt)
    return attempt


def run_dry(
    deployment: Deployment, district_id: str, *, today: date | None = None, debug: bool = False
) -> DryRun:
    """Try one district's night, as `run_night` does. `today` may be a day that has not come yet."""
    tags = _tags(deployment.registry.get(district_id), today)
    result = execute(deployment, district_id, DRY_RUN_JOB, None, tags, debug=debug)
    if not result.success:
        raise run_error(result, district_id)
    tried: DryRun = result.output
    return tried


def run_replay(
    deployment: Deployment, district_id: str, *, first: date, dry_run: bool, debug: bool = False
) -> ReplayOutcome:
    """Replay one district's published nights from `first` on. Raises `RunFailedError`."""
    deployment.registry.get(district_id)
    op = replay_landed_nights.name
    config = {"ops": {op: {"config": {"from_date": first.isoformat(), "dry_run": dry_run}}}}
    result = execute(deployment, district_id, REPLAY_JOB, config, debug=debug)
    if not result.success:
        raise run_error(result, district_id)
    return ReplayOutcome(district_id, first, dry_run, result.output)


def _tags(district: District, today: date | None) -> dict[str, str]:
    return {SOURCE_HOST_TAG: district.source_host} | ({TODAY_TAG: today.isoformat()} if today else {})


def execute(
    deployment: Deployment,
    district_id: str,
    job: str,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    debug: bool = False,
) -> FinishedRun:
    """Run a job for one district in this process."""
    definition = build_defs(deployment).resolve_job_def(job)
    return in_process.execute(definition, deployment, district_id, config, tags, debug=debug)


def run_error(result: FinishedRun, district_id: str, attempt: Snapshot | None = None) -> RunFailedError:
    """Why a run failed or was stopped, and what to do. `attempt`: what it had recorded by then."""
    if not result.stopped:
        to_do = fill_in(result.next_step, district_id, result.run_id)
        return RunFailedError(result.reason, district_id=district_id, next_step=to_do)
    recorded = f"; its snapshot is {attempt.state}" if attempt and not attempt.failed else ""
    next_step = attempt.to_do if attempt else None
    return RunFailedError(
        f"stopped{recorded}", district_id=district_id, kind=Kind.STOPPED, next_step=next_step
    )
