"""A night's report: everything that its page shows, put together; and the folder in which it is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from samegoal_pipelines.landing import Landing
from samegoal_pipelines.reporting.forecast import Ahead, look_ahead
from samegoal_pipelines.reporting.nightly_status import Board, read_board, read_newest
from samegoal_pipelines.reporting.trends import TrendNight, read_trends

FOLDER = "_reports"
"""Where the landing keeps the pages. No district can be called so: its id begins with a letter or a digit."""


@dataclass(frozen=True)
class Report:
    """One night's board, how the last nights went, and what the next days bring (None: not looked at)."""

    board: Board
    trends: tuple[TrendNight, ...]
    ahead: Ahead | None

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "night": self.board.night,
            "made_at": self.board.looked_at,
            "totals": self.board.totals,
            "districts": [one.facts() for one in self.board.districts],
            "expiring": [one.district_id for one in self.board.expiring],
            "trends": [asdict(one) for one in self.trends],
            "ahead": None if self.ahead is None else asdict(self.ahead),
        }


def make_report(
    engine: sa.Engine, now: datetime, night: date | None = None, *, landing: Landing | None = None
) -> Report:
    """The report of a night.

    Args:
        now: an aware instant.
        night: by default every district's own newest one, as `read_newest` says.
        landing: where landed rows lie, if the next days are to be looked at, which takes a part of a second
            for each district.
    """
    board = read_newest(engine, now) if night is None else read_board(engine, night, now)
    ahead = None if landing is None else look_ahead(engine, landing, board)
    return Report(board, tuple(read_trends(engine, board.night)), ahead)
