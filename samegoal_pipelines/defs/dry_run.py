"""The dry run job: it reads Qmlativ, computes the night and asks the gate, but publishes and records nothing.

It also lands nothing. Its date may be in the future (tag samegoal/today).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.district_run import DISTRICTS, DRY_RUN_JOB, DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.gate import shares_table
from samegoal_pipelines.defs.io import IN_MEMORY
from samegoal_pipelines.defs.materializing import compute_valid_night
from samegoal_pipelines.defs.metadata import COUNTED, change_facts, table
from samegoal_pipelines.defs.raw import read_tonight
from samegoal_pipelines.defs.students import refuse_a_lost_restriction, refuse_unreadable_flags
from samegoal_pipelines.landing.runs import LandedEvidence
from samegoal_pipelines.transforms.demographics import restriction_is_known
from samegoal_pipelines.transforms.gate import Verdict
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse.publishing import preview
from samegoal_pipelines.warehouse.rows import content_of
from samegoal_pipelines.warehouse.session import StudentChange
from samegoal_pipelines.warehouse.snapshots import Counts


@dataclass(frozen=True)
class DryRun:
    """What publishing a night would do."""

    district_id: str
    night: date
    counts: Counts
    verdict: Verdict
    changes: tuple[StudentChange, ...]
    """The students whom it would change, by number."""
    payload: SnapshotPayload = field(repr=False, compare=False)
    """All that it would publish, except carried-over students."""

    @property
    def held(self) -> bool:
        """Whether the gate would hold it."""
        return bool(self.verdict.found)


@dg.op(out=dg.Out(io_manager_key=IN_MEMORY))
def try_night(
    context: dg.OpExecutionContext,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """Read Qmlativ, compute the night and ask the gate, but publish and record nothing."""
    with as_dagster_failure("dry run", district_run):
        raw, _ = read_tonight(district_run)
        withholding = district_run.district.withholding
        refuse_a_lost_restriction(district_run, restriction_is_known(raw["raw_parents"]))
        for tables in raw.values():
            refuse_unreadable_flags(tables, withholding)
        payload = compute_valid_night(raw, district_run.today, withholding)
        reads = [tables["Reads"] for tables in raw.values()]
        counts, changes, verdict = preview(
            district_run.deployment.warehouse,
            district_run.identity(),
            content_of(payload),
            district_run.district.limits,
            LandedEvidence(district_run.landing, reads),
        )
        tried = DryRun(district_run.district_id, district_run.today, counts, verdict, tuple(changes), payload)
        facts: dict[str, Any] = {
            "snapshot date": tried.night.isoformat(),
            "gate": f"would hold it: {'; '.join(verdict.reasons)}" if tried.held else "would publish it",
            "statuses": table(
                ("status", "students"), ((label, getattr(counts, name)) for label, name in COUNTED.items())
            ),
            **change_facts(counts),
        }
        if verdict.found:
            facts["what to do"] = verdict.to_check
        if verdict.numbers:
            facts["shares"] = shares_table(verdict, district_run.district.limits)
        context.log.info(f"the gate {facts['gate']}")
        yield dg.Output(tried, metadata=facts)


@dg.job(
    name=DRY_RUN_JOB,
    partitions_def=DISTRICTS,
    description="Read one district's Qmlativ, compute its night and ask the gate; publish and record "
    "nothing. The district is the partition. The tag samegoal/today names another date, which may be later.",
)
def dry_run() -> None:
    """Dry-run one district's night."""
    try_night()
