"""The gate as Dagster shows it: what it is told of a night, its check with the numbers, and how to release.

Not here: when a snapshot is held (`warehouse.gate`), nor the release itself (`release`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.findings import Finding
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.night import Night
from samegoal_pipelines.defs.steps import district_check
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.transforms.enrollments import FilteredEnrollments
from samegoal_pipelines.transforms.snapshot import count_in_doubt, statuses_of
from samegoal_pipelines.warehouse.gate import Gate, Limits, Verdict
from samegoal_pipelines.warehouse.publish import Held, Published
from samegoal_pipelines.warehouse.snapshots import Attempt

PUBLISHED_SNAPSHOT = "published_snapshot"
GATE_CHECK = "gate"
RELEASE_JOB = "release_held_snapshot"

gate_check = district_check(
    PUBLISHED_SNAPSHOT,
    GATE_CHECK,
    "Tonight's snapshot is near enough to the published one to replace it unseen. Red: it is held, with "
    "these numbers, and last night's stays what SameGoal reads, until a person has looked and runs the "
    f"job {RELEASE_JOB}, or until a later night passes.",
)


def gate_of(night: Night, cecs_filtered_enrollments: Tables) -> Gate:
    """What the gate must know of tonight besides the rows to publish."""
    enrollments, left_out = (cecs_filtered_enrollments[table] for table in ("enrollments", "left_out"))
    return Gate(
        limits=night.district.limits,
        enrollment_rows=len(enrollments) + len(left_out),
        set_aside=count_in_doubt(FilteredEnrollments(enrollments, left_out, repeated=0)),
        status_by_time=partial(statuses_as_of_tonight, night),
    )


def statuses_as_of_tonight(night: Night, published: Attempt) -> pd.DataFrame | None:
    """What the rows that were landed for the published night say as of tonight: what time alone explains.

    Returns:
        student_id and status; a student whom they leave in doubt has none. None: they are gone.
    """
    try:
        landed = night.read_landed(
            "raw_enrollments", published.snapshot_date, published.landed_run_id or published.run_id
        )
    except LandingError:
        return None
    statuses, uncertain = statuses_of(landed, night.today)
    return pd.concat([statuses[["student_id", "status"]], uncertain[["student_id"]]], ignore_index=True)


def gate_finding(
    outcome: Published | Held, limits: Limits, about_held: Mapping[str, Any]
) -> dict[str, Finding]:
    """The check's outcome: green, or red with the reasons; with the counts and their limits either way.

    Args:
        about_held: what is to be seen with a snapshot that is held: there is no materialization to see it at.
    """
    verdict = outcome.verdict
    facts = gate_facts(verdict, limits) if verdict else {}
    if isinstance(outcome, Held):
        told, facts = f"held: {outcome.reason}", {**facts, **about_held}
    elif verdict is None:
        told = "nothing to compare: the district's first snapshot, or the same rows as are published"
    else:
        told = "within the limits"
    return {GATE_CHECK: Finding(not isinstance(outcome, Held), told, facts, dg.AssetCheckSeverity.ERROR)}


def gate_facts(verdict: Verdict, limits: Limits) -> dict[str, Any]:
    """What the gate counted: each share beside its limit for people, and the numbers themselves."""
    n = verdict.numbers
    by_time = n.get("lost_by_time", 0)
    shares = [
        ("students lost, time apart", n["lost"] - by_time, n["published_active"], limits.lost),
        ("students lost by time", n.get("expired_by_time", 0), n["published_active"], limits.expired),
        ("rows changed", n["demographics_changed"], n["demographics_published"], limits.demographics),
        ("students without a contact", n["contacts_lost"], n["published_students"], limits.contacts),
        ("enrollment rows set aside", n["set_aside"], n["enrollment_rows"], limits.set_aside),
    ]
    records = [
        dg.TableRecord(
            {"what": what, "rows": part, "of": of, "percent": _percent(part, of), "limit in percent": limit}
        )
        for what, part, of, limit in shares
    ]
    return {
        "shares": dg.MetadataValue.table(records),
        "fewest lost students to be held for": limits.lost_least,
        **{name.replace("_", " "): number for name, number in n.items()},
    }


def _percent(part: float, of: float) -> float:
    return round(100 * part / of, 3) if of else 0.0


def held_failure(night: Night, held: Held) -> dg.Failure:
    """Why a held night's run is red, and what to do; trying again by itself would hold it again."""
    return dg.Failure(
        f"{night.district_id}: held: {held.reason}{other_night(night.today, night.local_date)}, or with the "
        f"job {RELEASE_JOB} in the Dagster UI; until then last night's snapshot stays",
        allow_retries=False,
    )


def other_night(night: date, local_date: date) -> str:
    """What the command that releases a night needs besides, where that night is not the district's date."""
    return "" if night == local_date else f" --today {night}"
