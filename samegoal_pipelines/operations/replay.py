"""Run a replay from a terminal, as a Dagster run in this process, and return its outcome.

The replay itself is in `defs.replay` and `warehouse.replay`. `runs` starts nights and releases.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from samegoal_pipelines.defs.replay import REPLAY_JOB, Outcome, replay_landed_nights
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.operations.runs import execute, run_error
from samegoal_pipelines.printable import counted, on_one_line
from samegoal_pipelines.warehouse.replay import ReplayedNight
from samegoal_pipelines.warehouse.snapshots import Snapshot


@dataclass(frozen=True)
class ReplayOutcome:
    """The outcome of one district's replay: its nights, or why it failed."""

    district_id: str
    first: date
    dry_run: bool
    outcome: Outcome | None
    reason: str | None = None

    @property
    def nights(self) -> tuple[ReplayedNight, ...]:
        """The replayed nights, oldest first."""
        return self.outcome.replayed.nights if self.outcome else ()

    @property
    def differing(self) -> list[ReplayedNight]:
        """The nights with a difference."""
        return [night for night in self.nights if night.differs]

    @property
    def skipped(self) -> tuple[Snapshot, ...]:
        """Nights in the range that were never published."""
        return self.outcome.skipped if self.outcome else ()

    def line(self) -> str:
        """One line for people."""
        if self.outcome is None:
            return on_one_line(f"error: {self.district_id}: {self.reason}")
        nights = (
            f"{counted(len(self.nights), 'night')} from {self.nights[0].night} to {self.nights[-1].night}"
        )
        if not self.differing:
            return f"{self.district_id}: replayed {nights}: no difference; nothing was changed"
        if self.dry_run:
            return (
                f"{self.district_id}: {len(self.differing):,} of {nights} would differ; nothing was changed"
            )
        return f"{self.district_id}: replayed {nights}: {len(self.differing):,} differ and were rewritten"

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "district_id": self.district_id,
            "from": self.first,
            "dry_run": self.dry_run,
            "reason": self.reason,
            "written": bool(self.outcome and self.outcome.replayed.written),
            "nights": [
                {
                    "night": night.night,
                    "differs": night.differs,
                    **asdict(night.counts),
                    "difference": asdict(night.difference),
                }
                for night in self.nights
            ],
            "skipped": [{"night": one.snapshot_date, "state": one.state} for one in self.skipped],
        }


def run_replay(
    deployment: Deployment, district_id: str, *, first: date, dry_run: bool, debug: bool = False
) -> ReplayOutcome:
    """Replay one district's published nights from `first` on, as a Dagster run in this process.

    Raises:
        DistrictError: the district is not registered.
    """
    deployment.registry.get(district_id)
    op = replay_landed_nights.name
    config = {"ops": {op: {"config": {"from_date": first.isoformat(), "dry_run": dry_run}}}}
    result = execute(deployment, district_id, REPLAY_JOB, config, debug=debug)
    if result.success:
        return ReplayOutcome(district_id, first, dry_run, result.output)
    error = run_error(result, district_id)
    said = "; ".join(filter(None, [error.reason, error.next_step]))
    return ReplayOutcome(district_id, first, dry_run, None, said)
