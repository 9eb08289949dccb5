"""Which alerts to send, their text, and which were sent.

Each deadline (06:00 of each time zone) is checked once it has passed: one message per address covers all
districts that failed, are held or are late. Trouble that comes later, such as a rerun that is held, follows
at most once an hour. A message is sent and recorded in one transaction, under a lock of its address. So two
daemons send one message, and a failed message leaves no record, so the next check tries again.

The text is Markdown without student data. An alert names every affected district, at least by its id.
Districts with the same state, kind and next step are described together.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import psycopg2.errors
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from samegoal_pipelines.reporting import rendering
from samegoal_pipelines.reporting.addresses import Address, Message
from samegoal_pipelines.reporting.nightly_status import DEADLINE, Board, DistrictNight, in_words, read_judged
from samegoal_pipelines.tables.warehouse import alerts_sent
from samegoal_pipelines.warehouse.engine import LOCK_ROW, take_role, transaction
from samegoal_pipelines.warehouse.roles import Role

BETWEEN_LATER_MESSAGES = timedelta(hours=1)
NAMES_IN_A_GROUP = 20


@dataclass(frozen=True)
class Sent:
    """A message that was sent."""

    message: Message
    problem: str | None = None
    """What went wrong if only a part arrived."""


Alert = Callable[[Address, datetime], Sent | None]
"""Sends a message unless the recipient already has it. Returns what was sent."""


def alerts_due(
    engine: sa.Engine, boards: Sequence[Board], of_nights: Iterable[tuple[date, Message]], *, all_well: bool
) -> list[Alert]:
    """Send everything that a recipient should have received by now.

    Args:
        boards: as `judged_boards` returns them.
        of_nights: messages about a whole night, such as a missing report.
        all_well: whether a night without trouble gets a message, too.
    """
    boards = [board for board in boards if board.active]
    alerts: list[Alert] = [partial(send_news, engine, board) for board in boards]
    alerts += [partial(send_once, engine, night, "report", message) for night, message in of_nights]
    if all_well and len({board.night for board in boards}) == 1:  # the last time zone's deadline has passed
        due = sum(board.due for board in boards)
        if due and not any(board.trouble for board in boards):
            night = boards[0].night
            alerts.append(partial(send_once, engine, night, "all well", all_well_message(night, due)))
    return alerts


def judged_boards(engine: sa.Engine, now: datetime) -> list[Board]:
    """The districts of each deadline, on the newest night whose deadline has passed for them."""
    groups: dict[tuple[date, datetime], list[DistrictNight]] = {}
    for one in read_judged(engine, now):
        groups.setdefault((one.night, one.deadline), []).append(one)
    return [Board.in_order(night, now, found) for (night, _), found in sorted(groups.items())]


def send_news(engine: sa.Engine, board: Board, recipient: Address, now: datetime) -> Sent | None:
    """Send the trouble of a board that the recipient does not know about."""

    def news_since(parts: Sequence[sa.Row[Any]]) -> tuple[Message | None, list[str]] | None:
        known = {line for part in parts for line in part.digest.splitlines()}
        news = [one for one in board.trouble if _news(one) not in known]
        if parts:  # a district without an attempt was added since, so its next night is the first due
            news = [one for one in news if one.state != "late"]
            if not news or now - parts[-1].sent_at < BETWEEN_LATER_MESSAGES:
                return None
        message = alert_message(board, news, later=bool(known)) if news else None
        return message, sorted(map(_news, news))

    key = {"night": board.night, "deadline": board.districts[0].deadline, "channel": recipient.name}
    return _send(engine, key, recipient, now, news_since)


def send_once(
    engine: sa.Engine, night: date, topic: str, message: Message, recipient: Address, now: datetime
) -> Sent | None:
    """Send a message about a whole night, unless the recipient already has it."""
    deadline = datetime.combine(night, DEADLINE, UTC)
    key = {"night": night, "deadline": deadline, "channel": f"{recipient.name}: {topic}"}
    return _send(engine, key, recipient, now, lambda parts: None if parts else (message, [f"({topic})"]))


def _news(one: DistrictNight) -> str:
    """What makes a district's trouble news: its state, and the kind of failure."""
    kind = f" ({one.kind})" if one.kind else ""
    return f"{one.district_id} {one.state}{kind}"


def _send(
    engine: sa.Engine,
    key: dict[str, Any],
    recipient: Address,
    now: datetime,
    decide: Callable[[Sequence[sa.Row[Any]]], tuple[Message | None, list[str]] | None],
) -> Sent | None:
    """Send a message and record it, unless another process is sending.

    Args:
        key: the night, the deadline and the channel under which it is recorded.
        decide: the records of this key → what to send and to record. No message: only record that the
            deadline was checked. None: do neither.
    """
    with transaction(engine, "looking up which alerts were sent") as connection:
        take_role(connection, Role.WRITER)
        if not locked(connection, key["channel"]):
            return None
        parts = connection.execute(sa.select(alerts_sent).filter_by(**key).order_by(alerts_sent.c.part)).all()
        decided = decide(parts)
        if decided is None:
            return None
        message, lines = decided
        sent = Sent(message, recipient.send(message)) if message else None
        row = {"part": len(parts) + 1, "sent_at": now, "districts": len(lines), "digest": "\n".join(lines)}
        connection.execute(sa.insert(alerts_sent).values(**key, **row))
        return sent


def locked(connection: sa.Connection, channel: str) -> bool:
    """Lock the address while a message is sent, by a row that only writers can lock.

    Postgres ends the transaction if sending hangs for a minute.

    Returns:
        Whether it was free.
    """
    connection.exec_driver_sql("set local idle_in_transaction_session_timeout = '60s'")
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("set local lock_timeout = '100ms'")
            connection.exec_driver_sql(LOCK_ROW, (f"alert {channel}",))
    except OperationalError as error:
        if not isinstance(error.orig, psycopg2.errors.LockNotAvailable):
            raise
        return False
    connection.exec_driver_sql("set local lock_timeout to default")
    return True


# -- the text --


def missing_report_message(night: date, tries: int, run_id: str) -> Message:
    """The message about a night whose report could not be made."""
    return Message(
        f"SameGoal night {night}: its report is missing",
        f"nightly_report of the night {night} failed {tries} times, last in run {run_id}.\n\n"
        "To do: open that run in the Dagster UI. To see what the report would say: "
        f"`samegoal-pipelines report --night {night}`\n",
    )


def all_well_message(night: date, districts: int) -> Message:
    """The line about a night on which everything is well."""
    count = "1 district" if districts == 1 else f"All {districts:,} districts"
    return Message(f"SameGoal night {night}: all is well", f"{count} published.\n", "success")


def alert_message(board: Board, news: Sequence[DistrictNight], *, later: bool = False) -> Message:
    """The message about districts in trouble.

    Args:
        board: all districts with one deadline.
        news: the districts in trouble that the message is about.
        later: the message follows an earlier one of the same night.
    """
    groups: dict[tuple[str | None, ...], list[DistrictNight]] = {}
    for one in news:
        groups.setdefault((one.state, one.kind, one.advice), []).append(one)
    counts = in_words(Counter(one.state for one in news))
    return Message(
        f"{board.title}: {'also ' if later else ''}{counts} of {board.due:,}",
        rendering.render("alert.md.j2", board=board, groups=groups.values(), names=NAMES_IN_A_GROUP),
    )
