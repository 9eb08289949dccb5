"""`pause` and `resume`: skip a district in the schedule for a while."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.dates import Night
from samegoal_pipelines.printable import counted

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment


@click.command()
@click.argument("district_id", metavar="ID")
@click.option(
    "--from",
    "paused_from",
    required=True,
    type=Night(),
    help="First night to skip, by the district's calendar.",
)
@click.option(
    "--to",
    "paused_to",
    required=True,
    type=Night(),
    help="Last night to skip.",
)
@click.option("--reason", help="Why. The report shows it.")
@click.pass_obj
def pause(
    deployment: Deployment, district_id: str, paused_from: datetime, paused_to: datetime, reason: str | None
) -> None:
    """Skip a district in the schedule for some nights, such as over the summer.

    It is not late on these nights, and the report shows it as paused. Its published snapshot stays, and
    `sync` still runs it. A district has one pause at a time. A new pause replaces the old one, unless the
    old one is in progress and the new one does not cover today.
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
        f"({counted(nights, 'night')}); "
        f"end it with: samegoal-pipelines resume {district_id}"
    )


@click.command()
@click.argument("district_id", metavar="ID")
@click.pass_obj
def resume(deployment: Deployment, district_id: str) -> None:
    """End a district's pause."""
    from samegoal_pipelines.districts.pauses import resume as end_pause

    ended = end_pause(deployment.warehouse, district_id, datetime.now(UTC))
    if ended is None:
        click.echo(f"{district_id}: was not paused")
    else:
        click.echo(
            f"{district_id}: no longer paused (it was from {ended.paused_from} to {ended.paused_to}); "
            "the schedule runs it again"
        )
