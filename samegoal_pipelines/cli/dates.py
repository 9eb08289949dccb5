"""Option types for dates."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from samegoal_pipelines.tables.vocabulary import FIRST_NIGHT, LAST_NIGHT


class Day(click.DateTime):
    """A date, written as 2026-10-12."""

    form = "write it as 2026-10-12"

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """The placeholder in the help."""
        return "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the date, or end the command with a usage error."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no date; {self.form}", param, ctx)


class Night(Day):
    """A date that can be a night. A typo such as the year 0206 is wrong usage."""

    what = "a night"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the date, or end the command with a usage error."""
        found = super().convert(value, param, ctx)
        if found is not None and not FIRST_NIGHT <= found.date() <= LAST_NIGHT:
            self.fail(
                f"{value} cannot be {self.what}; use a date from {FIRST_NIGHT} to {LAST_NIGHT}", param, ctx
            )
        return found


class Expiration(Night):
    """When the Integration Access expires: a date, never or unknown."""

    what = "an expiration"
    form = "write it as 2027-08-01, or never or unknown"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """The placeholder in the help."""
        return "DATE|never|unknown"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A date or one of the two words."""
        if isinstance(value, str) and value.strip().lower() in ("never", "unknown"):
            return value.strip().lower()
        found = super().convert(value, param, ctx)
        return found.date() if isinstance(found, datetime) else found
