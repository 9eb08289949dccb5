"""Option types for dates."""

from __future__ import annotations

from typing import Any

import click

from samegoal_pipelines.tables.vocabulary import FIRST_NIGHT, LAST_NIGHT


class Day(click.DateTime):
    """A date, written as 2026-10-12. A typo such as the year 0206 is wrong usage."""

    form = "write it as 2026-10-12"

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """The placeholder in the help."""
        return "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the date, or end the command with a usage error."""
        try:
            day = super().convert(value, param, ctx).date()
        except click.BadParameter:
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
