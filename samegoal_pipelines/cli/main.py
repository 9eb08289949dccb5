"""The entry point of `samegoal-pipelines`: the list of commands, signals, and how a command ends.

The commands themselves are in the other modules of this package.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Sequence

import click

from samegoal_pipelines.cli import (
    changes,
    credentials,
    database,
    demo,
    districts,
    report,
    students,
    sync,
    verify,
)
from samegoal_pipelines.cli.exits import DONE, FAILED, WRONG_USAGE, PlainError, plain
from samegoal_pipelines.printable import on_one_line

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True}


def main() -> None:
    """Entry point. Exit status: 0 done, 1 failed, 2 wrong usage, 3 held."""
    debug = "--debug" in sys.argv  # at any position: error messages tell people to add it
    words = [word for word in sys.argv[1:] if word != "--debug"]
    if not debug:
        logging.basicConfig(level=logging.CRITICAL)  # Dagster's retries log a driver's text
    # Exit normally, so that everything started for this command is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # otherwise, as under nohup, leave it alone
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # escape what the terminal's encoding cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(["--debug", *words] if debug else words, standalone_mode=False)
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        status = FAILED
    except click.UsageError as error:
        error.show()
        status = WRONG_USAGE
    except PlainError as error:
        click.echo(f"error: {on_one_line(error.message)}", err=True)
        status = error.exit_code
    except Exception as error:
        if debug:
            raise
        click.echo(f"error: {on_one_line(plain(error))}", err=True)
        status = FAILED
    sys.exit(status or DONE)


def _replace_closed_streams() -> None:
    """Replace closed standard streams with /dev/null.

    Otherwise the next file that is opened gets the stream's number, and receives what a library writes there.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
            os.set_inheritable(nowhere, nowhere == number)
            setattr(sys, name, os.fdopen(nowhere, mode))


class Sections(click.Group):
    """A group whose help lists the commands under headings, in this order, each with its first sentence."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.sections: dict[str, Sequence[click.Command]] = {}

    def add_section(self, heading: str, *commands: click.Command) -> None:
        """Add commands under a heading."""
        self.sections[heading] = commands
        for command in commands:
            self.add_command(command)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections into the help."""
        for heading, commands in self.sections.items():
            with formatter.section(heading):  # 500 characters: no first sentence is cut
                formatter.write_dl([(one.name or "", one.get_short_help_str(500)) for one in commands])


@click.group(
    cls=Sections,
    context_settings=CONTEXT_SETTINGS,
    epilog="ID is the id of a registered district. Exit status: 0 done, 1 failed, 2 wrong usage, 3 held. "
    "Run any command with --help for details.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks and Dagster's log.")
@click.version_option(None, "--version", package_name="samegoal-pipelines", message="%(version)s")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Nightly student status and demographics snapshots for SameGoal, from Skyward Qmlativ."""
    from samegoal_pipelines.deployment import Deployment

    context.obj = Deployment()
    context.meta["debug"] = debug


@click.group("districts", cls=Sections)
def districts_group() -> None:
    """Register and manage districts."""


cli.add_section("Try it out", demo.demo, demo.dev, demo.sandbox, demo.init_instance)
cli.add_section(
    "Districts",
    districts_group,
    districts.pause_district,
    districts.resume_district,
    students.erase_student,
)
cli.add_section("Nights", sync.sync, sync.replay)
cli.add_section(
    "The morning after",
    report.report,
    students.worklist,
    changes.changes,
    students.explain,
    changes.forecast,
    students.export,
)
cli.add_section("Alerts", report.alerts)
cli.add_section("Database", database.database_url, database.postgres, database.contract)

districts_group.add_section(
    "Commands",
    districts.add_district,
    verify.verify,
    sync.preview,
    districts.list_districts,
    districts.show_district,
    districts.set_district,
    credentials.set_secret,
    credentials.rotate_secret,
    credentials.credentials,
    districts.confirm_setup,
    districts.disable_district,
    districts.enable_district,
    districts.erase_district,
    credentials.rotate_key,
)


if __name__ == "__main__":
    main()
