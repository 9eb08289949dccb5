"""`sandbox`, `demo` and `dev`: trying the pipeline out."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.dates import Night

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment


@click.command()
@click.option(
    "--districts",
    "district_count",
    default=3,
    show_default=True,
    type=click.IntRange(1, 2000),
    help="How many.",
)
@click.option("--students", default=500, show_default=True, type=click.IntRange(0), help="Per district.")
@click.option(
    "--port",
    default=8472,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="On this machine only; 0: any that is free.",
)
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What is to go wrong, as JSON.",
)
@click.option(
    "--night",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="How many nights have passed, each with its changes.",
)
@click.option(
    "--seed", default=1, show_default=True, type=int, help="Another one gives other people and schools."
)
@click.option("--today", type=Night(), help="The date of night 0; default: today.")
def sandbox(
    district_count: int,
    students: int,
    port: int,
    faults: Path | None,
    night: int,
    seed: int,
    today: datetime | None,
) -> None:
    """Serve a sandbox Qmlativ with synthetic districts until stopped."""
    from samegoal_pipelines.sandbox.command import run

    run(
        districts=district_count,
        students=students,
        port=port,
        faults_file=faults,
        night=night,
        seed=seed,
        today=today.date() if today else None,
        announce=click.echo,
    )


@click.command()
@click.option(
    "--here",
    is_flag=True,
    help="Publish in the database and landing that SAMEGOAL_DATABASE_URL and SAMEGOAL_LANDING_URL name.",
)
@click.pass_context
def demo(context: click.Context, here: bool) -> int:
    """Run the whole pipeline on synthetic districts, from a sandbox Qmlativ to the published tables."""
    from samegoal_pipelines.cli.demo import run_demo

    return run_demo(context.obj, here=here, debug=context.meta["debug"])


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where the UI listens; it has no login.",
)
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Of the UI.")
@click.pass_obj
def dev(deployment: Deployment, host: str, port: int) -> int:
    """Run the Dagster UI with its schedules until stopped."""
    from samegoal_pipelines.cli.demo import run_dev

    return run_dev(deployment, host=host, port=port)
