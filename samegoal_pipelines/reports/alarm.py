"""Whether somebody is to be told of a night, and of what.

Each deadline (06:00 of each time zone) is looked at once it has passed: what is failed, held or late then
goes out in one message per channel. A deadline at which all was well is written down as looked at. What comes
later, such as a rerun that is held, follows in messages of its own, at most one an hour; but a district that
is only then without an attempt was enabled, resumed or registered since, and its next night will tell.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from samegoal_pipelines.alarms.channels import Channel
from samegoal_pipelines.reports.board import (
    Board,
    DistrictNight,
    active_timezones,
    deadline_of,
    night_judged,
    read_board,
)
from samegoal_pipelines.reports.message import Message, MissingReport, alarm_message
from samegoal_pipelines.reports.remedies import kind_of
from samegoal_pipelines.reports.told import Telling, telling

BETWEEN_LATER_MESSAGES = timedelta(hours=1)
_REPORT_IS_MISSING: Telling = ("nightly_report", "missing")


def boards_judged(engine: sa.Engine, now: datetime) -> list[Board]:
    """The districts of every deadline, on the newest night whose deadline has passed for them.

    All districts of one board have the same deadline.
    """
    judged = {zone: night_judged(zone, now) for zone in active_timezones(engine)}
    boards = []
    for night in sorted(set(judged.values())):
        board = read_board(engine, night, now)
        zones = {zone for zone, its_night in judged.items() if its_night == night}
        for deadline in sorted({deadline_of(night, zone) for zone in zones}):
            here = {
                one.district_id
                for one in board.districts
                if one.timezone in zones and one.deadline == deadline
            }
            boards.append(board.of(here))
    return [board for board in boards if board.districts]


def tell(engine: sa.Engine, board: Board, channel: Channel, now: datetime) -> Message | None:
    """Send through a channel what it has not told of this board, if there is anything.

    Args:
        board: one of `boards_judged`.

    Returns:
        What was sent.

    Raises:
        ChannelError: it could not be sent; nothing is written down, so that the next look tries again.
        WarehouseError: as `transaction` does.
    """
    deadline = board.districts[0].deadline
    with telling(engine, board.night, deadline, channel.name) as ledger:
        if ledger is None:
            return None
        news = [one for one in board.trouble if _telling(one) not in ledger.told]
        if ledger.parts:
            news = [one for one in news if one.state != "late"]
            if not news or ledger.last_at is None or now - ledger.last_at < BETWEEN_LATER_MESSAGES:
                return None
        message = alarm_message(board, news, later=bool(ledger.told)) if news else None
        if message is not None:
            channel.send(message.subject, message.text, message.html)
        ledger.record(now, [_telling(one) for one in news])
        return message


def tell_of_report(
    engine: sa.Engine, missing: MissingReport, channel: Channel, now: datetime
) -> Message | None:
    """Send through a channel, once, that the report of a night is missing.

    A message of its own: the one about the districts has gone out before the report was tried.

    Returns:
        What was sent.

    Raises:
        ChannelError, WarehouseError: as `tell` does.
    """
    deadline, line = deadline_of(missing.night, "UTC"), f"{channel.name}: report"
    with telling(engine, missing.night, deadline, line) as ledger:
        if ledger is None or ledger.parts:
            return None
        message = missing.message()
        channel.send(message.subject, message.text, message.html)
        ledger.record(now, [_REPORT_IS_MISSING])
        return message


def _telling(one: DistrictNight) -> Telling:
    """A night that fails again, but for another reason, is news: something else is to be done."""
    kind = f" ({kind_of(one.reason).name})" if one.state == "failed" else ""
    return one.district_id, f"{one.state}{kind}"
