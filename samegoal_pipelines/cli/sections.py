"""A command group whose help lists the commands in sections, in reading order."""

from __future__ import annotations

from collections.abc import Sequence

import click

_WHOLE = 500  # characters: more than any first sentence, so that none is cut


class Sections(click.Group):
    """A group that lists its commands under headings, each with its first sentence."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.sections: dict[str, list[click.Command]] = {}

    def add_section(self, heading: str, commands: Sequence[click.Command]) -> None:
        """Add commands under a heading, in this order."""
        self.sections.setdefault(heading, []).extend(commands)
        for command in commands:
            self.add_command(command)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """All commands, in the order of the sections."""
        return [command.name or "" for commands in self.sections.values() for command in commands]

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections into the help."""
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(command.name or "", command.get_short_help_str(_WHOLE)) for command in commands]
                )
