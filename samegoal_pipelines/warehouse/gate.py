"""The gate: whether tonight's snapshot differs so much from the published one that a person must look first.

Arithmetic on counts. Who is told, and what becomes of a held snapshot, is `publish`'s and `release`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from samegoal_pipelines.warehouse.snapshots import Attempt


@dataclass(frozen=True)
class Limits:
    """Beyond which share a snapshot is held: percentages, except `lost_least`, a number of students."""

    lost: float = 10.0
    lost_least: int = 25
    expired: float = 50.0
    demographics: float = 75.0
    contacts: float = 10.0
    set_aside: float = 1.0


@dataclass(frozen=True)
class Gate:
    """What the gate must know besides the rows."""

    limits: Limits
    enrollment_rows: int
    set_aside: int
    status_by_time: Callable[[Attempt], pd.DataFrame | None]


@dataclass(frozen=True)
class Verdict:
    """What the gate found; no reason means that it lets the snapshot pass."""

    reasons: tuple[str, ...] = ()
    numbers: dict[str, int | float] = field(default_factory=dict)
