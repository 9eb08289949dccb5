"""The pipeline for people without the UI: `samegoal-pipelines`.

Commands parse, call one function of another room and print. No rule about students, no SQL and no
HTTP lives here. Heavy imports wait until a command needs them, so that `--help` answers at once.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.terminal import print_json, print_table, reading_progress

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.districts.registry import District

DONE, FAILED, WRONG_USAGE, HELD = 0, 1, 2, 3

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class PlainError(click.ClickException):
    """One line on standard error: which district, which step, what to do."""

    exit_code = FAILED


def main() -> None:
    """Entry point. Exit status: 0 done, 1 failed, 2 wrong usage, 3 held."""
    debug = "--debug" in sys.argv  # wherever it stands: the hint of an error is to add it
    words = [word for word in sys.argv[1:] if word != "--debug"]
    if not debug:
        logging.basicConfig(level=logging.CRITICAL)  # Dagster's own retries warn with a driver's raw text
    signal.signal(signal.SIGTERM, _terminate)
    try:
        status = cli.main(["--debug", *words] if debug else words, standalone_mode=False)
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        status = FAILED
    except click.UsageError as error:
        error.show()
        status = WRONG_USAGE
    except PlainError as error:
        click.echo(f"error: {error.message}", err=True)
        status = error.exit_code
    except Exception as error:
        if debug:
            raise
        click.echo(f"error: {_plain(error)}", err=True)
        status = FAILED
    sys.exit(status or DONE)


def _terminate(*_: object) -> None:
    """End like any other program that is done: what was started for this command is stopped at exit."""
    sys.exit(128 + signal.SIGTERM)


def _plain(error: Exception) -> str:
    """The error's own line where it was written for people; a stranger's text may quote a row's value."""
    kind = type(error)
    if kind.__module__.startswith("samegoal_pipelines."):
        return str(error)
    if kind.__name__ == "ValidationError" and hasattr(error, "errors"):  # pydantic's, of the settings
        names = ", ".join(f"SAMEGOAL_{fault['loc'][0]}".upper() for fault in error.errors() if fault["loc"])
        return f"{names or 'a SAMEGOAL_ variable'} has a value that cannot be used; see the README's table"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if kind.__module__.partition(".")[0] in ("dagster_postgres", "sqlalchemy", "psycopg2"):
        return "the connection to Postgres was lost or refused; check that it is up, then run again"
    return f"unforeseen {type(error).__name__}; run the command again with --debug for the traceback"


@click.group(context_settings=CONTEXT_SETTINGS)
@click.option("--debug", is_flag=True, help="Show tracebacks and Dagster's own log.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Nightly student status and demographics snapshots for SameGoal, from Skyward Qmlativ."""
    from samegoal_pipelines.deployment import Deployment

    context.obj = Deployment()
    context.meta["debug"] = debug


# --------------------------------------------------------------------------- districts


@cli.group()
def districts() -> None:
    """Register districts and look after them."""


@districts.command("add")
@click.argument("district_id", metavar="ID")
@click.option("--name", required=True, help="The district's name, for people.")
@click.option("--base-url", required=True, help="Qmlativ's API Base URL, ending before /Custom.")
@click.option("--client-key", required=True, help="Client Key of the Integration Access.")
@click.option(
    "--client-secret-file",
    type=click.File("r"),
    help="File with the Client Secret ('-' for standard input); without it, you are asked.",
)
@click.option(
    "--timezone", default="America/Chicago", show_default=True, help="The district's IANA time zone."
)
@click.option("--token-url", help="Where tokens come from, if not {base}/oauth/token.")
@click.option("--entity-id", type=int, help="Entity to read through, if not the district's own.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="When the Integration Access expires.")
@click.pass_obj
def add_district(
    deployment: Deployment,
    district_id: str,
    name: str,
    base_url: str,
    client_key: str,
    client_secret_file: Any,
    timezone: str,
    token_url: str | None,
    entity_id: int | None,
    expires: datetime | None,
) -> None:
    """Register a district and its partition."""
    from samegoal_pipelines.runs import add_partition

    district = deployment.registry.add(
        id=district_id,
        name=name,
        base_url=base_url,
        client_key=client_key,
        client_secret=_read_secret(client_secret_file),
        timezone=timezone,
        token_url=token_url,
        entity_id=entity_id,
        expires=expires.date() if expires else None,
        allow_local=deployment.settings.allow_local_sources,
    )
    add_partition(district.id)
    click.echo(f"{district.id}: registered; next: samegoal-pipelines districts verify {district.id}")


def _read_secret(file: Any) -> str:
    """The secret from a file, standard input or a prompt; never from an argument, which others can see."""
    if file is not None:
        secret = file.read()
    elif sys.stdin.isatty():
        secret = click.prompt("Client Secret", hide_input=True)
    else:
        secret = sys.stdin.read()
    if not secret.strip():
        raise PlainError(
            "the Client Secret is empty; give it with --client-secret-file, standard input or the prompt"
        )
    return secret.strip()


@districts.command("list")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_obj
def list_districts(deployment: Deployment, as_json: bool) -> None:
    """List the registered districts."""
    found = deployment.registry.list()
    if as_json:
        print_json([_district_facts(district) for district in found])
        return
    if not found:
        click.echo("no district is registered yet; next: samegoal-pipelines districts add --help")
        return
    print_table(
        ["district", "name", "time zone", "source", "expires", "active"],
        [
            [d.id, d.name, d.timezone, d.source_host, d.expires or "", "yes" if d.active else "disabled"]
            for d in found
        ],
    )


@districts.command("show")
@click.argument("district_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_obj
def show_district(deployment: Deployment, district_id: str, as_json: bool) -> None:
    """Show one district: its registration and last snapshot; never its secret."""
    facts = _district_facts(deployment.registry.get(district_id))
    if as_json:
        print_json(facts)
        return
    print_table(
        None, [[name.replace("_", " "), "" if fact is None else fact] for name, fact in facts.items()]
    )


def _district_facts(district: District) -> dict[str, Any]:
    """A district's registration as it may be shown: everything but the secret."""
    return district.public_facts()


@districts.command("verify")
@click.argument("district_ids", metavar="ID…", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every active district.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_obj
def verify_districts(deployment: Deployment, district_ids: Sequence[str], every: bool, as_json: bool) -> int:
    """Ask Qmlativ whether a night could work: token, identity, entities, school years, granted fields."""
    from samegoal_pipelines.districts.registry import UnknownDistrict
    from samegoal_pipelines.districts.verify import verify

    if bool(district_ids) == every:
        raise click.UsageError("name the districts to verify, or give --all")
    registry = deployment.registry
    results, unknown = [], []
    for district_id in [district.id for district in registry.list_active()] if every else district_ids:
        try:
            district = registry.get(district_id)
        except UnknownDistrict as error:
            unknown.append(str(error))
            continue
        results.append(verify(registry, district, allow_local=deployment.settings.allow_local_sources))
    if as_json:
        print_json([result.facts() for result in results])
    else:
        for result in results:
            print_table(
                [result.district_id, "", "", "what to do"],
                [[step.name, step.state, step.outcome, step.remedy] for step in result.steps],
            )
    for line in unknown:
        click.echo(f"error: {line}", err=True)
    return DONE if not unknown and all(result.ok for result in results) else FAILED


@districts.command("set")
@click.argument("district_id", metavar="ID")
@click.option("--name")
@click.option("--base-url", help="Its remembered identity in Qmlativ is still checked.")
@click.option("--token-url")
@click.option("--entity-id", type=int)
@click.option("--timezone")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="When the Integration Access expires.")
@click.pass_obj
def set_district(
    deployment: Deployment, district_id: str, expires: datetime | None, **given: str | int | None
) -> None:
    """Change what is registered about a district."""
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if expires:
        changes["expires"] = expires.date()
    if not changes:
        raise click.UsageError("name what to change; see --help")
    deployment.registry.set(district_id, allow_local=deployment.settings.allow_local_sources, **changes)
    click.echo(f"{district_id}: changed {', '.join(sorted(changes))}")


@districts.command("rotate-secret")
@click.argument("district_id", metavar="ID")
@click.option("--client-key", help="The new Client Key, if it has changed as well.")
@click.option("--client-secret-file", type=click.File("r"), help="As with `districts add`.")
@click.pass_obj
def rotate_secret(
    deployment: Deployment, district_id: str, client_key: str | None, client_secret_file: Any
) -> None:
    """Replace a district's Client Secret."""
    deployment.registry.get(district_id)
    secret = _read_secret(client_secret_file)
    deployment.registry.rotate_secret(district_id, client_secret=secret, client_key=client_key)
    click.echo(f"{district_id}: secret replaced; next: samegoal-pipelines districts verify {district_id}")


@districts.command("disable")
@click.argument("district_id", metavar="ID")
@click.pass_obj
def disable_district(deployment: Deployment, district_id: str) -> None:
    """Leave a district out of the schedule; what it has published stays."""
    deployment.registry.set_active(district_id, False)
    click.echo(f"{district_id}: disabled; what it has published stays")


@districts.command("enable")
@click.argument("district_id", metavar="ID")
@click.pass_obj
def enable_district(deployment: Deployment, district_id: str) -> None:
    """Take a district back into the schedule."""
    deployment.registry.set_active(district_id, True)
    click.echo(f"{district_id}: enabled; its next night runs by schedule")


# --------------------------------------------------------------------------- the night


@cli.command()
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
            night = NightOutcome(district_id, None, _plain(error))
        nights.append(night)
        click.echo(night.line(), err=True)
        if night.stopped:
            break
    return nights


def print_nights(nights: Sequence[Any]) -> None:
    """A row per district: what became of its night, and how many students have which status."""
    columns = ["district", "snapshot", "students", "enrolled", "pre-enrolled", "graduated", "inactive"]
    print_table(columns, [night.row() for night in nights])


# --------------------------------------------------------------------------- Postgres


@cli.command("database-url")
@click.option(
    "--role",
    type=click.Choice(["operator", "reader", "writer", "owner"]),
    default="operator",
    show_default=True,
    help="Who the tool is to act as; reader and writer reach the district of their transaction only.",
)
@click.pass_obj
def database_url(deployment: Deployment, role: str) -> None:
    """Print a URL for psql and other tools."""
    from samegoal_pipelines.warehouse.roles import Role

    click.echo(deployment.role_url(Role[role.upper()]))


@cli.group()
def postgres() -> None:
    """The embedded Postgres, kept up for psql and other tools (not needed with SAMEGOAL_DATABASE_URL)."""


def _embedded(deployment: Deployment) -> Any:
    from samegoal_pipelines.warehouse.server import EmbeddedPostgres

    if deployment.settings.configured_database_url:
        raise PlainError(
            "SAMEGOAL_DATABASE_URL is set, so the embedded Postgres is not in use; unset it first"
        )
    return EmbeddedPostgres(deployment.settings.make_home())


@postgres.command("start")
@click.pass_obj
def start_postgres(deployment: Deployment) -> None:
    """Start it and keep it up after this command."""
    from samegoal_pipelines.warehouse.roles import Role

    _embedded(deployment).start()
    click.echo(f"Postgres is up and stays up: psql '{deployment.role_url(Role.OPERATOR)}'")


@postgres.command("stop")
@click.pass_obj
def stop_postgres(deployment: Deployment) -> None:
    """Stop it."""
    told = {
        "stopped": "Postgres is stopped",
        "not running": "Postgres was not running",
        "in use": "other commands are using Postgres; the last of them will stop it",
    }
    click.echo(told[_embedded(deployment).stop()])


@postgres.command("status")
@click.pass_obj
def postgres_status(deployment: Deployment) -> None:
    """Say whether it is up, and where its data lies."""
    click.echo(str(_embedded(deployment).status()))


# --------------------------------------------------------------------------- sandbox, demo, dev


@cli.command()
@click.option("--districts", "district_count", default=3, show_default=True, type=click.IntRange(1, 2000))
@click.option("--students", default=500, show_default=True, type=click.IntRange(0), help="Per district.")
@click.option("--port", default=8471, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--faults", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Faults, as JSON."
)
@click.option(
    "--night", default=0, show_default=True, type=click.IntRange(0), help="Nights that have passed."
)
@click.option("--seed", default=1, show_default=True, type=int)
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), help="The date of night 0; default: today.")
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


@cli.command()
@click.pass_context
def demo(context: click.Context) -> int:
    """Run the whole pipeline on synthetic districts: sandbox, registry, nightly job, published tables."""
    from samegoal_pipelines.demo import run_demo

    return run_demo(context.obj, debug=context.meta["debug"])


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@click.pass_obj
def dev(deployment: Deployment, host: str, port: int) -> int:
    """Run the Dagster UI with schedule and daemon until stopped."""
    from samegoal_pipelines.demo import run_dev

    return run_dev(deployment, host=host, port=port)


if __name__ == "__main__":
    main()
