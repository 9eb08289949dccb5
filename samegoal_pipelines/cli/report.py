"""`report`: the outcome of a night in every district."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.dates import Night
from samegoal_pipelines.cli.exits import DONE, FAILED, HELD, PlainError
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table
from samegoal_pipelines.printable import NOTHING

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.reporting.forecast import Ahead
    from samegoal_pipelines.reporting.nightly_status import Board

HOLDS_SHOWN = 20
"""How many districts the terminal names that will be held. The page and JSON have all of them."""


@click.command()
@click.option(
    "--night",
    type=Night(),
    help="Date by the districts' calendars. Default: each district's newest night that has begun, or the "
    "night before if that one needs attention and the newest one is not due yet.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.option(
    "--html",
    "file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write the HTML page, with plots, to this file.",
)
@click.option(
    "--forecast/--no-forecast",
    "forecast",
    default=True,
    show_default=True,
    help="Also show which districts will be held in the next two weeks if nobody edits anything.",
)
@click.pass_obj
def report(
    deployment: Deployment, night: datetime | None, as_json: bool, file: Path | None, forecast: bool
) -> int:
    """Show what was published, held, failed or is late, why, and what to do.

    Exit status 0: all is well. 1: a district failed or is late. 3: a district is held, and none failed.

    A district is late at 06:00 local time. If Dagster is down, it sends no alerts, so also run this command
    from cron on another machine, after 06:00 in the last time zone. Any nonzero exit status needs a person,
    even if the report itself failed:

    \b
        samegoal-pipelines report > night.txt 2>&1 || mail -s SameGoal me@example.com < night.txt
    """  # noqa: D301  # click wants the backspace itself
    from datetime import UTC

    from samegoal_pipelines.reporting.forecast import look_ahead
    from samegoal_pipelines.reporting.report import make_report

    made = make_report(deployment.warehouse, datetime.now(UTC), night.date() if night else None)
    if not as_json:
        _print_trouble(made.board)  # first, because the forecast takes a while with many districts
    if forecast:
        made = replace(made, ahead=look_ahead(deployment.warehouse, deployment.landing, made.board))
    if as_json:
        print_json(made.facts())
    else:
        if made.ahead is not None:
            _print_ahead(made.ahead)
        _print_rest(made.board)
    if file:
        from samegoal_pipelines.reporting.page import html

        try:
            file.write_text(html(made), encoding="utf-8")
        except OSError as error:
            why = f"writing the page: {file}: {error.strerror}"
            raise PlainError(f"{why}; give --html another file") from None
        click.echo(f"the page was written to {file}", err=True)
    return exit_status(made.board)


def exit_status(board: Board) -> int:
    """Failed and late outrank held."""
    totals = board.totals
    if totals["failed"] or totals["late"]:
        return FAILED
    return HELD if totals["held"] else DONE


def _print_trouble(board: Board) -> None:
    from samegoal_pipelines.reporting import formatting

    click.echo(f"{formatting.title(board.night)}: {formatting.summary(board)}")
    if board.districts:
        click.echo(", ".join(f"{state} {count:,}" for state, count in board.totals.items() if count))
    for one in board.trouble:
        click.echo()
        print_sentences([f"{one.state}: {one.name} ({one.district_id}), {formatting.since(one)}"])
        print_sentences([one.reason or "", f"to do: {one.next_step}"], indent=4)
    if board.expiring:
        click.echo()
        print_sentences(
            f"Integration Access of {one.name} ({one.district_id}) {formatting.expiry(one)}"
            for one in board.expiring
        )


def _print_rest(board: Board) -> None:
    from samegoal_pipelines.reporting import formatting

    if board.rest:
        click.echo()
        print_table(
            ["district", "name", "state", "students", "enrolled", "added", "changed", "removed", ""],
            [
                [
                    one.district_id,
                    one.name,
                    one.state,
                    *(
                        NOTHING if count is None else count
                        for count in (one.students, one.enrolled, one.added, one.changed, one.removed)
                    ),
                    formatting.remarks(one),
                ]
                for one in board.rest
            ],
        )


def _print_ahead(ahead: Ahead) -> None:
    from samegoal_pipelines.reporting import formatting

    click.echo()
    days = f"the next {ahead.days} days, if nobody edits anything"
    if not ahead.districts:
        print_sentences([f"{days}: not known. {formatting.looked_at(ahead)}"])
        return
    if not ahead.holds:
        print_sentences(
            [f"{days}: no district will be held because time passes. {formatting.looked_at(ahead)}"]
        )
        return
    print_sentences(
        [f"{days}: {len(ahead.holds):,} will be held because time passes. {formatting.looked_at(ahead)}"]
    )
    for one in ahead.holds[:HOLDS_SHOWN]:
        print_sentences([f"from {one.night} on: {one.name} ({one.district_id})"])
        print_sentences([one.reason, f"to do: {one.next_step}"], indent=4)
    if len(ahead.holds) > HOLDS_SHOWN:
        print_sentences([f"and {len(ahead.holds) - HOLDS_SHOWN:,} more, in --html and --json"])
