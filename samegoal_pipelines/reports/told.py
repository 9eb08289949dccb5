"""What people were told of already: the ledger that keeps an alarm from going out twice.

A message is written down in the transaction in which it is sent, under a lock of its channel: a second daemon
finds the lock taken or the row there, and a message that could not be sent leaves no row. Only a machine that
dies between the sending and the commit sends it again, which is better than never.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import psycopg2.errors
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from samegoal_pipelines.warehouse.engine import take_role, transaction
from samegoal_pipelines.warehouse.roles import Role
from samegoal_pipelines.warehouse.tables import alarms_sent
from samegoal_pipelines.warehouse.writing import LOCK_ROW

Telling = tuple[str, str]
"""A district and its state; of a failure also its kind."""
_END_WITH_A_SENDER_THAT_HANGS = sa.text(  # after three times a channel's deadline
    "select set_config('idle_in_transaction_session_timeout', '60s', true)"
)


@dataclass(frozen=True)
class Ledger:
    """What went through one channel about one night and deadline."""

    parts: int
    told: frozenset[Telling]
    last_at: datetime | None
    _connection: sa.Connection
    _row: dict[str, object]

    def record(self, now: datetime, told: Iterable[Telling]) -> None:
        """Write down that these were told now; none at all: that the deadline was looked at."""
        lines = sorted(f"{district_id} {state}" for district_id, state in told)
        self._connection.execute(
            sa.insert(alarms_sent).values(
                **self._row, part=self.parts + 1, sent_at=now, districts=len(lines), digest="\n".join(lines)
            )
        )


@contextmanager
def telling(engine: sa.Engine, night: date, deadline: datetime, channel: str) -> Iterator[Ledger | None]:
    """The ledger of one channel while a message is sent; None: somebody else is sending one right now."""
    row: dict[str, object] = {"night": night, "deadline": deadline, "channel": channel}
    with transaction(engine, "looking up the alarms that were sent") as connection:
        take_role(connection, Role.WRITER)
        connection.execute(_END_WITH_A_SENDER_THAT_HANGS)
        if not _locked(connection, channel):
            yield None
            return
        here = [alarms_sent.c[column] == value for column, value in row.items()]
        parts = connection.execute(sa.select(alarms_sent).where(*here).order_by(alarms_sent.c.part)).all()
        told = frozenset(_read(line) for part in parts for line in part.digest.splitlines())
        yield Ledger(len(parts), told, parts[-1].sent_at if parts else None, connection, row)


def _locked(connection: sa.Connection, channel: str) -> bool:
    """Whether nobody else is sending through this channel; by a row that none but writers can lock."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("set local lock_timeout = '100ms'")
            connection.exec_driver_sql(LOCK_ROW, (f"alarm {channel}",))
    except OperationalError as error:
        if not isinstance(error.orig, psycopg2.errors.LockNotAvailable):
            raise
        return False
    connection.exec_driver_sql("set local lock_timeout to default")
    return True


def _read(line: str) -> Telling:
    district_id, _, state = line.partition(" ")
    return district_id, state
