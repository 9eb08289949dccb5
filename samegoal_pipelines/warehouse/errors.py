"""What can go wrong with the warehouse, by meaning.

Postgres quotes row values in its messages ("Key (student_number)=(…)"); none of them may pass.
`from_database` is the one place that turns a driver's error into ours: SQLSTATE, step, remedy, not its text.
"""

from __future__ import annotations

import psycopg2


class WarehouseError(Exception):
    """The warehouse refused or failed; the message is one line without any row's value."""

    transient = False


class WarehouseUnavailable(WarehouseError):
    """The database could not be reached, is full, or gave up waiting: the same call may work later."""

    transient = True


class PostgresNotStarted(WarehouseError):
    """The embedded Postgres could not be set up or started."""


class OlderSnapshot(WarehouseError):
    """A night older than the last published one was to be published."""


class SupersededRun(WarehouseError):
    """A run came late: one that began after it has published the same night."""


class DistrictErased(WarehouseError):
    """A run came late: its district was erased after it had begun."""


class NothingHeld(WarehouseError):
    """A held snapshot was to be released, and there is none."""


class ReleaseTooLate(WarehouseError):
    """A held snapshot was to be released, and the district has moved on since it was held."""


class NothingToReplay(WarehouseError):
    """Nights were to be replayed, and none of them is published."""


class SnapshotInProgress(WarehouseError):
    """Another run is publishing this district right now."""

    transient = True


class UnfitSnapshot(WarehouseError):
    """The frames handed to `publish` do not fit the tables: a column, a type, or a key that comes twice."""


# SQLSTATE class (its first two characters) → (what happened, what to do, whether waiting may help)
_MEANINGS: dict[str, tuple[str, str, bool]] = {
    "08": ("the connection to Postgres was lost", "check that the server is up, then run again", True),
    "22": ("a value did not fit its column", "the snapshot's checks let it pass; report this", False),
    "23": ("a row broke a constraint", "the snapshot's checks let it pass; report this", False),
    "25": ("the transaction was not in the expected state", "run again", True),
    "28": ("Postgres refused the login", "check the user in SAMEGOAL_DATABASE_URL", False),
    "3D": ("the database does not exist", "create it, or correct SAMEGOAL_DATABASE_URL", False),
    "40": ("Postgres rolled the transaction back", "run again", True),
    "42": (
        "tables and program do not match, or a right is missing",
        "run the migrations, check the role",
        False,
    ),
    "53": ("Postgres ran out of disk, memory or connections", "free some, then run again", True),
    "54": ("a Postgres limit was exceeded", "report this", False),
    "55": ("Postgres gave up waiting for a lock", "run again when the other run is done", True),
    "57": ("Postgres cancelled the work or is shutting down", "run again when it is up", True),
    "58": ("Postgres met a system error", "see the server's log", True),
}


def from_database(error: BaseException, step: str) -> WarehouseError:
    """Say what a psycopg2 or SQLAlchemy error means, without its text; raise the result ``from None``."""
    driver = getattr(error, "orig", None) or error
    state = getattr(driver, "pgcode", None)
    if state is None:
        if not isinstance(driver, psycopg2.OperationalError | psycopg2.InterfaceError):
            return WarehouseError(
                f"{step}: the database driver refused ({type(driver).__name__}); report this"
            )
        return WarehouseUnavailable(
            f"{step}: no connection to Postgres; check that the server is up and reachable, then run again"
        )
    what, remedy, transient = _MEANINGS.get(state[:2], ("Postgres refused", "see the server's log", False))
    kind = WarehouseUnavailable if transient else WarehouseError
    return kind(f"{step}: {what} (SQLSTATE {state}); {remedy}")
