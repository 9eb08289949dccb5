"""A night's report: everything on its page, and the folder of the pages."""

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
"""The folder of the pages in the landing. No district id begins with this character."""


@dataclass(frozen=True)
class Report:
    """One night's board, the last nights, and the forecast of the next days (None: not computed)."""

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
    engine: sa.Engine,
    now: datetime,
    night: date | None = None,
    *,
    landing: Landing | None = None,
    trends: bool = True,
) -> Report:
    """The report of a night.

    Args:
        now: an aware instant.
        night: by default every district's newest one (`read_newest`).
        landing: for the forecast of the next days, which takes a fraction of a second per district. None: no
            forecast.
        trends: read the last nights, which takes a second per thousand districts.
    """
    board = read_newest(engine, now) if night is None else read_board(engine, night, now)
    ahead = None if landing is None else look_ahead(engine, landing, board)
    return Report(board, tuple(read_trends(engine, board.night)) if trends else (), ahead)
