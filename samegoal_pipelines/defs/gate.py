"""The gate in Dagster: its check with the numbers, and how to release. `transforms.gate` decides."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import dagster as dg

from samegoal_pipelines.defs.dagster_internals import location_of
from samegoal_pipelines.defs.district_run import PARTITION_TAG, DistrictRun
from samegoal_pipelines.defs.materializing import ERROR, Finding, district_check
from samegoal_pipelines.defs.metadata import table
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.transforms.gate import Verdict, shares
from samegoal_pipelines.warehouse.snapshots import Snapshot

PUBLISHED_SNAPSHOT = "published_snapshot"
GATE_CHECK = "gate"
RELEASE_JOB = "release_held_snapshot"

gate_check = district_check(
    PUBLISHED_SNAPSHOT,
    GATE_CHECK,
    "Tonight's snapshot differs little enough from the published one to replace it. Red: it is held, with "
    "these numbers, and SameGoal keeps reading last night's until a person has looked and runs the job "
    f"{RELEASE_JOB}, or until a later night passes.",
)


def gate_finding(
    context: dg.AssetExecutionContext,
    run: DistrictRun,
    outcome: Snapshot,
    verdict: Verdict,
    about: Mapping[str, Any],
) -> Finding:
    """The check's outcome with the shares and their limits. Red with the reasons if the night is held.

    It also shows the facts `about` a held snapshot, because no materialization does.
    """
    facts: dict[str, Any] = {}
    if verdict.numbers:  # Dagster sorts by name, so that this comes first
        facts["each share and its limit"] = shares_table(verdict, run.district.limits)
    if outcome.held:
        said = f"held: {outcome.reason}"
        facts["what to do"] = outcome.to_do
        facts |= {**about, "release it": _release_link(context, run)}
    elif not verdict.numbers:
        said = "nothing to compare: the district's first snapshot, or the same rows as are published"
    else:
        said = "within the limits"
    return Finding(outcome.published, said, facts, ERROR)


def shares_table(verdict: Verdict, limits: Limits) -> dg.TableMetadataValue:
    """The gate's shares and limits."""
    return table(("what", "rows", "of", "share", "held above"), shares(limits, verdict.numbers))


def _release_link(context: dg.AssetExecutionContext, run: DistrictRun) -> dg.MarkdownMetadataValue:
    """A link to the release in the launchpad, filled in except for who and why."""
    config = f"""\
ops:
  published_snapshot:
    config:
      night: '{run.today}'
      who: ''  # your name; empty: SAMEGOAL_OPERATOR
      why: ''  # required
"""
    tag = {"tags[0][key]": PARTITION_TAG, "tags[0][value]": run.district_id}
    page = f"/locations/{location_of(context.run)}/jobs/{RELEASE_JOB}/playground/setup"
    query = urlencode({"config": config, **tag})
    return dg.MetadataValue.md(
        f"[Publish what is held: say why, and launch]({page}?{query})\n\n"
        f"This publishes exactly what was held for {run.district_id} for {run.today}, not what Qmlativ "
        "says now. Who released it and why is recorded."
    )


def held_failure(run: DistrictRun, held: Snapshot) -> dg.Failure:
    """The failure of a held night's run, and what to do. A retry would be held again."""
    return dg.Failure(
        f"{run.district_id}: held: {held.reason}; last night's snapshot stays. To do: {held.to_do}, or with "
        f"the job {RELEASE_JOB} in the Dagster UI",
        allow_retries=False,
    )
