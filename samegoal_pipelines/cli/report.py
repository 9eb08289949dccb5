"""`report`: the outcome of a night in every district."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.dates import Night
from samegoal_pipelines.cli.exits import DONE, FAILED, HELD, PlainError
from samegoal_pipelines.cli.terminal import print_json

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.reporting.nightly_status import Board


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

    from samegoal_pipelines.cli import nights
    from samegoal_pipelines.reporting.forecast import look_ahead
    from samegoal_pipelines.reporting.report import make_report

    wanted, trends = night.date() if night else None, as_json or file is not None
    made = make_report(deployment.warehouse, datetime.now(UTC), wanted, trends=trends)
    if not as_json:
        nights.print_trouble(made.board)  # first, because the forecast takes a while with many districts
    if forecast:
        made = replace(made, ahead=look_ahead(deployment.warehouse, deployment.landing, made.board))
    if as_json:
        print_json(made.facts())
    else:
        if made.ahead is not None:
            nights.print_ahead(made.ahead)
        nights.print_rest(made.board)
    if file:
        from samegoal_pipelines.reporting.page import html

        try:
            file.write_text(html(made, deployment.settings.ui_url), encoding="utf-8")
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
