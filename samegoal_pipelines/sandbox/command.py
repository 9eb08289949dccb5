"""The sandbox as a command: generate districts, serve them, say how to use them, stop on a signal."""

import datetime as dt
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from samegoal_pipelines.sandbox.district import Sandbox
from samegoal_pipelines.sandbox.faults import Faults, SandboxError
from samegoal_pipelines.sandbox.server import HOST, SandboxServer, serve

_STOP = {signal.SIGINT, signal.SIGTERM}


def run(
    districts: int = 3,
    students: int = 500,
    port: int = 8472,  # the demo and `make dev` use 8471
    host: str = HOST,
    faults_file: Path | None = None,
    night: int = 0,
    today: dt.date | None = None,
    seed: int = 1,
    grant_entities: Sequence[int] = (),
    register: Callable[[SandboxServer], object] | None = None,
) -> None:
    """Serve a sandbox until SIGINT or SIGTERM. ``register`` is called once it is served.

    Raises SandboxError if the port is taken or the faults file cannot be used.
    """
    faults = Faults.from_file(faults_file) if faults_file else None
    sandbox = Sandbox.generate(districts, students, seed, today, night)
    for district in sandbox.districts if grant_entities else ():
        district.grant_entities(*grant_entities)
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    try:
        with serve(sandbox, port, faults, host) as server:
            if register:
                register(server)
            _say_how_to_use(server)
            signal.sigwait(_STOP)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise SandboxError(
            f"cannot listen on port {port}: {why}; name another port, or 0 for any free one"
        ) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    click.echo("The sandbox has stopped.")


def _say_how_to_use(server: SandboxServer) -> None:
    districts = server.sandbox.districts
    click.echo(f"Sandbox Qmlativ at {server.url} with {len(districts)} districts. Ctrl-C stops it.")
    click.echo("Everyone in it is made up. To read from it: export SAMEGOAL_ALLOW_LOCAL_SOURCES=1")
    for district in districts:
        base_url = server.base_url(district)
        command = (
            f"echo {district.client_secret} | samegoal-pipelines districts add {district.id} "
            f"--name '{district.name}' --base-url {base_url} --client-key {district.client_key} "
            f"--timezone {district.timezone}"
        )
        click.echo(f"""
  id             {district.id}
  students       {district.tables["Student/Student"].num_rows:,}
  base URL       {base_url}
  client key     {district.client_key}
  client secret  {district.client_secret}
  to register    {command}""")
