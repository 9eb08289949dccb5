"""`database-url`, `postgres …` and `contract`: the warehouse for other tools, and what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.exits import PlainError
from samegoal_pipelines.cli.terminal import print_json

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.postgres.server import EmbeddedPostgres


@click.command("database-url")
@click.option(
    "--role",
    type=click.Choice(["operator", "reader", "writer", "owner"]),
    default="operator",
    help="The role to act as. Reader and writer only see the district that their transaction names.",
)
@click.pass_obj
def database_url(deployment: Deployment, role: str) -> None:
    """Print a URL for psql and other tools.

    Reader and writer see no rows until their transaction names a district:

    \b
      begin;
      set local samegoal.district_id = 'grand-bend';
      select * from samegoal.student_details limit 5;
      commit;
    """  # noqa: D301 - click reads the character itself
    from samegoal_pipelines.warehouse.roles import Role

    click.echo(deployment.role_url(Role[role.upper()]))


@click.group()
def postgres() -> None:
    """Keep the embedded Postgres running for psql and other tools."""


def _embedded(deployment: Deployment) -> EmbeddedPostgres:
    from samegoal_pipelines.postgres.server import EmbeddedPostgres

    if deployment.settings.configured_database_url:
        raise PlainError(
            "SAMEGOAL_DATABASE_URL is set, so the embedded Postgres is not in use; unset it first"
        )
    return EmbeddedPostgres(deployment.settings.make_home())


@postgres.command("start")
@click.pass_obj
def start_postgres(deployment: Deployment) -> None:
    """Start it, and keep it running after this command."""
    from samegoal_pipelines.warehouse.roles import Role

    _embedded(deployment).start()
    click.echo(f"Postgres is running and stays up: psql '{deployment.role_url(Role.OPERATOR)}'")


@postgres.command("stop")
@click.pass_obj
def stop_postgres(deployment: Deployment) -> None:
    """Stop it."""
    sentences = {
        "stopped": "Postgres is stopped",
        "not running": "Postgres was not running",
        "in use": "other commands are using Postgres; the last of them will stop it",
    }
    click.echo(sentences[_embedded(deployment).stop()])


@postgres.command("status")
@click.pass_obj
def postgres_status(deployment: Deployment) -> None:
    """Show whether it is running, and where its data is."""
    from samegoal_pipelines.warehouse.roles import Role, role_url

    server = _embedded(deployment)
    facts = {
        "server": ", ".join(server.status()) or "not running",
        "url": role_url(server.url, Role.OPERATOR, as_login=True),
        "data": server.data,
        "log": server.log,
        "runs as": server.data.owner() if server.data.exists() else None,
    }
    for name, fact in facts.items():
        if fact is not None:
            click.echo(f"{name:8} {fact}")


@click.command()
@click.option(
    "--check",
    "url",
    metavar="URL",
    help="Instead of printing it, check the warehouse at this Postgres URL against it as samegoal_reader.",
)
@click.option(
    "--district",
    "districts",
    metavar="ID",
    multiple=True,
    help="With --check: also check this district's rows.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def contract(url: str | None, districts: tuple[str, ...], as_json: bool) -> None:
    """Print the data contract of the published tables, in the Open Data Contract Standard.

    The check writes nothing. It exits with 1 if a table, a column, a right or a row is not as promised.
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
    from samegoal_pipelines.warehouse import engine as warehouse_engine
    from samegoal_pipelines.warehouse.contract import broken_promises

    warehouse = warehouse_engine.connect(url)
    try:
        broken = broken_promises(warehouse, promised, districts)
    finally:
        warehouse.dispose()
    version = promised["version"]
    if as_json:
        print_json({"version": version, "broken": broken})
    else:
        for sentence in broken:
            click.echo(sentence)
    if broken:
        raise PlainError(
            f"the warehouse does not keep the data contract {version} (broken promises: {len(broken):,}); "
            "migrate it with the version of this program that its readers expect"
        )
    if not as_json:
        tables = len(promised["schema"])
        click.echo(f"the warehouse keeps the data contract {version}: {tables} tables as promised")
