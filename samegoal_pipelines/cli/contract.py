"""`contract`: the data contract of what SameGoal reads, printed or checked."""

from __future__ import annotations

import click

from samegoal_pipelines.cli.exits import PlainError
from samegoal_pipelines.cli.terminal import print_json


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
