"""`sandbox`, `demo` and `dev`: try the pipeline."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.dates import Night
from samegoal_pipelines.cli.exits import PlainError

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment


@click.command()
@click.option(
    "--districts",
    "district_count",
    default=3,
    show_default=True,
    type=click.IntRange(1, 2000),
    help="How many districts.",
)
@click.option(
    "--students", default=500, show_default=True, type=click.IntRange(0), help="Students per district."
)
@click.option(
    "--port",
    default=8472,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port on this machine. 0 picks any free port.",
)
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file of faults to produce.",
)
@click.option(
    "--night",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="How many nights of changes have passed.",
)
@click.option(
    "--seed", default=1, show_default=True, type=int, help="Another seed gives other people and schools."
)
@click.option(
    "--grant-entity",
    "grant_entities",
    metavar="ID",
    type=int,
    multiple=True,
    help="Grant this entity. Can be repeated. The district's own is 1. Default: grant all.",
)
@click.option("--today", type=Night(), help="The date of night 0. Default: today.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address on which it listens. It has no encryption.",
)
@click.option("--register", is_flag=True, help="Register its districts, or update their addresses.")
@click.pass_obj
def sandbox(
    deployment: Deployment,
    district_count: int,
    students: int,
    port: int,
    faults: Path | None,
    night: int,
    seed: int,
    grant_entities: tuple[int, ...],
    today: datetime | None,
    host: str,
    register: bool,
) -> None:
    """Serve a sandbox Qmlativ with synthetic districts until you stop it."""
    from samegoal_pipelines.cli.demo import register_sandbox
    from samegoal_pipelines.sandbox.command import run

    run(
        districts=district_count,
        students=students,
        port=port,
        faults_file=faults,
        night=night,
        seed=seed,
        grant_entities=grant_entities,
        today=today.date() if today else None,
        announce=click.echo,
        host=host,
        register=partial(register_sandbox, deployment) if register else None,
    )


@click.command()
@click.option(
    "--here",
    is_flag=True,
    help="Use the database and landing of SAMEGOAL_DATABASE_URL and SAMEGOAL_LANDING_URL.",
)
@click.option("--held", is_flag=True, help="Then withdraw a third of a district, so that its night is held.")
@click.pass_context
def demo(context: click.Context, here: bool, held: bool) -> int:
    """Run the whole pipeline on synthetic districts, from a sandbox Qmlativ to the published tables."""
    from samegoal_pipelines.cli.demo import run_demo

    return run_demo(context.obj, here=here, held=held, debug=context.meta["debug"])


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address on which the UI listens. The UI has no login.",
)
@click.option(
    "--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port of the UI."
)
@click.pass_obj
def dev(deployment: Deployment, host: str, port: int) -> int:
    """Run the Dagster UI, the schedule and the daemon until you stop them."""
    from samegoal_pipelines.cli.demo import run_dev

    return run_dev(deployment, host=host, port=port)


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def init_instance(folder: Path) -> None:
    """Write dagster.yaml and workspace.yaml to DIR, for a deployment that sets DAGSTER_HOME to it."""
    from samegoal_pipelines.settings import INSTANCE_FILES

    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / source.name: source.read_bytes() for source in sorted(INSTANCE_FILES.glob("*.yaml"))}
    for target in files:
        if target.exists():
            raise PlainError(f"writing {target}: it exists already; remove it or choose another folder")
    for target, content in files.items():
        target.write_bytes(content)
        click.echo(f"wrote {target}")
    click.echo(
        f"next: set DAGSTER_HOME to {folder.absolute()} for the webserver, the daemon and every command"
    )
