"""The entry point of `samegoal-pipelines`: the list of commands, signals, and how a command ends.

The commands themselves are in the other modules of this package.
"""

import io
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from samegoal_pipelines.cli import access, database, demo, districts, report, students, sync
from samegoal_pipelines.cli.commands import DONE, FAILED, WRONG_USAGE, plain
from samegoal_pipelines.printable import on_one_line


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
    except click.Abort:
        click.echo("stopped", err=True)
        status = FAILED
    except click.UsageError as error:
        error.show()
        status = WRONG_USAGE
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

    def __init__(self, sections: Mapping[str, Sequence[click.Command]], **options: Any) -> None:
        super().__init__(commands=[one for commands in sections.values() for one in commands], **options)
        self.sections = sections

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections into the help."""
        for heading, commands in self.sections.items():
            with formatter.section(heading):  # 500 characters: no first sentence is cut
                formatter.write_dl([(one.name or "", one.get_short_help_str(500)) for one in commands])


DISTRICTS = Sections(
    name="districts",
    help="Register and manage districts.",
    sections={
        "Commands": [
            districts.add_district,
            access.verify,
            sync.preview,
            districts.list_districts,
            districts.show_district,
            districts.set_district,
            access.set_secret,
            access.rotate_secret,
            access.credentials,
            districts.confirm_setup,
            districts.disable_district,
            districts.enable_district,
            districts.erase_district,
            access.rotate_key,
        ]
    },
)
SECTIONS = {
    "Try it out": [demo.demo, demo.dev, demo.sandbox, demo.init_instance],
    "Districts": [DISTRICTS, districts.pause_district, districts.resume_district, districts.erase_student],
    "Nights": [sync.sync, sync.replay],
    "The morning after": [
        *(report.report, students.worklist, students.changes, students.explain, students.forecast),
        students.export,
    ],
    "Alerts": [report.alerts],
    "Database": [database.database_url, database.postgres, database.contract],
}


@click.group(
    cls=Sections,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True},
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
    context.obj.debug = debug


if __name__ == "__main__":
    main()
