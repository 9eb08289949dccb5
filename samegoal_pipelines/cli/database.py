"""`database-url`, `postgres …` and `contract`: the warehouse for other tools, and what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.commands import command
from samegoal_pipelines.cli.terminal import print_json
from samegoal_pipelines.errors import PipelineError

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.postgres.server import EmbeddedPostgres


@command()
@click.option(
    "--role",
    type=click.Choice(["operator", "reader", "writer", "owner"]),
    default="operator",
    help="The role to act as. Reader and writer only see the district that their transaction names.",
)
def database_url(deployment: Deployment, role: str) -> None:
    """Print a URL for psql and other tools.

    Reader and writer see no rows until their transaction names a district:

    \b
      begin;
      set local samegoal.district_id = 'grand-bend';
      select * from samegoal.student_details limit 5;
      commit;
    """  # noqa: D301 - click reads the character itself
    from samegoal_pipelines.warehouse.engine import Role

    click.echo(deployment.role_url(Role[role.upper()]))


def _embedded(deployment: Deployment) -> EmbeddedPostgres:
    from samegoal_pipelines.postgres.server import EmbeddedPostgres

    if deployment.settings.configured_database_url:
        trouble = "SAMEGOAL_DATABASE_URL is set, so the embedded Postgres is not in use"
        raise PipelineError(trouble, next_step="unset it first")
    return EmbeddedPostgres(deployment.settings.make_home())


@command("start")
def start_postgres(deployment: Deployment) -> None:
    """Start it, and keep it running after this command."""
    from samegoal_pipelines.warehouse.engine import Role

    _embedded(deployment).start()
    click.echo(f"Postgres is running and stays up: psql '{deployment.role_url(Role.OPERATOR)}'")


@command("stop")
def stop_postgres(deployment: Deployment) -> None:
    """Stop it."""
    sentences = {
        "stopped": "Postgres is stopped",
        "not running": "Postgres was not running",
        "in use": "other commands are using Postgres; the last of them will stop it",
    }
    click.echo(sentences[_embedded(deployment).stop()])


@command("status")
def postgres_status(deployment: Deployment) -> None:
    """Show whether it is running, and where its data is."""
    from samegoal_pipelines.warehouse.engine import Role, role_url

    server = _embedded(deployment)
    facts = {
        "server": ", ".join(server.status()) or "not running",
        "url": role_url(server.url, Role.OPERATOR, as_login=True),
        "data": server.data,
        "log": server.log,
        "runs as": server.data.owner() if server.data.exists() else None,
    }
    for name, fact in facts.items():  # a table would wrap the URL
        if fact is not None:
            click.echo(f"{name:8} {fact}")


postgres = click.Group(
    "postgres",
    [start_postgres, stop_postgres, postgres_status],
    help="Keep the embedded Postgres running for psql and other tools.",
)


@command(json=True)
@click.option("--check", "url", metavar="URL", help="Check the warehouse at this Postgres URL against it.")
@click.option("--district", "districts", metavar="ID", multiple=True, help="Also check this district's rows.")
def contract(_: Deployment, url: str | None, districts: tuple[str, ...], as_json: bool) -> None:
    """Print the data contract of the published tables, in the Open Data Contract Standard.

    --check reads as samegoal_reader and writes nothing. It exits with 1 if a table, a column, a right or a
    row is not as promised.
    """
    from samegoal_pipelines.tables.contract import FILE, read

    promised = read()
    if url is None:
        if districts:
            raise click.UsageError("--district needs --check URL")
        if as_json:
            print_json(promised)
        else:
            click.echo(FILE.read_text(encoding="utf-8"), nl=False)
        return
    from samegoal_pipelines.warehouse.contract import broken_promises
    from samegoal_pipelines.warehouse.engine import connect

    which = f"the data contract {promised['version']}"
    broken = broken_promises(connect(url), promised, districts)
    if as_json:
        print_json({"version": promised["version"], "broken": broken})
    else:
        kept = f"the warehouse keeps {which}: {len(promised['schema'])} tables as promised"
        click.echo("\n".join(broken or [kept]))
    if broken:
        trouble = f"the warehouse does not keep {which} (broken promises: {len(broken):,})"
        to_do = "migrate it with the version of this program that its readers expect"
        raise PipelineError(trouble, next_step=to_do)
