"""Errors of Postgres, by meaning.

Postgres quotes row values in its messages ("Key (student_number)=(…)"). Only `from_database` converts a
driver's error into ours: it drops the text and keeps the SQLSTATE.
"""

import re

import psycopg2

from samegoal_pipelines.errors import REPORT, Kind, PipelineError


class WarehouseError(PipelineError):
    """The warehouse refused or failed."""

    kind = Kind.DATABASE


class WarehouseUnavailableError(WarehouseError):
    """The database could not be reached, is short of memory, or gave up waiting: try again later."""

    transient = True


class PostgresNotStartedError(WarehouseError):
    """The embedded Postgres could not be set up or started."""

    kind = Kind.DATABASE_SETTING


POOLER_REFUSES = "a connection pooler (PgBouncer) does not pass the startup parameter options on"
POOLER_NEXT_STEP = "name Postgres itself in SAMEGOAL_DATABASE_URL, not the pooler; see docs/production.md"

# What happened, and what to do
_LOGIN = "Postgres refused the login", "check the user and password in SAMEGOAL_DATABASE_URL"
_NO_DATABASE = (
    "the database does not exist",
    "create it with: createdb --encoding=UTF8 --template=template0 NAME, or correct SAMEGOAL_DATABASE_URL",
)
_NO_CONNECTION = (
    "Postgres has no connection left",
    "raise max_connections on the server, or let fewer runs work at once, then run again",
)
_READ_ONLY = (
    "the server is read-only, as a standby is after a failover",
    "let SAMEGOAL_DATABASE_URL name the primary, or every server with target_session_attrs=read-write",
)

# SQLSTATE, or its class (the first two characters) → (what happened, what to do, whether waiting may help)
_MEANINGS: dict[str, tuple[str, str, bool]] = {
    "08": ("the connection to Postgres was lost", "check that the server is up, then run again", True),
    "22": ("a value did not fit its column", REPORT, False),
    "23": ("a row broke a constraint", REPORT, False),
    "25": ("the transaction was not in the expected state", "run again", True),
    "25006": (*_READ_ONLY, False),
    "28": (*_LOGIN, False),
    "3D": (*_NO_DATABASE, False),
    "40": ("Postgres rolled the transaction back", "run again", True),
    "42": ("tables and program differ, or a right is missing", "run the migrations, check the role", False),
    "53": ("Postgres ran out of a resource", "see the server's log, then run again", True),
    "53100": ("the disk of the Postgres server is full", "free space on it", False),
    "53200": ("Postgres ran out of memory", "run again when the server has less to do", True),
    "53300": (*_NO_CONNECTION, False),
    "53400": ("a limit in Postgres's configuration was exceeded", "see the server's log, raise it", False),
    "54": ("a Postgres limit was exceeded", REPORT, False),
    "55": ("Postgres gave up waiting for a lock", "run again when the other run is done", True),
    "57": ("Postgres cancelled the work or is shutting down", "run again when it is up", True),
    "58": ("Postgres met a system error", "see the server's log", True),
}

# psycopg2 gives no SQLSTATE for a failed connection, so only libpq's text says why. With several hosts it has
# a line for each, so causes that a person must correct come before "no answer".
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    ("unsupported startup parameter", POOLER_REFUSES, POOLER_NEXT_STEP),
    ("authentication failed|no password supplied", *_LOGIN),
    (r'database ".*" does not exist', *_NO_DATABASE),
    (
        r'role ".*" does not exist|role ".*" is not permitted to log in',
        "Postgres does not let this user log in",
        "create the user, or correct SAMEGOAL_DATABASE_URL",
    ),
    (
        "permission denied for database",
        "the user may not connect to this database",
        "grant it, or correct SAMEGOAL_DATABASE_URL",
    ),
    (
        "no pg_hba.conf entry|rejects connection",
        "no line in pg_hba.conf of Postgres allows this user, database or machine",
        "add one, and check sslmode in SAMEGOAL_DATABASE_URL",
    ),
    ("too many (clients|connections)|slots are reserved|connection limit exceeded", *_NO_CONNECTION),
    (
        "certificate|does not support SSL|SSL was required|sslmode|SSL error: (wrong version|tlsv1)"
        "|channel binding|private key file|server does not support GSSAPI",
        "Postgres and this machine do not agree on encryption",
        "check sslmode and sslrootcert in SAMEGOAL_DATABASE_URL, and the server's certificate",
    ),
    (
        "could not translate host name(?!.*temporary failure)|name or service not known",
        "the host name in SAMEGOAL_DATABASE_URL does not exist",
        "correct it, or check this machine's DNS",
    ),
    ("session is read-only|in hot standby mode|could not find a suitable target server", *_READ_ONLY),
    # The server's words follow its severity and two spaces; libpq's own words do not. A server with
    # another lc_messages translates both.
    (
        r"(?:FATAL|failed: [^\n:]+):  (?!the database system is|terminating connection)",
        "Postgres refused the connection, for a reason that is not in English",
        "see the server's log; with lc_messages=C on the server, this message says what to correct",
    ),
)


def from_database(error: BaseException, step: str) -> WarehouseError:
    """Convert a psycopg2 or SQLAlchemy error, without its text. Raise the result ``from None``."""
    driver = getattr(error, "orig", None) or error
    state = getattr(driver, "pgcode", None)
    if state is None:
        for words, what, next_step in _REFUSALS:
            if re.search(words, str(driver), re.IGNORECASE):
                return WarehouseError(what, step=step, kind=Kind.DATABASE_SETTING, next_step=next_step)
        if not isinstance(driver, psycopg2.OperationalError | psycopg2.InterfaceError):
            what = f"the database driver refused ({type(driver).__name__})"
            return WarehouseError(what, step=step, kind=Kind.DEFECT, next_step=REPORT)
        to_do = "check that the server is up and reachable, then run again"
        return WarehouseUnavailableError("no connection to Postgres", step=step, next_step=to_do)
    what, next_step, transient = _MEANINGS.get(state) or _MEANINGS.get(
        state[:2], ("Postgres refused", "see the server's log", False)
    )
    meant = WarehouseUnavailableError if transient else WarehouseError
    kind = Kind.DEFECT if next_step == REPORT else Kind.DATABASE
    return meant(f"{what} (SQLSTATE {state})", step=step, kind=kind, next_step=next_step)
