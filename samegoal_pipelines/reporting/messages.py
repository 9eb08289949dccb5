"""Which messages to send, their text, and which were sent: alerts about nights, and districts' confirmations.

Each deadline (06:00 of each time zone) is checked once it has passed: one alert per address covers all
districts that failed, are held or are late. Trouble that comes later, such as a rerun that is held, follows
at most once an hour. The confirmation tells a district's contact once, after the first published snapshot,
that setup is complete.

A message is sent and recorded in one transaction, under a lock. So two processes send one message, and a
failed message leaves no record that it was sent, so it is tried again. No message says anything about a
student. Alerts name every affected district, at least by its id, and describe districts with the same state,
kind and next step together.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import psycopg2.errors
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError

from samegoal_pipelines.districts.errors import DistrictError, SecretAwaitedError
from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.errors import SYNC
from samegoal_pipelines.reporting.addresses import Address, AlertError, Message, contact_address
from samegoal_pipelines.reporting.nightly_status import (
    DEADLINE,
    NIGHT_BEGINS,
    Board,
    DistrictNight,
    in_words,
    read_district,
)
from samegoal_pipelines.reporting.report import render
from samegoal_pipelines.tables.warehouse import alerts_sent, districts
from samegoal_pipelines.warehouse.engine import LOCK_ROW, Role, as_writer, take_role, transaction

BETWEEN_LATER_MESSAGES = timedelta(hours=1)
NAMES_IN_A_GROUP = 20


class Sent(NamedTuple):
    """The subject of a message that was sent, and what went wrong if only a part arrived."""

    subject: str
    problem: str | None


class Alert(NamedTuple):
    """What a recipient should have received by now: a board's trouble, or one message about a whole night."""

    about: Board | Message
    night: date
    deadline: datetime
    topic: str = ""


def alerts_due(
    boards: Sequence[Board], missing_reports: Iterable[tuple[date, Message]], *, all_well: bool
) -> list[Alert]:
    """Everything that a recipient should have received by now.

    That is about the `boards` of `read_judged` that have an active district, about nights without a report,
    and, with `all_well`, about a night without trouble.
    """
    once = [(message, night, "report") for night, message in missing_reports]
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
        sent = Sent(message.subject, recipient.send(message)) if message else None
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
    news = {line: one for one in board.trouble if (line := _line(one)) not in known}
    if parts:  # a district that is late only now was paused at the deadline; its pause was replaced since
        news = {line: one for line, one in news.items() if one.state != "late"}
        if not news or now - parts[-1].sent_at < BETWEEN_LATER_MESSAGES:
            return None
    message = alert_message(board, [*news.values()], later=bool(known)) if news else None
    return message, sorted(news)


def _line(one: DistrictNight) -> str:
    """What makes a district's trouble news: its state, and the kind of failure."""
    kind = f" ({one.kind})" if one.kind else ""
    return f"{one.district_id} {one.state}{kind}"


def locked(connection: sa.Connection, channel: str) -> bool:
    """Lock a channel while a message is sent, by a row that only writers can lock. False: it is locked.

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
        render("alert.md.j2", board=board, groups=groups.values(), names=NAMES_IN_A_GROUP),
    )


# -- the confirmation --


def confirm_setup(
    engine: sa.Engine,
    district: District,
    mail_urls: Sequence[SecretStr | None],
    now: datetime,
    *,
    again: bool = False,
) -> str | None:
    """Tell the district's contact that setup is complete, unless that was done and is not to be done `again`.

    Return why it was not sent, which is also recorded for the report. None: the contact knows.

    Raises:
        DistrictError: there is no secret, no contact, or nothing is published yet.
    """
    if district.awaits_secret:
        raise SecretAwaitedError(district_id=district.id)
    if not district.contact:
        next_step = "samegoal-pipelines districts set ID --contact E-MAIL"
        raise DistrictError("no contact is registered", district_id=district.id, next_step=next_step)
    state = read_district(engine, now, district.id)
    if state.current is None:
        detail = "nothing is published yet, so setup is not complete"
        raise DistrictError(detail, district_id=district.id, next_step=SYNC)
    here = districts.c.district_id == district.id
    with as_writer(engine, district.id, "telling the contact") as connection:
        if not locked(connection, f"contact of {district.id}"):
            return None  # another run is sending it
        if connection.scalar(sa.select(districts.c.confirmed_at).where(here)) and not again:
            return None
        problem, sent = None, {"confirmed_at": now}
        try:
            contact_address(district.contact, mail_urls).send(_confirmation(state))
        except AlertError as error:
            problem, sent = error.reason, {}
        connection.execute(sa.update(districts).where(here).values(confirmation_problem=problem, **sent))
    return problem


def _confirmation(state: DistrictNight) -> Message:
    """The next night is when the schedule reads the district again."""
    night = state.night
    if state.last_published is not None and state.last_published >= night:
        night += timedelta(days=1)
    if state.pause is not None and state.pause.covers(night):
        night = state.pause.paused_to + timedelta(days=1)
    next_night = f"{night}, after {NIGHT_BEGINS:%H:%M} ({state.timezone})"
    text = render(
        "confirmation.md.j2",
        one=state,
        expires=state.expiry_text,
        next_night=next_night if state.active else "none, because the district is disabled",
    )
    return Message(f"SameGoal: setup of {state.name} is complete", text, "success")
