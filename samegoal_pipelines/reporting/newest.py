"""The board of now: every district on the newest night of its own.

A night begins in Guam when the one before is still talked about in Chicago. So no single night is the newest
of all districts, and looking at one of them would hide what is wrong in the others.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from samegoal_pipelines.reporting.board import Board, DistrictNight, night_judged, night_now, read_board
from samegoal_pipelines.tables.warehouse import districts
from samegoal_pipelines.warehouse.engine import as_operator


def read_newest(engine: sa.Engine, now: datetime) -> Board:
    """Every district on the newest night that has begun there.

    As long as that one is not due, a district whose night before is in trouble shows that: a new night makes
    no trouble go away until something has come of it. The board's night is the one of most districts; what is
    said of a district on another one begins with its night.

    Args:
        now: an aware instant.
    """
    with as_operator(engine, "looking up the time zones") as connection:
        zones = set(connection.scalars(sa.select(districts.c.timezone).distinct()))
    begun = {zone: night_now([zone], now) for zone in zones}
    judged = {zone: night_judged(zone, now) for zone in zones}
    boards = {
        night: {one.district_id: one for one in read_board(engine, night, now).districts}
        for night in {*begun.values(), *judged.values()}
    }
    found = [
        _telling(one, boards[judged[one.timezone]].get(one.district_id))
        for night, board in boards.items()
        for one in board.values()
        if begun[one.timezone] == night
    ]
    counted = Counter(one.night for one in found if one.state != "disabled")
    night = max(counted, key=lambda night: (counted[night], night), default=night_now(zones, now))
    return Board.in_order(night, now, [one if one.night == night else _named(one) for one in found])


def _telling(newest: DistrictNight, before: DistrictNight | None) -> DistrictNight:
    """The one of both nights, which may be the same, that somebody must know of."""
    return before if before is not None and before.in_trouble and newest.state == "pending" else newest


def _named(one: DistrictNight) -> DistrictNight:
    return replace(one, reason=f"night {one.night}" + (f": {one.reason}" if one.reason else ""))
