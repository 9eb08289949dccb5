"""`pause` and `resume`: leaving a district out of the schedule for a while."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.dates import Night

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment


@click.command()
@click.argument("district_id", metavar="ID")
@click.option(
    "--from",
    "paused_from",
    required=True,
    type=Night(),
    help="First night that is left out, by the district's calendar.",
)
@click.option(
    "--to",
    "paused_to",
    required=True,
    type=Night(),
    help="Last night that is left out.",
)
@click.option("--reason", help="Why, as the report is to say it.")
@click.pass_obj
def pause(
    deployment: Deployment, district_id: str, paused_from: datetime, paused_to: datetime, reason: str | None
) -> None:
    """Leave a district out of the schedule for some nights, such as over the summer.

    It is not late on these nights, and the report shows it as paused. What it has published stays; `sync`
    runs it all the same. A district has one pause at a time: a second one replaces the first, unless that is
    under way and the second one does not cover today.
    """
    from samegoal_pipelines.districts.pauses import pause as set_pause

    made = set_pause(
        deployment.warehouse,
        district_id,
        paused_from=paused_from.date(),
        paused_to=paused_to.date(),
        reason=reason,
        set_by=deployment.settings.operator,
    )
    nights = (made.paused_to - made.paused_from).days + 1
    click.echo(
        f"{district_id}: paused from {made.paused_from} to {made.paused_to} "
        f"({'1 night' if nights == 1 else f'{nights:,} nights'}); "
        f"end it with: samegoal-pipelines resume {district_id}"
    )


@click.command()
@click.argument("district_id", metavar="ID")
@click.pass_obj
def resume(deployment: Deployment, district_id: str) -> None:
    """Take a paused district back into the schedule."""
    from samegoal_pipelines.districts.pauses import resume as end_pause

    ended = end_pause(deployment.warehouse, district_id, datetime.now(UTC))
    if ended is None:
        click.echo(f"{district_id}: was not paused")
    else:
        click.echo(
            f"{district_id}: no longer paused (it was from {ended.paused_from} to {ended.paused_to}); "
            "the schedule takes it up again"
        )
