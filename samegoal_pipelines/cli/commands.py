"""What commands share: how they are declared, the types of their options, and how they end."""

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import click

from samegoal_pipelines.tables.vocabulary import FIRST_NIGHT, LAST_NIGHT

DONE, FAILED, WRONG_USAGE, HELD = 0, 1, 2, 3
DISTRICT = click.Argument(["district_id"], metavar="ID")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON, for scripts.")


def command(
    name: str | None = None, *, district: bool = False, json: bool = False
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command, whose function gets the deployment first.

    Args:
        name: default: the function's.
        district: its first argument is a district's id.
        json: its last option is `--json`, the parameter `as_json`.
    """

    def declare(function: Callable[..., Any]) -> click.Command:
        made = click.command(name, params=[DISTRICT] * district)(click.pass_obj(function))
        made.params += [JSON] * json
        return made

    return declare


district_command = partial(command, district=True)


class Day(click.ParamType):  # type: ignore[type-arg]  # only newer versions of click have one
    """A date, written as 2026-10-12. A typo such as the year 0206 is wrong usage."""

    name = "YYYY-MM-DD"
    form = "write it as 2026-10-12"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the date, or end the command with a usage error."""
        try:
            day = date(*time.strptime(value, "%Y-%m-%d")[:3])
        except ValueError:
            self.fail(f"{value!r} is no date; {self.form}", param, ctx)
        if not FIRST_NIGHT <= day <= LAST_NIGHT:
            self.fail(f"{value} is out of range; use a date from {FIRST_NIGHT} to {LAST_NIGHT}", param, ctx)
        return day


class Expiration(Day):
    """When the Integration Access expires: a date, never or unknown."""

    form = "write it as 2027-08-01, or never or unknown"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """The placeholder in the help."""
        return "DATE|never|unknown"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A date or one of the two words."""
        word = value.strip().lower()
        return word if word in ("never", "unknown") else super().convert(value, param, ctx)


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
    return f"unforeseen {kind.__name__}; run the command again with --debug for the traceback"


def _of_setting(fault: dict[str, Any]) -> str:
    """Name the variable, and the reason if it is our own text. Pydantic's text may quote the value."""
    why = fault["ctx"]["error"] if fault["type"] == "value_error" else None
    if not fault["loc"]:
        return str(why)
    name = f"SAMEGOAL_{fault['loc'][0]}".upper()
    return f"{name} has a value that cannot be used" + (f": {why}" if why else "")


def _refused_output(error: OSError) -> str | None:
    """If the error comes from writing to standard output, return its message and stop writing there."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames or frames[-1].f_globals["__name__"] not in ("click.utils", "rich.console"):
        return None
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python tries again at exit
    return f"cannot write to standard output: {error.strerror}"
