"""Option types for dates."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from samegoal_pipelines.tables.vocabulary import FIRST_NIGHT, LAST_NIGHT


class Day(click.DateTime):
    """A date, written as 2026-10-12."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """The placeholder in the help."""
        return "YYYY-MM-DD"


class Expiration(Day):
    """When the Integration Access expires: a date, never or unknown."""

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """The placeholder in the help."""
        return "DATE|never|unknown"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A date or one of the two words."""
        if value in ("never", "unknown"):
            return value
        found = super().convert(value, param, ctx)
        return found.date() if isinstance(found, datetime) else found


class Night(Day):
    """A date that can be a night. A typo such as the year 0206 is wrong usage."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime | Any:
        """Parse the date, or end the command with a usage error."""
        found = super().convert(value, param, ctx)
        if found is not None and not FIRST_NIGHT <= found.date() <= LAST_NIGHT:
            self.fail(
                f"{value} cannot be a night; use a date from {FIRST_NIGHT} to {LAST_NIGHT}",
                param,
                ctx,
            )
        return found
