"""The demo and the development server: synthetic districts, and the Dagster UI on the same state.

Nothing in production imports this module.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from samegoal_pipelines.cli.exits import DONE, FAILED, HELD, PlainError
from samegoal_pipelines.cli.nights import exit_status, print_outcomes
from samegoal_pipelines.cli.sync import run_nights
from samegoal_pipelines.defs.instance import add_partition, prepare_dagster_home
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.errors import UnknownDistrictError
from samegoal_pipelines.reporting.addresses import check_addresses
from samegoal_pipelines.settings import INSTANCE_FILES, Settings
from samegoal_pipelines.tables.enrollments import ENTRY_WITHDRAWAL

if TYPE_CHECKING:
    from samegoal_pipelines.sandbox import SandboxDistrict, SandboxServer

STUDENTS = [12_000, 900, 120]
PREFERRED_PORT = 8471
_LONGEST_TMPDIR = 60
"""Bytes: Dagster's code server listens on a socket there, whose whole path may have 107."""


def run_demo(deployment: Deployment, *, here: bool = False, held: bool = False, debug: bool = False) -> int:
    """Serve three synthetic districts, register them, run their night and show what was published.

    A second demo continues with the same districts, one night later for every day since the first.

    Args:
        here: use the database and landing from the environment.
        held: run one district again after a third of its enrollments were deleted.

    Raises:
        PlainError: the environment names a database or a landing, which may be those of production.
    """
    if not here:
        _refuse_configured(deployment.settings)
    deployment = _with_local_sources(deployment)
    click.echo("Starting a sandbox Qmlativ with three synthetic districts ...")
    with _demo_source(deployment.settings.make_home()) as server:
        district_ids = register_sandbox(deployment, server)
        click.echo("Running the nightly job for each of them through Dagster ...")
        outcomes = run_nights(deployment, district_ids, debug=debug)
        if held and exit_status(outcomes) == DONE:
            district = server.sandbox.districts[1]
            click.echo(f"Deleting a third of the enrollments of {district.name} and running it again ...")
            _delete_a_third(district)
            (outcomes[1],) = run_nights(deployment, [district.id], debug=debug)
    print_outcomes(outcomes, deployment.registry.list())
    click.echo("Where to look next:")
    for line, about in (
        (f"{_this_program()} dev", "the Dagster UI on this state, with the sandbox"),
        (f"{_this_program()} postgres start", "keep Postgres running; shows its URL"),
        ("select * from samegoal.student_details limit 5;", "what SameGoal reads, in psql"),
    ):
        click.echo(f"  {line:<48}{about}")
    return DONE if held and exit_status(outcomes) == HELD else exit_status(outcomes)


def _delete_a_third(district: SandboxDistrict) -> None:
    """As a careless import in Qmlativ would."""
    rows = district.rows(ENTRY_WITHDRAWAL.path)
    district.replace_rows(ENTRY_WITHDRAWAL.path, [row for row in rows if row["StudentID"] % 3])


def _this_program() -> str:
    """The command as a person in this folder would type it."""
    found = shutil.which("samegoal-pipelines")
    program = Path(sys.argv[0]).absolute()
    if found and Path(found).absolute() == program:
        return program.name
    return os.path.relpath(program)


def run_dev(deployment: Deployment, *, host: str, port: int) -> int:
    """Run the Dagster webserver and daemon, and the sandbox if the demo's districts are registered."""
    check_addresses(deployment.settings.alert_urls, deployment.settings.contact_mail_url)
    home = deployment.settings.make_home()
    if _demo_facts(home):
        deployment = _with_local_sources(deployment)
    prepare_dagster_home(deployment.settings)
    source = _demo_source(home) if _demo_facts(home) else nullcontext()
    with source as server:
        if server is not None:
            register_sandbox(deployment, server)
        elif not deployment.registry.list():
            click.echo("No district is registered yet; `make demo` registers three synthetic ones.")
        workspace = str(INSTANCE_FILES / "workspace.yaml")
        commands = [
            ["dagster-webserver", "-h", host, "-p", str(port), "-w", workspace],
            ["dagster-daemon", "run", "-w", workspace],
        ]
        if _is_taken(host, port):
            raise PlainError(
                f"starting the UI: another program uses port {port}; choose another one with --port"
            )
        click.echo(f"The Dagster UI starts at http://{host}:{port} (Ctrl-C stops everything).")
        click.echo("The schedule nightly_by_district is off until you switch it on under Automation.")
        return _run_until_stopped(commands)


def _is_taken(host: str, port: int) -> bool:
    """Whether another program already listens there. The webserver only notices after half a minute."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
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
    stopping = []
    previous = signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    try:
        while not stopping and all(process.poll() is None for process in processes):
            time.sleep(0.2)
    except KeyboardInterrupt:
        stopping.append(True)
    finally:
        signal.signal(signal.SIGTERM, previous)
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
    return DONE if stopping else FAILED


def _refuse_configured(settings: Settings) -> None:
    configured = {
        "SAMEGOAL_DATABASE_URL": settings.database_url,
        "SAMEGOAL_LANDING_URL": settings.landing_url,
    }
    if names := [name for name, value in configured.items() if value]:
        raise PlainError(
            f"starting the demo: {' and '.join(names)} set, so the demo would publish synthetic districts "
            f"there; unset {'them' if len(names) > 1 else 'it'}, or add --here if you want that"
        )


def _with_local_sources(deployment: Deployment) -> Deployment:
    """The same deployment, allowed to read the sandbox on this machine."""
    os.environ["SAMEGOAL_ALLOW_LOCAL_SOURCES"] = "1"
    return Deployment(Settings(home=deployment.settings.home))


@contextmanager
def _demo_source(home: Path) -> Iterator[SandboxServer]:
    """The sandbox of this home: the same districts, one night later for each day since the first."""
    from samegoal_pipelines.sandbox import Sandbox, serve
    from samegoal_pipelines.sandbox.lookups import school_year_of

    today = datetime.now().astimezone().date()
    facts = _demo_facts(home) or {"first_day": today.isoformat(), "port": PREFERRED_PORT}
    first_day = date.fromisoformat(facts["first_day"])
    sandbox = Sandbox.generate(
        districts=len(STUDENTS),
        students=STUDENTS,
        seed=1,
        today=today,
        night=max(0, (today - first_day).days),
        school_year=school_year_of(first_day),  # the same students after the summer too
    )
    with ExitStack() as stack:
        try:
            server = stack.enter_context(serve(sandbox, facts["port"]))
        except OSError:  # another program uses the port now
            server = stack.enter_context(serve(sandbox, 0))
        port = urlsplit(server.url).port
        _demo_file(home).write_text(json.dumps({"first_day": first_day.isoformat(), "port": port}))
        yield server


def _demo_file(home: Path) -> Path:
    return home / "demo.json"


def _demo_facts(home: Path) -> dict[str, Any] | None:
    """When the first demo of this home ran, and on which port. None if there was none."""
    file = _demo_file(home)
    return json.loads(file.read_text()) if file.exists() else None


def register_sandbox(deployment: Deployment, server: SandboxServer) -> list[str]:
    """Register the sandbox's districts, or update the addresses of an earlier demo's districts."""
    registry = deployment.registry
    for district in server.sandbox.districts:
        base_url = server.base_url(district)
        try:
            if registry.get(district.id).base_url != base_url:
                registry.set(district.id, base_url=base_url, allow_local=True)
            continue
        except UnknownDistrictError:
            pass
        registry.add(
            id=district.id,
            name=district.name,
            base_url=base_url,
            client_key=district.client_key,
            client_secret=district.client_secret,
            timezone=district.timezone,
            allow_local=True,
        )
        add_partition(deployment.settings, district.id)
    return [district.id for district in server.sandbox.districts]
