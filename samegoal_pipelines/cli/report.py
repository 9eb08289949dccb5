"""`report` and `alerts test`: the outcome of a night in every district, and where alerts go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.commands import DONE, FAILED, HELD, Day, command
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table
from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.printable import NOTHING

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.reporting.forecast import Ahead
    from samegoal_pipelines.reporting.nightly_status import Board

HOLDS_SHOWN = 20
"""The most districts that `report` names as being held soon. The page and JSON have all of them."""


@command(json=True)
@click.option("--night", type=Day(), help="Date by the districts' calendars. Default: the newest.")
@click.option(
    "--html",
    "file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write the HTML page, with plots, to this file.",
)
@click.option("--forecast/--no-forecast", default=True, help="Also look at the next two weeks.")
def report(
    deployment: Deployment, night: date | None, as_json: bool, file: Path | None, forecast: bool
) -> int:
    """Show what was published, held, failed or is late, why, and what to do.

    The newest night is each district's last that has begun, or the night before if that one needs attention
    and the newest one is not due yet. The forecast names the districts that will be held in the next two
    weeks if nobody edits anything.

    Exit status 0: all is well. 1: a district failed or is late. 3: a district is held, and none failed.

    A district is late at 06:00 local time. If Dagster is down, it sends no alerts, so also run this command
    from cron on another machine, after 06:00 in the last time zone. Any nonzero exit status needs a person,
    even if the report itself failed:

    \b
        samegoal-pipelines report > night.txt 2>&1 || mail -s SameGoal me@example.com < night.txt
    """  # noqa: D301  # click wants the backspace itself
    from samegoal_pipelines.reporting.forecast import look_ahead
    from samegoal_pipelines.reporting.report import make_report

    trends = as_json or file is not None
    made = make_report(deployment.warehouse, datetime.now(UTC), night, trends=trends)
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
        try:
            file.write_text(made.html(deployment.settings.ui_url), encoding="utf-8")
        except OSError as error:
            raise PipelineError(
                f"{file}: {error.strerror}", step="writing the page", next_step="give --html another file"
            ) from None
        click.echo(f"the page was written to {file}", err=True)
    totals = made.board.totals
    if totals["failed"] or totals["late"]:
        return FAILED
    return HELD if totals["held"] else DONE


def _print_trouble(board: Board) -> None:
    """The summary, every district in trouble, and every access that expires."""
    click.echo(f"{board.title}: {board.summary}")
    if board.districts:
        click.echo(", ".join(f"{state} {count:,}" for state, count in board.totals.items() if count))
    for one in board.trouble:
        click.echo()
        print_sentences(f"{one.state}: {one.name} ({one.district_id}), {one.since}")
        print_sentences(one.reason or "", f"to do: {one.next_step}", indent=4)
    if board.expiring:
        click.echo()
    for one in board.expiring:
        print_sentences(f"Integration Access of {one.name} ({one.district_id}) {one.expiry}")


def _print_rest(board: Board) -> None:
    rows = []
    for one in board.rest:
        counts = {name.replace("_", " "): NOTHING if n is None else n for name, n in one.counts.items()}
        first = {"district": one.id, "name": one.name, "state": one.state}
        rows.append({**first, **counts, "": one.remarks})
    print_table(rows, gap=True)


def _print_ahead(ahead: Ahead) -> None:
    """Which districts will be held because time passes."""
    click.echo()
    days, about = f"the next {ahead.days} days, if nobody edits anything", ahead.looked_at
    if not ahead.districts:
        print_sentences(f"{days}: not known. {about}")
        return
    held = f"{len(ahead.holds):,}" if ahead.holds else "no district"
    print_sentences(f"{days}: {held} will be held because time passes. {about}")
    for one in ahead.holds[:HOLDS_SHOWN]:
        print_sentences(f"from {one.night} on: {one.name} ({one.district_id})")
        print_sentences(one.reason, f"to do: {one.next_step}", indent=4)
    if len(ahead.holds) > HOLDS_SHOWN:
        print_sentences(f"and {len(ahead.holds) - HOLDS_SHOWN:,} more, in --html and --json")


@command("test")
def send_test(deployment: Deployment) -> int:
    """Send a test message to every alert address.

    The addresses are those of SAMEGOAL_ALERT_URLS. Exit status 1: at least one did not accept the message.
    """
    from samegoal_pipelines.reporting.addresses import AlertError, Message, alert_addresses

    addresses = alert_addresses(deployment.settings.alert_urls)
    if addresses[0].url is None:
        raise PipelineError("SAMEGOAL_ALERT_URLS is not set: alerts are lines in the daemon's log")
    message = Message("SameGoal: test alert", "This is a test. Nothing is wrong.", kind="success")
    status = DONE
    for address in addresses:
        try:
            problem = address.send(message)
        except AlertError as error:
            problem = f"not sent: {error}"
        click.echo(problem or f"{address.name}: sent")
        status = FAILED if problem else status
    return status


alerts = click.Group("alerts", [send_test], help="Check where alerts go.")
