"""Which alerts to send, their text, and which were sent.

Each deadline (06:00 of each time zone) is checked once it has passed: one message per address covers all
districts that failed, are held or are late. Trouble that comes later, such as a rerun that is held, follows
at most once an hour. A message is sent and recorded in one transaction, under a lock of its address. So two
daemons send one message, and a failed message leaves no record, so the next check tries again.

The text is Markdown without student data. An alert names every affected district, at least by its id.
Districts with the same state, kind and next step are described together.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import psycopg2.errors
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from samegoal_pipelines.reporting import rendering
from samegoal_pipelines.reporting.addresses import Address, Message
from samegoal_pipelines.reporting.nightly_status import DEADLINE, Board, DistrictNight, in_words
from samegoal_pipelines.tables.warehouse import alerts_sent
from samegoal_pipelines.warehouse.engine import LOCK_ROW, take_role, transaction
from samegoal_pipelines.warehouse.roles import Role

BETWEEN_LATER_MESSAGES = timedelta(hours=1)
NAMES_IN_A_GROUP = 20


class Sent(NamedTuple):
    """A message that was sent, and what went wrong if only a part arrived."""

    message: Message
    problem: str | None


class Alert(NamedTuple):
    """What a recipient should have received by now: a board's trouble, or one message about a whole night."""

    about: Board | Message
    night: date
    deadline: datetime
    topic: str = ""


def alerts_due(
    boards: Sequence[Board], of_nights: Iterable[tuple[date, Message]], *, all_well: bool
) -> list[Alert]:
    """Everything that a recipient should have received by now.

    Args:
        boards: of `read_judged`, those with an active district.
        of_nights: messages about a whole night, such as a missing report.
        all_well: whether a night without trouble gets a message, too.
    """
    once = [(message, night, "report") for night, message in of_nights]
    if all_well and len({board.night for board in boards}) == 1:  # the last time zone's deadline has passed
        night, due = boards[0].night, sum(board.due for board in boards)
        if due and not any(board.trouble for board in boards):
            said = "1 district" if due == 1 else f"All {due:,} districts"
            message = Message(f"SameGoal night {night}: all is well", f"{said} published.\n", "success")
            once.append((message, night, "all well"))
    return [
        *(Alert(board, board.night, board.districts[0].deadline) for board in boards),
        *(Alert(one, night, datetime.combine(night, DEADLINE, UTC), topic) for one, night, topic in once),
    ]


def send_alert(engine: sa.Engine, alert: Alert, recipient: Address, now: datetime) -> Sent | None:
    """Send what the recipient does not know yet and record it, unless another process is sending."""
    channel = f"{recipient.name}: {alert.topic}" if alert.topic else recipient.name
    key = {"night": alert.night, "deadline": alert.deadline, "channel": channel}
    with transaction(engine, "looking up which alerts were sent") as connection:
        take_role(connection, Role.WRITER)
        if not locked(connection, channel):
            return None
        parts = connection.execute(sa.select(alerts_sent).filter_by(**key).order_by(alerts_sent.c.part)).all()
        news = _news_since(parts, alert, now)
        if news is None:
            return None
        message, lines = news
        sent = Sent(message, recipient.send(message)) if message else None
        row = {"part": len(parts) + 1, "sent_at": now, "districts": len(lines), "digest": "\n".join(lines)}
        connection.execute(sa.insert(alerts_sent).values(**key, **row))
        return sent


def _news_since(
    parts: Sequence[sa.Row[Any]], alert: Alert, now: datetime
) -> tuple[Message | None, list[str]] | None:
    """What to send and to record after these records. Without a message, only the check is recorded."""
    board = alert.about
    if isinstance(board, Message):
        return None if parts else (board, [f"({alert.topic})"])
    known = {line for part in parts for line in part.digest.splitlines()}
    news = [one for one in board.trouble if _line(one) not in known]
    if parts:  # a district that is late only now was paused at the deadline; its pause was replaced since
        news = [one for one in news if one.state != "late"]
    if parts and (not news or now - parts[-1].sent_at < BETWEEN_LATER_MESSAGES):
        return None
    message = alert_message(board, news, later=bool(known)) if news else None
    return message, sorted(map(_line, news))


def _line(one: DistrictNight) -> str:
    """What makes a district's trouble news: its state, and the kind of failure."""
    kind = f" ({one.kind})" if one.kind else ""
    return f"{one.district_id} {one.state}{kind}"


def locked(connection: sa.Connection, channel: str) -> bool:
    """Lock the address while a message is sent, by a row that only writers can lock. False: it is locked.

    Postgres ends the transaction if sending hangs for a minute.
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


def alert_message(board: Board, news: Sequence[DistrictNight], *, later: bool = False) -> Message:
    """The message about these districts of a board. `later`: it follows an earlier one of the same night."""
    groups: dict[tuple[str | None, ...], list[DistrictNight]] = {}
    for one in news:
        groups.setdefault((one.state, one.kind, one.advice), []).append(one)
    counts = in_words(Counter(one.state for one in news))
    return Message(
        f"{board.title}: {'also ' if later else ''}{counts} of {board.due:,}",
        rendering.render("alert.md.j2", board=board, groups=groups.values(), names=NAMES_IN_A_GROUP),
    )
