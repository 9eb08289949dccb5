"""`demo`, `dev`, `sandbox` and `init`: synthetic districts, and the Dagster UI on the same state."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.commands import DONE, FAILED, FILE, FOLDER, HELD, Day, command
from samegoal_pipelines.errors import PipelineError

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.sandbox import SandboxDistrict, SandboxServer

STUDENTS = [12_000, 900, 120]
PREFERRED_PORT = 8471
_FACTS = "demo.json"
"""Under SAMEGOAL_HOME: when its first demo ran."""
_LONGEST_TMPDIR = 60
"""Bytes: Dagster's code server listens on a socket there, whose whole path may have 107."""


@command()
@click.option("--districts", default=3, type=click.IntRange(1, 2000), help="How many districts.")
@click.option("--students", default=500, type=click.IntRange(0), help="Students per district.")
@click.option("--port", default=8472, type=click.IntRange(0, 65535), help="Port. 0 picks any free port.")
@click.option("--faults", "faults_file", type=FILE, help="JSON file of faults to produce.")
@click.option("--night", default=0, type=click.IntRange(0), help="How many nights of changes have passed.")
@click.option("--seed", default=1, type=int, help="Another seed gives other people and schools.")
@click.option(
    *("--grant-entity", "grant_entities"),
    metavar="ID",
    type=int,
    multiple=True,
    help="Grant this entity. Can be repeated. The district's own is 1. Default: grant all.",
)
@click.option("--today", type=Day(), help="The date of night 0. Default: today.")
@click.option("--host", default="127.0.0.1", help="Address on which it listens. It has no encryption.")
@click.option("--register", is_flag=True, help="Register its districts, or update their addresses.")
def sandbox(
    deployment: Deployment,
    port: int,
    host: str,
    faults_file: Path | None,
    grant_entities: tuple[int, ...],
    register: bool,
    **generated: Any,
) -> None:
    """Serve a sandbox Qmlativ with synthetic districts until you stop it."""
    from samegoal_pipelines.sandbox import Faults, Sandbox, serve

    faults = Faults.from_file(faults_file) if faults_file else None
    made = Sandbox.generate(**generated)
    for district in made.districts if grant_entities else ():
        district.grant_entities(*grant_entities)
    with ExitStack() as stack:
        try:
            server = stack.enter_context(serve(made, port, faults, host))
        except OSError as error:
            to_do = "name another port, or 0 for any free one"
            raise PipelineError(f"cannot listen on port {port}: {error.strerror}", next_step=to_do) from None
        if register:
            _register(deployment, server)
        with suppress(KeyboardInterrupt, SystemExit):  # Ctrl-C, or `main` got another signal
            _say_how_to_use(server)
            while True:
                time.sleep(1)
    click.echo("The sandbox has stopped.")


@command()
@click.option("--here", is_flag=True, help="Use SAMEGOAL_DATABASE_URL and SAMEGOAL_LANDING_URL, if set.")
@click.option("--held", is_flag=True, help="Then withdraw a third of a district, so that its night is held.")
def demo(deployment: Deployment, here: bool, held: bool) -> int:
    """Run the whole pipeline on synthetic districts, from a sandbox Qmlativ to the published tables.

    A second demo continues with the same districts, one night later for every day since the first.
    """
    from samegoal_pipelines.cli.nights import exit_status, print_outcomes
    from samegoal_pipelines.cli.sync import run_nights
    from samegoal_pipelines.tables.enrollments import ENTRY_WITHDRAWAL

    settings = deployment.settings
    configured = {"DATABASE": settings.database_url, "LANDING": settings.landing_url}
    if (names := [f"SAMEGOAL_{name}_URL" for name, value in configured.items() if value]) and not here:
        trouble = f"{' and '.join(names)} set, so the demo would publish synthetic districts there"
        to_do = f"unset {'them' if len(names) > 1 else 'it'}, or add --here if you want that"
        raise PipelineError(trouble, step="starting the demo", next_step=to_do)
    click.echo("Starting a sandbox Qmlativ with three synthetic districts ...")
    with _demo_districts(deployment) as districts:
        click.echo("Running the nightly job for each of them through Dagster ...")
        outcomes = run_nights(deployment, [district.id for district in districts])
        if held and exit_status(outcomes) == DONE:
            district = districts[1]
            click.echo(f"Deleting a third of the enrollments of {district.name} and running it again ...")
            rows = district.rows(ENTRY_WITHDRAWAL.path)
            district.replace_rows(ENTRY_WITHDRAWAL.path, [row for row in rows if row["StudentID"] % 3])
            (outcomes[1],) = run_nights(deployment, [district.id])
    print_outcomes(outcomes, deployment.registry.list())
    program = Path(sys.argv[0]).absolute()
    typed = program.name if shutil.which(program.name) == str(program) else os.path.relpath(program)
    click.echo("Where to look next:")
    for line, about in (
        (f"{typed} dev", "the Dagster UI on this state, with the sandbox"),
        (f"{typed} postgres start", "keep Postgres running; shows its URL"),
        ("select * from samegoal.student_details limit 5;", "what SameGoal reads, in psql"),
    ):
        click.echo(f"  {line:<47} {about}")
    return DONE if held and exit_status(outcomes) == HELD else exit_status(outcomes)


@command()
@click.option("--host", default="127.0.0.1", help="Address on which the UI listens. The UI has no login.")
@click.option("--port", default=3000, type=click.IntRange(1, 65535), help="Port of the UI.")
def dev(deployment: Deployment, host: str, port: int) -> int:
    """Run the Dagster UI, the schedule and the daemon until you stop them.

    Also serves the sandbox, if `demo` has registered its districts.
    """
    from samegoal_pipelines.defs.instance import prepare_dagster_home
    from samegoal_pipelines.reporting.addresses import check_addresses
    from samegoal_pipelines.settings import INSTANCE_FILES

    check_addresses(deployment.settings.alert_urls, deployment.settings.contact_mail_url)
    has_demo = (deployment.settings.make_home() / _FACTS).exists()
    prepare_dagster_home(deployment.settings)
    with _demo_districts(deployment) if has_demo else nullcontext():
        if not has_demo and not deployment.registry.list():
            click.echo("No district is registered yet; `make demo` registers three synthetic ones.")
        workspace = str(INSTANCE_FILES / "workspace.yaml")
        commands = [
            ["dagster-webserver", "-h", host, "-p", str(port), "-w", workspace],
            ["dagster-daemon", "run", "-w", workspace],
        ]
        if _is_taken(host, port):
            to_do = "choose another one with --port"
            raise PipelineError(f"another program uses port {port}", step="starting the UI", next_step=to_do)
        click.echo(f"The Dagster UI starts at http://{host}:{port} (Ctrl-C stops everything).")
        click.echo("The schedule nightly_by_district is off until you switch it on under Automation.")
        return _run_until_stopped(commands)


@command("init")
@click.argument("folder", metavar="DIR", type=FOLDER)
def init_instance(_: Deployment, folder: Path) -> None:
    """Write dagster.yaml and workspace.yaml to DIR, for a deployment that sets DAGSTER_HOME to it."""
    from samegoal_pipelines.settings import INSTANCE_FILES

    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(INSTANCE_FILES.glob("*.yaml"))
    for target in (folder / source.name for source in sources):
        if target.exists():
            to_do = "remove it or choose another folder"
            raise PipelineError("it exists already", step=f"writing {target}", next_step=to_do)
    for source in sources:
        click.echo(f"wrote {shutil.copyfile(source, folder / source.name)}")
    home = folder.absolute()
    click.echo(f"next: set DAGSTER_HOME to {home} for the webserver, the daemon and every command")


def _say_how_to_use(server: SandboxServer) -> None:
    districts = server.sandbox.districts
    click.echo(f"Sandbox Qmlativ at {server.url} with {len(districts)} districts. Ctrl-C stops it.")
    click.echo("Everyone in it is made up. To read from it: export SAMEGOAL_ALLOW_LOCAL_SOURCES=1")
    for district in districts:
        base_url = server.base_url(district)
        click.echo(f"""
  id             {district.id}
  students       {len(district.tables["Student/Student"]):,}
  base URL       {base_url}
  client key     {district.client_key}
  client secret  {district.client_secret}
  to register    echo {district.client_secret} | samegoal-pipelines districts add {district.id} \
--name '{district.name}' --base-url {base_url} --client-key {district.client_key} \
--timezone {district.timezone}""")


def _is_taken(host: str, port: int) -> bool:
    """Whether another program listens on this port. The webserver only notices after half a minute."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _run_until_stopped(commands: list[list[str]]) -> int:
    """Run the commands until one of them ends or we are stopped, then stop all of them."""
    binaries = Path(sys.executable).parent
    environment = dict(os.environ)
    if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_TMPDIR:
        environment["TMPDIR"] = "/tmp"  # noqa: S108 - its sockets are made private by Dagster and Python
    processes = [
        subprocess.Popen([str(binaries / command[0]), *command[1:]], env=environment)  # noqa: S603
        for command in commands
    ]
    try:
        while all(process.poll() is None for process in processes):
            time.sleep(0.2)
        return FAILED
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or `main` got another signal
        return DONE
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def _demo_districts(deployment: Deployment) -> Iterator[list[SandboxDistrict]]:
    """Serve and register the districts of this home: the same, one night later for each day since the first.

    Lets this deployment, and the processes that it starts, read from this machine.
    """
    from samegoal_pipelines.sandbox import Sandbox, serve
    from samegoal_pipelines.sandbox.district import school_year_of

    os.environ["SAMEGOAL_ALLOW_LOCAL_SOURCES"] = "1"
    deployment.settings.allow_local_sources = True
    today, file = datetime.now().astimezone().date(), deployment.settings.make_home() / _FACTS
    if not file.exists():
        file.write_text(json.dumps({"first_day": today.isoformat()}))
    first_day = date.fromisoformat(json.loads(file.read_text())["first_day"])
    sandbox = Sandbox.generate(
        districts=len(STUDENTS),
        students=STUDENTS,
        today=today,
        night=max(0, (today - first_day).days),
        school_year=school_year_of(first_day),  # the same students after the summer too
    )
    port = 0 if _is_taken("127.0.0.1", PREFERRED_PORT) else PREFERRED_PORT
    with serve(sandbox, port) as server:
        _register(deployment, server)
        yield sandbox.districts


def _register(deployment: Deployment, server: SandboxServer) -> None:
    """Register the sandbox's districts, or update the addresses of those that are registered."""
    from samegoal_pipelines.defs.instance import add_partition

    registry = deployment.registry
    registered = {district.id: district for district in registry.list()}
    for made in server.sandbox.districts:
        base_url = server.base_url(made)
        if made.id not in registered:
            registry.add(
                id=made.id,
                name=made.name,
                base_url=base_url,
                client_key=made.client_key,
                client_secret=made.client_secret,
                timezone=made.timezone,
            )
            add_partition(deployment.settings, made.id)
        elif registered[made.id].base_url != base_url:
            registry.set(made.id, base_url=base_url)
