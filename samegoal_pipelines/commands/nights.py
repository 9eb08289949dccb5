"""`sync`: run nights now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.commands.exits import DONE, FAILED, plain
from samegoal_pipelines.terminal import print_json, print_table, reading_progress

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment


@click.command()
@click.argument("district_ids", metavar="ID…", nargs=-1, required=True)
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), help="Classify as of this date.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def sync(context: click.Context, district_ids: Sequence[str], today: datetime | None, as_json: bool) -> int:
    """Run the nightly job for these districts now, as Dagster runs."""
    nights = run_nights(
        context.obj, district_ids, today=today.date() if today else None, debug=context.meta["debug"]
    )
    if as_json:
        print_json([night.facts() for night in nights])
    elif any(night.published for night in nights):
        print_nights(nights)
    return FAILED if any(not night.published for night in nights) else DONE


def run_nights(
    deployment: Deployment, district_ids: Sequence[str], *, today: date | None = None, debug: bool = False
) -> list[Any]:
    """Run each district's night with progress on standard error; a district that fails stops no other."""
    from samegoal_pipelines.runs import NightOutcome, run_night

    nights = []
    for district_id in district_ids:
        try:
            with reading_progress(deployment, district_id):
                night = run_night(deployment, district_id, today=today, debug=debug)
        except Exception as error:
            if debug:
                raise
            night = NightOutcome(district_id, None, plain(error))
        nights.append(night)
        click.echo(night.line(), err=True)
        if night.stopped:
            break
    return nights


def print_nights(nights: Sequence[Any]) -> None:
    """A row per district: what became of its night, and how many students have which status."""
    columns = ["district", "snapshot", "students", "enrolled", "pre-enrolled", "graduated", "inactive"]
    print_table(columns, [night.row() for night in nights])
