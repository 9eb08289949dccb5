"""The dry run job: it reads Qmlativ, computes the night and asks the gate, but publishes and records nothing.

It also lands nothing. Its date may be in the future (tag samegoal/today).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.demographics import refuse_a_lost_restriction, refuse_unreadable_flags
from samegoal_pipelines.defs.errors import SchemaBrokenError, as_dagster_failure
from samegoal_pipelines.defs.gate import LandedEvidence, shares_table
from samegoal_pipelines.defs.io import IN_MEMORY
from samegoal_pipelines.defs.metadata import table
from samegoal_pipelines.defs.night import DRY_RUN_JOB, Night
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.publishing import preview
from samegoal_pipelines.defs.raw import RAW_ASSETS, reads_table
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.qmlativ.reading import read_district
from samegoal_pipelines.tables.catalog import published_tables
from samegoal_pipelines.tables.validation import validate
from samegoal_pipelines.transforms.enrollments import window_start
from samegoal_pipelines.transforms.gate import Verdict
from samegoal_pipelines.transforms.parents import restriction_is_known
from samegoal_pipelines.transforms.snapshot import SnapshotPayload, SnapshotTables, compute_night
from samegoal_pipelines.warehouse.rows import content_of
from samegoal_pipelines.warehouse.session import StudentChange
from samegoal_pipelines.warehouse.snapshots import Counts


@dataclass(frozen=True)
class DryRun:
    """What publishing a night would do.

    Attributes:
        verdict: the gate's. None: nothing is published yet, or exactly this content is.
        changes: the students whom it would change, by number.
        tables: all that it would publish, but for the students who are carried over.
    """

    district_id: str
    night: date
    counts: Counts
    verdict: Verdict | None
    changes: tuple[StudentChange, ...]
    tables: SnapshotTables = field(repr=False, compare=False)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the gate would hold it. Empty: it would be published."""
        return self.verdict.reasons if self.verdict else ()

    @property
    def held(self) -> bool:
        """Whether the gate would hold it."""
        return bool(self.reasons)

    @property
    def to_check(self) -> str | None:
        """What a person should check first, if the gate would hold it."""
        return self.verdict.to_check if self.verdict and self.held else None

    @property
    def failed(self) -> bool:
        """Always false: a failed dry run has no such record."""
        return False

    @property
    def became(self) -> str:
        """The state that the night would have."""
        return "would be held" if self.held else "would be published"


@dg.op(out=dg.Out(io_manager_key=IN_MEMORY))
def try_night(
    context: dg.OpExecutionContext,
    night: dg.ResourceParam[Night],
    deployment: dg.ResourceParam[Deployment],
) -> Iterator[Any]:
    """Read Qmlativ, compute the night and ask the gate, but publish and record nothing."""
    with as_dagster_failure("dry run", night):
        payload, reads = compute(deployment, night)
        counts, changes, verdict = preview(
            deployment.warehouse,
            night.identity(),
            content_of(payload),
            night.district.limits,
            LandedEvidence(night, payload, reads),
        )
        tried = DryRun(night.district_id, night.today, counts, verdict, tuple(changes), payload.tables)
        context.log.info(
            f"the gate would hold it: {'; '.join(tried.reasons)}" if tried.reasons else "it would pass"
        )
        yield dg.Output(tried, metadata=facts_of(tried, night))


def compute(deployment: Deployment, night: Night) -> tuple[SnapshotPayload, list[pd.DataFrame]]:
    """The snapshot of this night from what Qmlativ says now, and what was read.

    Raises:
        SchemaBrokenError: a table does not match its declaration.
    """
    with night.client() as client:
        read = read_district(
            client,
            set(RAW_ASSETS),
            expected=deployment.registry.recognize(night.district, client.identity()),
            ended_since=window_start(night.today),
            expected_rows={},
            entities=night.district.entities,
            progress=deployment.progress,
        )
    raw = {asset: {**read.frames[asset], "Reads": reads_table(read.reads[asset])} for asset in RAW_ASSETS}
    refuse_a_lost_restriction(deployment, night, restriction_is_known(raw["raw_parents"]))
    withholding = night.district.withholding
    for tables in raw.values():
        refuse_unreadable_flags(tables, withholding)
    payload = compute_night(
        raw["raw_enrollments"],
        raw["raw_students"],
        raw["raw_parents"],
        night.today,
        withholding=withholding,
    )
    declared = published_tables(withholding.show_restricted_contacts)
    for name, frame in payload.published().items():
        report = validate(frame, declared[name])
        if not report.ok:
            raise SchemaBrokenError(report.summary())
    return payload, [tables["Reads"] for tables in raw.values()]


def facts_of(tried: DryRun, night: Night) -> dict[str, Any]:
    """The metadata for the UI: counts, but no student."""
    counts = tried.counts
    facts: dict[str, Any] = {
        "snapshot date": tried.night.isoformat(),
        "gate": f"would hold it: {'; '.join(tried.reasons)}" if tried.reasons else "would publish it",
        "statuses": table(
            ("status", "students"),
            (
                ("ENROLLED", counts.enrolled),
                ("PRE-ENROLLED", counts.pre_enrolled),
                ("GRADUATED", counts.graduated),
                ("INACTIVE", counts.inactive),
            ),
        ),
        "students added": counts.added,
        "students changed": counts.changed,
        "students removed": counts.removed,
        "students carried over": counts.carried_over,
    }
    if tried.to_check:
        facts["what to do"] = tried.to_check
    if tried.verdict is not None:
        facts["shares"] = shares_table(tried.verdict, night.district.limits)
    return facts


@dg.job(
    name=DRY_RUN_JOB,
    partitions_def=DISTRICTS,
    executor_def=dg.in_process_executor,
    description="Read one district's Qmlativ, compute its night and ask the gate; publish and record "
    "nothing. The district is the partition. The tag samegoal/today names another date, which may be later.",
)
def dry_run() -> None:
    """Dry-run one district's night."""
    try_night()
