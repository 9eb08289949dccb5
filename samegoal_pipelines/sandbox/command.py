"""The sandbox as a command: generate, serve, say where, stop when told to. Options are parsed elsewhere."""

import datetime as dt
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from samegoal_pipelines.sandbox.district import SandboxDistrict
from samegoal_pipelines.sandbox.faults import Faults
from samegoal_pipelines.sandbox.sandbox import DEFAULT_SIZES, Sandbox
from samegoal_pipelines.sandbox.server import SandboxServer, serve

DEFAULT_PORT = 8472  # the demo and `make dev` have 8471
_say = partial(print, flush=True)


class SandboxError(Exception):
    """The sandbox cannot be served; the text is one line that says why and what to do."""


def run(
    districts: int = 3,
    students: int | Sequence[int] = DEFAULT_SIZES,
    port: int = DEFAULT_PORT,
    faults_file: str | Path | None = None,
    night: int = 0,
    today: dt.date | None = None,
    seed: int = 1,
    latency: float = 0.0,
    announce: Callable[[str], None] = _say,
) -> None:
    """Serve a sandbox until SIGINT or SIGTERM; ``announce`` gets the lines that tell a person how to use it.

    ``latency`` is the least number of seconds that a page takes. Raises SandboxError where the port is taken
    or the faults file cannot be used.
    """
    try:
        faults = Faults.from_file(faults_file) if faults_file else Faults()
    except ValueError as error:
        raise SandboxError(str(error)) from None
    with _stop_on_signals() as stopped:
        sandbox = Sandbox.generate(districts, students, seed, today, night)
        for district in sandbox.districts:
            district.latency = latency
        try:
            with serve(sandbox, port, faults) as server:
                for line in _directions(server):
                    announce(line)
                stopped.wait()
        except OSError as error:
            why = error.strerror or str(error)
            raise SandboxError(f"cannot listen on port {port}: {why}; name another, or 0 for any") from None
    announce("The sandbox has stopped.")


def _directions(server: SandboxServer) -> Iterator[str]:
    """What a person needs in order to register and sync the districts."""
    sandbox = server.sandbox
    yield f"Sandbox Qmlativ at {server.url} with {len(sandbox.districts)} districts. Ctrl-C stops it."
    yield "Everyone in it is made up. To read from it: export SAMEGOAL_ALLOW_LOCAL_SOURCES=1"
    for district in sandbox.districts:
        yield ""
        yield f"  id             {district.id}"
        yield f"  students       {district.tables['Student/Student'].num_rows:,}"
        yield f"  base URL       {server.base_url(district)}"
        yield f"  client key     {district.client_key}"
        yield f"  client secret  {district.client_secret}"
        yield f"  to register    {_registration(server, district)}"


def _registration(server: SandboxServer, district: SandboxDistrict) -> str:
    return (
        f"echo {district.client_secret} | samegoal-pipelines districts add {district.id} "
        f"--name '{district.name}' --base-url {server.base_url(district)} --client-key {district.client_key} "
        f"--timezone {district.timezone}"
    )


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that is set by SIGINT and SIGTERM; the handlers are put back afterwards."""
    stopped = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
