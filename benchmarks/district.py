"""One district's night, end to end, against the latency of its pages.

Through the real thing: `run_night`, which is Dagster's job with every asset, check, landed file and publish,
on an embedded Postgres of its own; from a sandbox in another process whose answers are ready and take 150 ms
a page. Each round begins in an empty home: the first night knows nothing of the district and follows
`Paging.Next`; the second, with one student in 200 changed, knows how many rows each listing had and loads
pages at once, with eight connections. Not timed: starting Python and Postgres.

The floor is the latency alone: no byte, no check and no database. Before anything else the school years must
be known (one page; entities are read beside them), and after that

- following Next: the pages of the longest listing, one after the other; or, if that is longer, all pages over
  eight connections: 150 ms × (1 + max(longest, ⌈rest / 8⌉));
- with hints: 150 ms × (1 + ⌈rest / 8⌉).

The token, the metadata and 18 descriptions have no latency in the sandbox, and count as nothing.
"""

import functools
import importlib
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cases import Breakdown, Case, compared
from benchmarks.contestant import Memory

STUDENTS = 60_000
LATENCY = 0.15
CONNECTIONS = 8
TODAY = date(2026, 10, 12)
TARGET = 1.1
NIGHTS = ("first night, following Next", "second night, 8 connections")
EARLY = {"District/SchoolYear", "District/Entity"}  # read before the others
DEFS = "samegoal_pipelines.defs"
PARTS = {
    "read": [f"{DEFS}.students:read_district"],
    "validate": [f"{DEFS}.materializing:violations"],
    "land": [
        "samegoal_pipelines.landing.store:Landing.write",
        "samegoal_pipelines.landing.store:Landing.read_last",
    ],
    "transform": [
        f"{DEFS}.students:filter_enrollments",
        f"{DEFS}.students:classify_students",
        f"{DEFS}.students:student_tables",
        f"{DEFS}.students:parent_tables",
        f"{DEFS}.published:assemble_snapshot",
        f"{DEFS}.worklist:list_problems",
    ],
    "publish": [f"{DEFS}.published:publish_or_hold", f"{DEFS}.worklist:publish_worklist"],
}
REST = "Dagster and the rest"
_spawning = multiprocessing.get_context("spawn")


class NightRun(NamedTuple):
    """A night: wall seconds, seconds per part, peak memory above the start in MB, students published."""

    seconds: float
    parts: dict[str, float]
    peak_mb: float
    students: int


def run(runs: int = 5, students: int = STUDENTS) -> tuple[list[Case], list[Breakdown]]:
    """A warm-up and `runs` rounds of a first and a second night."""
    floors: list[float] = []
    nights: tuple[list[NightRun], list[NightRun]] = ([], [])
    with _source(students) as source:
        for _ in range(runs + 1):
            with (
                tempfile.TemporaryDirectory(prefix="bench-") as home,
                _deployment(home, source) as deployment,
            ):
                for number, of_number in enumerate(nights):
                    listings = source.prepare(number)
                    floors.append(floor(listings, following=number == 0))
                    of_number.append(deployment.run(TODAY + timedelta(days=number)))
    cases, breakdowns = [], []
    for number, name in enumerate(NIGHTS):
        measured = nights[number][1:]
        label = f"{students:,} students, {name}"
        least = [floors[number]] * len(measured)
        peak = max(night.peak_mb for night in measured)
        reading = [night.parts["read"] for night in measured]
        cases += [
            compared(label, [n.seconds for n in measured], "latency floor", least, TARGET, ours_mb=peak),
            compared(f"{label}: reading alone", reading, "latency floor", least),
        ]
        parts = {p: statistics.median(n.parts[p] for n in measured) for p in measured[0].parts}
        breakdowns.append(Breakdown(label, parts))
    return cases, breakdowns


def floor(rows_of_listings: Mapping[str, int], *, following: bool) -> float:
    """Seconds that the pages' latency alone takes; see the module's docstring."""
    pages = [max(1, -(-rows // 10_000)) for name, rows in rows_of_listings.items() if name not in EARLY]
    spread = -(-sum(pages) // CONNECTIONS)
    return LATENCY * (1 + (max(*pages, spread) if following else spread))


class _Source:
    """The sandbox's process: serves one of two nights of the same district."""

    def __init__(self, pipe: Connection, facts: dict[str, Any]) -> None:
        self._pipe = pipe
        self.facts = facts

    def prepare(self, night: int) -> dict[str, int]:
        """Serve this night, with every page ready; rows per listing."""
        from pydantic import SecretStr

        from samegoal_pipelines.qmlativ.client import QmlativClient
        from samegoal_pipelines.qmlativ.connection import Connection as Access
        from samegoal_pipelines.qmlativ.reading import read_district
        from samegoal_pipelines.transforms.reads import rows_by_listing

        self._show(night, 0.0)
        facts = self.facts
        access = Access(
            facts["base_url"], facts["client_key"], SecretStr(facts["client_secret"]), allow_local=True
        )
        with QmlativClient(access) as client:
            read = read_district(client, ["raw_enrollments", "raw_students", "raw_parents"])
        self._show(night, LATENCY)
        return rows_by_listing(tables["Reads"] for tables in read.values())

    def _show(self, night: int, latency: float) -> None:
        self._pipe.send((night, latency))
        self._pipe.recv()


@contextmanager
def _source(students: int) -> Iterator[_Source]:
    pipe, theirs = _spawning.Pipe()
    process = _spawning.Process(target=_serve_source, args=(theirs, students), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _Source(pipe, pipe.recv())
    finally:
        pipe.close()
        process.join(10)


def _serve_source(pipe: Connection, students: int) -> None:
    from samegoal_pipelines.sandbox import Sandbox, serve

    served = Sandbox.generate(1, students, seed=1, today=TODAY, night=0)
    district = served.districts[0]
    later = Sandbox.generate(1, students, seed=1, today=TODAY, night=1).districts[0]
    tables = (dict(district.tables), dict(later.tables))
    with serve(served) as server:
        pipe.send(
            {
                "id": district.id,
                "name": district.name,
                "base_url": server.base_url(district),
                "client_key": district.client_key,
                "client_secret": district.client_secret,
            }
        )
        while True:
            try:
                night, latency = pipe.recv()
            except EOFError:
                return
            district.tables.update(tables[night])
            district.latency = latency
            pipe.send("done")


class _Deployment:
    """A process with an empty home, its Postgres up and the district registered."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def run(self, today: date) -> NightRun:
        """The night of this date."""
        self._pipe.send(today)
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return NightRun(*answer)


@contextmanager
def _deployment(home: str, source: _Source) -> Iterator[_Deployment]:
    pipe, theirs = _spawning.Pipe()
    process = _spawning.Process(target=_run_nights, args=(theirs, home, source.facts))
    process.start()
    theirs.close()
    try:
        pipe.recv()
        yield _Deployment(pipe)
    finally:
        data = Path(home, "postgres", "data").resolve()
        pipe.close()
        process.join(60)
        # For root, Postgres' data lies outside of the home, which only links to it.
        if process.exitcode is not None and not data.is_relative_to(Path(home).resolve()):
            shutil.rmtree(data.parent, ignore_errors=True)


def _run_nights(pipe: Connection, home: str, facts: dict[str, Any]) -> None:
    for name in [name for name in os.environ if name.startswith(("SAMEGOAL_", "DAGSTER_"))]:
        del os.environ[name]
    os.environ |= {"SAMEGOAL_HOME": home, "SAMEGOAL_ALLOW_LOCAL_SOURCES": "1"}
    from samegoal_pipelines.defs.instance import add_partition
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.operations.runs import run_night

    spent = _timed_parts()
    deployment = Deployment()
    deployment.registry.add(**facts)
    add_partition(deployment.settings, facts["id"])
    pipe.send("ready")
    while True:
        try:
            today = pipe.recv()
        except EOFError:
            return
        spent.clear()
        memory = Memory()
        started = time.perf_counter()
        outcome = run_night(deployment, facts["id"], today=today)
        seconds = time.perf_counter() - started
        if not outcome.published:
            pipe.send(outcome.reason)
            return
        parts = {part: spent[part] for part in PARTS}
        parts[REST] = seconds - sum(parts.values())
        pipe.send((seconds, parts, memory.peak_mb(), outcome.students))


def _timed_parts() -> dict[str, float]:
    """Seconds per part, added up as the functions of each part are called, one after the other."""
    spent: dict[str, float] = defaultdict(float)

    def timed(function: Any, part: str) -> Any:
        @functools.wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                spent[part] += time.perf_counter() - started

        return run

    for part, places in PARTS.items():
        for place in places:
            module, _, path = place.partition(":")
            owner: Any = importlib.import_module(module)
            *outer, name = path.split(".")
            for each in outer:
                owner = getattr(owner, each)
            setattr(owner, name, timed(getattr(owner, name), part))
    return spent
