"""What the next days bring if nobody edits anything in Qmlativ, counted over all districts.

From the rows that were landed for each district's published night; a district whose files are gone is named
and left out. Students are counted, never told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from samegoal_pipelines.landing import Landing, LandingError
from samegoal_pipelines.reports.board import Board

DAYS = 14


@dataclass(frozen=True)
class Flip:
    """How many students go from one status to another on a day; None: not in the snapshot."""

    day: date
    old_status: str | None
    new_status: str | None
    students: int


@dataclass(frozen=True)
class Ahead:
    """The flips of the next `days` days, over all districts that could be looked at."""

    days: int
    flips: tuple[Flip, ...]
    districts: int
    left_out: tuple[str, ...]
    """Districts whose landed rows are gone or cannot be read."""


def look_ahead(landing: Landing, board: Board, days: int = DAYS) -> Ahead:
    """The flips after the board's night, over every district that is published and not disabled."""
    from samegoal_pipelines.transforms.forecast import count_flips, forecast_statuses

    found: Counter[tuple[date, str | None, str | None]] = Counter()
    looked_at, left_out = 0, []
    for one in sorted(board.districts, key=lambda one: one.district_id):
        if one.last_published is None or one.state == "disabled":
            continue
        try:
            raw = landing.read(
                "raw_enrollments",
                district_id=one.district_id,
                night=one.last_published,
                run_id=one.landed_run_id,
            )
            flips = count_flips(forecast_statuses(raw, board.night, days))
        except (LandingError, KeyError, ValueError):
            left_out.append(one.district_id)
            continue
        looked_at += 1
        columns = [
            flips[name].astype(object).tolist() for name in ("day", "old_status", "new_status", "students")
        ]
        for day, old, new, students in zip(*columns, strict=True):
            found[day, _status(old), _status(new)] += students
    return Ahead(days, tuple(_in_order(found)), looked_at, tuple(left_out))


def _in_order(found: Counter[tuple[date, str | None, str | None]]) -> Iterable[Flip]:
    for (day, old, new), students in sorted(found.items(), key=lambda item: [str(part) for part in item[0]]):
        yield Flip(day, old, new, students)


def _status(value: object) -> str | None:
    return value if isinstance(value, str) else None
