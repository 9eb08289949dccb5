"""How a command ends: its exit status, and the one line that says why it failed."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import Any

import click

DONE, FAILED, WRONG_USAGE, HELD = 0, 1, 2, 3
NO_OUTPUT = "cannot write to standard output: {}"


class PlainError(click.ClickException):
    """One line on standard error: which district, which step, what to do."""

    exit_code = FAILED


def plain(error: Exception) -> str:
    """The text of our own errors. Other libraries' texts may quote a row's value and are not shown."""
    kind = type(error)
    if isinstance(error, OSError) and (why := _refused_output(error)):
        return why
    if kind.__module__.startswith("samegoal_pipelines."):
        return str(error)
    if kind.__name__ == "ValidationError" and hasattr(error, "errors"):  # pydantic's, from the settings
        settings = "; ".join(_of_setting(fault) for fault in error.errors())
        return f"{settings}; see Settings in docs/production.md"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if kind.__module__.partition(".")[0] in ("dagster_postgres", "sqlalchemy", "psycopg2"):
        from samegoal_pipelines.postgres.errors import from_database

        return str(from_database(error.__cause__ or error, "using Dagster's storage"))
    return f"unforeseen {type(error).__name__}; run the command again with --debug for the traceback"


def _of_setting(fault: dict[str, Any]) -> str:
    """Name the variable, and the reason if it is our own text. Pydantic's text may quote the value."""
    name = f"SAMEGOAL_{fault['loc'][0]}".upper() if fault["loc"] else ""
    why = fault["ctx"]["error"] if fault["type"] == "value_error" else None
    return f"{name} has a value that cannot be used" + (f": {why}" if why else "") if name else str(why)


def _refused_output(error: OSError) -> str | None:
    """If the error comes from writing to standard output, return its message and stop writing there."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames or frames[-1].f_globals["__name__"] not in ("click.utils", "rich.console"):
        return None
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python tries again at exit
    return NO_OUTPUT.format(error.strerror)
