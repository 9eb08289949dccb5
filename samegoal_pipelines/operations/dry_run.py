"""A dry run started from a terminal: the job of that name in this process, and what it found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from samegoal_pipelines.defs.dry_run import DryRun, try_night
from samegoal_pipelines.defs.night import DRY_RUN_JOB, SOURCE_HOST_TAG, TODAY_TAG
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.operations.runs import execute, first_failure, was_stopped
from samegoal_pipelines.printable import on_one_line


@dataclass(frozen=True)
class DryRunOutcome:
    """What one district's dry run found, or why it failed."""

    district_id: str
    tried: DryRun | None
    reason: str | None = None
    stopped: bool = False

    @property
    def held(self) -> bool:
        """Whether the gate would hold the night."""
        return self.tried is not None and bool(self.tried.reasons)

    @property
    def well(self) -> bool:
        """Whether the night would be published."""
        return self.tried is not None and not self.held

    def line(self) -> str:
        """One line for people."""
        if self.tried is None:
            return on_one_line(f"error: {self.district_id}: {self.reason}")
        counts = self.tried.counts
        line = (
            f"{self.district_id}: dry run for {self.tried.night}: {counts.students:,} students "
            f"({counts.added:,} added, {counts.changed:,} changed, {counts.removed:,} removed)"
        )
        if self.held:
            return on_one_line(f"{line}; the gate would hold it: {'; '.join(self.tried.reasons)}")
        return f"{line}; it would be published. Nothing was published or recorded"

    def row(self) -> list[Any]:
        """Cells of the summary table."""
        if self.tried is None:
            return [self.district_id, "failed", *[""] * 5]
        c = self.tried.counts
        state = "would be held" if self.held else "would be published"
        return [self.district_id, state, c.students, c.enrolled, c.pre_enrolled, c.graduated, c.inactive]

    def facts(self, *, students: bool) -> dict[str, Any]:
        """For scripts.

        Args:
            students: also list every student with a change.
        """
        tried = self.tried
        if tried is None:
            return {
                "district_id": self.district_id,
                "dry_run": True,
                "reason": self.reason,
                "state": "failed",
            }
        facts = {
            "district_id": self.district_id,
            "dry_run": True,
            "snapshot_date": tried.night,
            "state": "held" if self.held else "published",
            "reasons": list(tried.reasons),
            **asdict(tried.counts),
            "gate": tried.verdict.numbers if tried.verdict else None,
        }
        return facts | ({"changes": [asdict(one) for one in tried.changes]} if students else {})


def run_dry(
    deployment: Deployment, district_id: str, *, today: date | None = None, debug: bool = False
) -> DryRunOutcome:
    """Try one district's night, as a Dagster run in this process.

    Args:
        today: classify as of this date, which may be one that has not come yet.
        debug: let Dagster write its own log to the terminal.

    Raises:
        DistrictError: the district is not registered.
    """
    tags = {SOURCE_HOST_TAG: deployment.registry.get(district_id).source_host}
    if today is not None:
        tags[TODAY_TAG] = today.isoformat()
    result = execute(deployment, district_id, DRY_RUN_JOB, None, tags, debug=debug)
    if result.success:
        return DryRunOutcome(district_id, result.output_for_node(try_night.name))
    if was_stopped(result):
        return DryRunOutcome(district_id, None, "stopped", stopped=True)
    reason, next_step = first_failure(result)
    return DryRunOutcome(district_id, None, "; ".join(filter(None, [reason, next_step])))
