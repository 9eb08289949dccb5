"""`report`: what became of a night in every district."""

from __future__ import annotations

import shutil
import sys
import textwrap
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.commands.exits import DONE, FAILED, HELD
from samegoal_pipelines.terminal import print_json, print_table

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.reports.board import Board


@click.command()
@click.option(
    "--night",
    type=click.DateTime(["%Y-%m-%d"]),
    help="By the districts' calendar; default: the newest night that has begun anywhere.",
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.option(
    "--html",
    "file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the page with plots and the next two weeks to this file as well.",
)
@click.pass_obj
def report(deployment: Deployment, night: datetime | None, as_json: bool, file: Path | None) -> int:
    """Show what was published, held, failed or is late, why, and what to do.

    Exit status 0: all is well. 1: a district failed or is late. 3: a district is held, and none failed.

    A district is late from 06:00 of its own time on. Started by a cron after the last district's 06:00, on a
    machine of its own, this is a dead man's switch: it raises its voice also when Dagster itself is down. Any
    exit status but 0 means that somebody must look, also where the report itself could not be made:

    \b
        samegoal-pipelines report > night.txt 2>&1 || mail -s SameGoal me@example.com < night.txt
    """  # noqa: D301  # click wants the backspace itself
    from datetime import UTC

    from samegoal_pipelines.reports.report import make_report

    made = make_report(
        deployment.warehouse,
        datetime.now(UTC),
        night.date() if night else None,
        landing=deployment.landing if file else None,
    )
    if as_json:
        print_json(made.facts())
    else:
        _print_board(made.board)
    if file:
        from samegoal_pipelines.reports.page import html

        file.write_text(html(made), encoding="utf-8")
        click.echo(f"the page was written to {file}", err=True)
    return exit_status(made.board)


def exit_status(board: Board) -> int:
    """One that failed or is late counts more than one that waits for a person."""
    totals = board.totals
    if totals["failed"] or totals["late"]:
        return FAILED
    return HELD if totals["held"] else DONE


def _print_board(board: Board) -> None:
    from samegoal_pipelines.reports import words

    click.echo(f"{words.title(board.night)}: {words.summary(board)}")
    if board.districts:
        click.echo(", ".join(f"{state} {count:,}" for state, count in board.totals.items() if count))
    for one in board.trouble:
        _echo("")
        _echo(f"{one.state}: {words.on_one_line(one.name)} ({one.district_id}), {words.since(one)}")
        _echo(words.on_one_line(one.reason), indent=4)
        _echo(f"to do: {one.remedy}", indent=4)
    if board.expiring:
        _echo("")
        for one in board.expiring:
            who = f"{words.on_one_line(one.name)} ({one.district_id})"
            _echo(f"Integration Access of {who} {words.expiry(one)}")
    if board.rest:
        _echo("")
        print_table(
            ["district", "state", "students", "enrolled", "added", "changed", "removed", ""],
            [
                [
                    one.district_id,
                    one.state,
                    *(
                        "" if count is None else count
                        for count in (one.students, one.enrolled, one.added, one.changed, one.removed)
                    ),
                    words.on_one_line(one.reason),
                ]
                for one in board.rest
            ],
        )


def _echo(text: str, indent: int = 0) -> None:
    """Wrapped for whoever reads it in a terminal; one line each where it is piped."""
    if sys.stdout.isatty():
        width = max(40, shutil.get_terminal_size().columns)
        margin = " " * indent
        text = textwrap.fill(text, width, initial_indent=margin, subsequent_indent=margin + "  ")
    else:
        text = " " * indent + text
    click.echo(text)
