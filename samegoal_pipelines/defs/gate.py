"""The gate in Dagster: the facts it gets about a night, its check with the numbers, and how to release.

When a snapshot is held is decided in `transforms.gate`, and the release is in `release`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from typing import Any
from urllib.parse import urlencode

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.checks import Finding
from samegoal_pipelines.defs.dagster_internals import location_of
from samegoal_pipelines.defs.errors import district_check
from samegoal_pipelines.defs.metadata import table
from samegoal_pipelines.defs.night import PARTITION_TAG, Night
from samegoal_pipelines.errors import fill_in
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.printable import share
from samegoal_pipelines.tables.catalog import RAW_TABLES
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.tables.reads import rows_by_object
from samegoal_pipelines.transforms.gate import Verdict, shares
from samegoal_pipelines.transforms.snapshot import SnapshotPayload, statuses_of
from samegoal_pipelines.warehouse.session import Held, Published
from samegoal_pipelines.warehouse.snapshots import Snapshot

PUBLISHED_SNAPSHOT = "published_snapshot"
GATE_CHECK = "gate"
HELD_SNAPSHOT = "held_snapshot"
"""The name under which a held snapshot is landed. No Dagster asset has this name."""
RELEASE_JOB = "release_held_snapshot"

gate_check = district_check(
    PUBLISHED_SNAPSHOT,
    GATE_CHECK,
    "Tonight's snapshot differs little enough from the published one to replace it. Red: it is held, with "
    "these numbers, and SameGoal keeps reading last night's until a person has looked and runs the job "
    f"{RELEASE_JOB}, or until a later night passes.",
)


class LandedEvidence:
    """The gate's access to the landing (`publishing.Landing`)."""

    def __init__(
        self, night: Night, payload: SnapshotPayload, reads: Sequence[pd.DataFrame] | None = None
    ) -> None:
        self._night, self._payload = night, payload
        self._tonight = rows_that_came(reads or reads_that_landed(night, night.today, night.run_id))

    def emptied(self, published: Snapshot) -> dict[str, int]:
        """Objects without rows tonight, and their number of rows in the published night."""
        runs = (published.run_id, published.landed_run_id)
        before = rows_that_came(reads_that_landed(self._night, published.snapshot_date, *runs))
        return {name: rows for name, rows in before.items() if rows and self._tonight.get(name) == 0}

    def statuses_by_time(self, published: Snapshot) -> pd.DataFrame | None:
        """As `statuses_as_of_tonight`."""
        return statuses_as_of_tonight(self._night, published)

    def land_held(self) -> None:
        """Land the snapshot to hold."""
        self._night.land(HELD_SNAPSHOT, self._payload.to_land())


def statuses_as_of_tonight(night: Night, published: Snapshot) -> pd.DataFrame | None:
    """The statuses as of tonight from the published night's landed rows, which shows what time alone changes.

    Returns:
        student_id and status, which is null for an uncertain student. None: the rows are gone, or an older
        version landed them without what today's rules need.
    """
    try:
        landed = night.read_landed("raw_enrollments", published.snapshot_date, published.landed_by)
    except LandingError:
        return None
    if RAW_TABLES["raw_enrollments"].keys() - landed.keys():
        return None
    statuses, uncertain = statuses_of(landed, night.today)
    return pd.concat([statuses[["student_id", "status"]], uncertain[["student_id"]]], ignore_index=True)


def rows_that_came(reads: Iterable[pd.DataFrame]) -> dict[str, int]:
    """Rows by object, over all school years, if their reads are landed."""
    return rows_by_object(arrived for one in reads if "Arrived" in one for arrived in one["Arrived"])


def reads_that_landed(night: Night, on: date, *run_ids: str | None) -> list[pd.DataFrame]:
    """The tables of reads of a night's raw assets, if they are in the landing.

    Args:
        run_ids: the first of these runs that landed an asset counts, or else the last run of that night,
            because a retried run continues with what the failed one landed.
    """
    found: list[pd.DataFrame] = []
    for asset in RAW_TABLES:
        for run_id in (*filter(None, run_ids), None):
            with suppress(LandingError, KeyError):  # LandedFileError: landed by an older version
                found.append(night.read_landed(asset, on, run_id, only="Reads")["Reads"])
                break
    return found


def gate_finding(
    outcome: Published | Held, night: Night, about_held: Mapping[str, Any]
) -> dict[str, Finding]:
    """The check's outcome with the shares and their limits. Red with the reasons if the night is held.

    Args:
        about_held: metadata of a held snapshot, which has no materialization to show it.
    """
    verdict = outcome.verdict
    facts: dict[str, Any] = {}
    if verdict:  # Dagster sorts by name, so that this comes first
        facts["each share and its limit"] = shares_table(verdict, night.district.limits)
    if isinstance(outcome, Held):
        message = f"held: {outcome.reason}"
        facts = {**facts, "what to do": fill_in(outcome.next_step, night.district_id), **about_held}
    elif verdict is None:
        message = "nothing to compare: the district's first snapshot, or the same rows as are published"
    else:
        message = "within the limits"
    return {GATE_CHECK: Finding(not isinstance(outcome, Held), message, facts, dg.AssetCheckSeverity.ERROR)}


def shares_table(verdict: Verdict, limits: Limits) -> dg.TableMetadataValue:
    """The gate's shares and limits."""
    return table(
        ("what", "rows", "of", "share", "held above"),
        (
            (one.label, f"{one.part:,}", f"{one.whole:,}", share(one.part, one.whole), one.limit)
            for one in shares(limits, verdict.numbers)
        ),
    )


def release_link(context: dg.AssetExecutionContext, night: Night) -> dg.MarkdownMetadataValue:
    """A link to the release in the launchpad, filled in except for who and why."""
    config = _RELEASE_CONFIG.format(night=night.today)
    tag = {"tags[0][key]": PARTITION_TAG, "tags[0][value]": night.district_id}
    page = f"/locations/{location_of(context.run)}/jobs/{RELEASE_JOB}/playground/setup"
    query = urlencode({"config": config, **tag})
    return dg.MetadataValue.md(
        f"[Publish what is held: say why, and launch]({page}?{query})\n\n"
        f"This publishes exactly what was held for {night.district_id} for {night.today}, not what Qmlativ "
        "says now. Who released it and why is recorded."
    )


_RELEASE_CONFIG = """\
ops:
  published_snapshot:
    config:
      night: '{night}'
      who: ''  # your name; empty: SAMEGOAL_OPERATOR
      why: ''  # required
"""


def held_failure(night: Night, held: Held) -> dg.Failure:
    """The failure of a held night's run, and what to do. A retry would be held again."""
    next_step = fill_in(held.next_step, night.district_id)
    return dg.Failure(
        f"{night.district_id}: held: {held.reason}; last night's snapshot stays. To do: {next_step}, or with "
        f"the job {RELEASE_JOB} in the Dagster UI",
        allow_retries=False,
    )
