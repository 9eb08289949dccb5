"""A scheduled night of many districts through the real daemon: who came out how, who was told, what it cost.

    python -m benchmarks.night --districts 300 --students 40 [--engine celery]

Not a ratio against a peer, and so not one of the cases of `python -m benchmarks`: it shows that the whole
holds together at this size. Everything is real but Qmlativ, a sandbox in this process: the daemon, its
queue of three runs at once and two per host, a process per run, the embedded Postgres, the webhook. Of the
districts, 3 have a wrong secret, 2 come with a tenth of their students, 1 is down, 1 is paused. It is two in
the morning where the districts are. When the night is over, all of them move east, to where it is seven: then
the alert and the report are due.

What it cost is told in CPU seconds per run, from the start of the daemon until all runs were over.

Exit status 1: something is not as it should be; it is printed.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import yaml

from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.settings import INSTANCE_FILES
from samegoal_pipelines_tests.defs.daemon_fixtures import Daemon, Worker, scheduled_runs, switch_on, ticks

WRONG, HELD, DOWN, PAUSED = 3, 2, 1, 1
CLOSED = "http://127.0.0.1:9"  # nobody listens there
MORNING = 7
OVER = {"SUCCESS", "FAILURE", "CANCELED"}


def main() -> int:
    """One night."""
    parser = argparse.ArgumentParser(prog="benchmarks.night", description=__doc__.splitlines()[0])
    parser.add_argument("--districts", type=int, default=300)
    parser.add_argument("--students", type=int, default=40, help="per district; at least 40")
    parser.add_argument("--engine", choices=["default", "celery"], default="default")
    parser.add_argument("--slots", type=int, default=2, help="runs at the same time, on one Qmlativ host")
    parser.add_argument("--processes", type=int, help="of Celery; default: slots")
    parser.add_argument(
        "--json", type=Path, help="add one line with what was measured, for benchmarks.scaling"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="samegoal-night-", ignore_cleanup_errors=True) as folder:
        with _webhook() as (url, messages):
            os.environ |= {
                "SAMEGOAL_HOME": f"{folder}/home",
                "SAMEGOAL_ALLOW_LOCAL_SOURCES": "1",
                "SAMEGOAL_ALERT_URLS": url,
                "SAMEGOAL_RETRY_SECONDS": "5",
                "DAGSTER_HOME": str(_instance(Path(folder), options.engine, options.slots)),
            }
            worker = (
                Worker(Path(folder) / "worker.log", options.processes or options.slots)
                if options.engine == "celery"
                else None
            )
            measured: dict[str, Any] = {"engine": options.engine, "slots": options.slots}
            status = _night(Path(folder), options.districts, options.students, messages, worker, measured)
            if options.json:
                with options.json.open("a") as file:
                    file.write(json.dumps(measured) + "\n")
            return status


def _instance(folder: Path, engine: str, slots: int) -> Path:
    """A DAGSTER_HOME with the engine's instance file, and so many runs at once."""
    file = INSTANCE_FILES / "dagster.yaml" if engine == "default" else Path("deploy/celery/dagster.yaml")
    config = yaml.safe_load(file.read_text())
    queue = config["run_coordinator"]["config"]
    queue["max_concurrent_runs"] = max(slots, 2) + (engine == "default")
    queue["tag_concurrency_limits"][0]["limit"] = slots
    home = folder / "instance"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    return home


def _night(
    folder: Path,
    count: int,
    students: int,
    messages: list[str],
    worker: Worker | None,
    measured: dict[str, Any],
) -> int:
    from samegoal_pipelines.defs.instance import add_partition, open_instance
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.districts.pauses import pause
    from samegoal_pipelines.operations.runs import run_night
    from samegoal_pipelines.reporting.nightly_status import read_board
    from samegoal_pipelines.sandbox import Sandbox, serve

    deployment = Deployment()
    zone, further_east = _zones()
    tonight = datetime.now(ZoneInfo(zone)).date()
    sandbox = Sandbox.generate(districts=count, students=students, seed=1, today=tonight)
    ids = sorted(one.id for one in sandbox.districts)
    places = iter(ids)
    wrong, held, down, paused = (list(islice(places, n)) for n in (WRONG, HELD, DOWN, PAUSED))
    with serve(sandbox) as server:
        began = time.monotonic()
        for one in sandbox.districts:
            deployment.registry.add(
                id=one.id,
                name=one.name,
                base_url=(CLOSED + one.base_path) if one.id in down else server.base_url(one),
                client_key=one.client_key,
                client_secret="wrong" if one.id in wrong else one.client_secret,
                timezone=zone,
            )
            add_partition(deployment.settings, one.id)
        _say(f"{count} districts registered in {time.monotonic() - began:.0f} s")
        for one in (one for one in sandbox.districts if one.id in held):
            assert run_night(deployment, one.id, today=tonight - timedelta(days=1)).published
            rows = one.rows("Enrollment/EntryWithdrawal")
            one.replace_rows("Enrollment/EntryWithdrawal", rows[: students // 10])
        for district_id in paused:
            pause(deployment.warehouse, district_id, paused_from=tonight, paused_to=tonight, set_by="night")

        daemon = Daemon(folder / "daemon.log")
        with open_instance(deployment.settings) as instance:
            switch_on(instance)
            if worker:
                worker.start()
                worker.wait(worker.is_up, "the worker")
            spent = Spent(daemon, _postmaster(deployment), worker)
            daemon.start()
            began = time.monotonic()
            try:
                daemon.wait(lambda: bool(scheduled_runs(instance)), "the first run")
                first = time.monotonic()
                due = count - PAUSED
                daemon.wait(lambda: len(scheduled_runs(instance)) >= due, "all runs", 7_200)
                submitted = time.monotonic()
                _wait_and_tell(
                    lambda: Counter(run.status.value for run in scheduled_runs(instance)), due, spent.note
                )
                over = time.monotonic()
                cpu = spent.seconds()
                measured |= _sizes(deployment, folder) | {
                    "districts": due,
                    "students": students,
                    "minutes": round((over - began) / 60, 2),
                    "cpu_seconds": {who: round(seconds, 1) for who, seconds in cpu.items()},
                    "connections": spent.connections,
                    "memory_megabytes": round(spent.memory),
                }
                for one in sandbox.districts:
                    deployment.registry.set(one.id, timezone=further_east)
                daemon.wait(lambda: bool(messages), "the alert", 300)
                reports = {"job_name": "make_nightly_report"}
                daemon.wait(lambda: _reported(instance, tonight, **reports), "the report", 300)
                time.sleep(75)  # a further check of the deadlines: no second message
                by_partition = Counter(run.tags["dagster/partition"] for run in scheduled_runs(instance))
                tick = ticks(instance)[-1]
            finally:
                daemon.stop()
                if worker:
                    worker.stop()
        board = read_board(deployment.warehouse, tonight, datetime.now(ZoneInfo(zone)))
        states = {one.district_id: one.state for one in board.districts}
        _say(f"totals: {board.totals}")
        _say(f"first run made after {first - began:.0f} s, all {due} after {submitted - began:.0f} s")
        _say(f"all over after {over - began:.0f} s; CPU seconds per run: {sum(cpu.values()) / due:.2f}")
        for who, seconds in cpu.most_common():
            _say(f"  {seconds / due:5.2f}  {who}")
        _say(f"memory, sandbox excluded: {spent.memory:.0f} MB; connections: {spent.connections}")
        _say(f"tick {tick.status.value}")
        _say(f"messages: {len(messages)}\n{messages[0] if messages else ''}")
        wanted = {one: "published" for one in ids}
        wanted |= dict.fromkeys(wrong + down, "failed") | dict.fromkeys(held, "held")
        wanted |= dict.fromkeys(paused, "paused")
        named = {one for one in ids if messages and f"({one})" in messages[0]}
        checks = {
            "every district came out as it should": states == wanted,
            "every district that is due has run exactly once": by_partition
            == Counter(one for one in ids if one not in paused),
            "one message was sent": len(messages) == 1,
            "it names exactly those in trouble": named == {*wrong, *held, *down},
        }
    for what, holds in checks.items():
        _say(f"{'yes' if holds else 'NO '}  {what}")
    deployment.warehouse.dispose()
    return 0 if all(checks.values()) else 1


def _sizes(deployment: Any, folder: Path) -> dict[str, int]:
    """Bytes of Dagster's storage, of the warehouse, and of the landed files."""
    sizes = """
        select n.nspname, sum(pg_total_relation_size(c.oid))::bigint from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        where c.relkind = 'r' and n.nspname in ('dagster', 'samegoal') group by 1
    """
    with deployment.warehouse.connect() as connection:
        found = {f"{schema}_bytes": size for schema, size in connection.exec_driver_sql(sizes)}
    landed = sum(file.stat().st_size for file in (folder / "home/landing").rglob("*") if file.is_file())
    return found | {"landing_bytes": landed}


def _zones() -> tuple[str, str]:
    """A time zone where it is night, and one to the east of it where it is past six on the same date."""
    hour = datetime.now(UTC).hour
    for night in (2, 3, 4):
        for ahead in (night - hour, night - hour + 24, night - hour - 24):
            if ahead >= -12 and ahead + MORNING - night <= 14:
                return f"Etc/GMT{-ahead:+d}", f"Etc/GMT{-(ahead + MORNING - night):+d}"
    raise AssertionError(hour)


def _wait_and_tell(states: Callable[[], Counter[str]], due: int, look: Callable[[], None]) -> None:
    """Until all runs are over; says how far they are now and then, and looks meanwhile."""
    reported = 0.0
    while True:
        look()
        found = states()
        over = sum(count for state, count in found.items() if state in OVER)
        if time.monotonic() - reported > 30 or over >= due:
            reported = time.monotonic()
            _say(f"  {over} of {due} over: {dict(found)}")
        if over >= due:
            return
        time.sleep(2)


class Spent:
    """CPU seconds by who spent them.

    To be noted often: the daemon replaces its code server every minute, and what the fork server of the old
    one and its runs have spent is nowhere to be read after that.
    """

    def __init__(self, daemon: Daemon, postmaster: psutil.Process, worker: Worker | None) -> None:
        self._daemon = daemon
        self._outside = {"Postgres": postmaster, "sandbox and this script": psutil.Process()}
        if worker:
            self._outside["workers"] = worker.family()[0]
        self._before = {who: _with_children(one) for who, one in self._outside.items()}
        self._by_process: dict[psutil.Process, tuple[str, float]] = {}
        self._next_memory = 0.0
        self.connections = 0
        """The most that were open at once."""
        self.memory = 0.0
        """The most, in MB: of daemon, code server, runs, workers and Postgres, shared pages counted once."""

    def note(self) -> None:
        """Look at every process."""
        postgres = self._outside["Postgres"]
        backends = [one for one in postgres.children() if _is_backend(one)]
        self.connections = max(self.connections, len(backends))
        self._note_memory()
        daemon, *others = self._daemon.family()
        self._by_process[daemon] = "daemon", _own(daemon)
        for one in others:
            with suppress(psutil.NoSuchProcess):
                command, parent = one.cmdline(), one.parent()
                if "grpc" in command:
                    self._by_process[one] = "code servers", _own(one)
                elif parent and "grpc" in parent.cmdline():
                    self._by_process[one] = "runs", _own(one) + _ended(one)

    def _note_memory(self) -> None:
        """Look at the memory, four times a minute: adding up the pages of a process takes a while."""
        if time.monotonic() < self._next_memory:
            return
        self._next_memory = time.monotonic() + 15
        outside = [one for one in self._outside.values() if one.pid != os.getpid()]
        families = self._daemon.family() + [
            process for one in outside for process in [one, *one.children(recursive=True)]
        ]
        pages = 0
        for process in set(families):
            with suppress(psutil.NoSuchProcess):
                pages += process.memory_full_info().pss
        self.memory = max(self.memory, pages / 1e6)

    def seconds(self) -> Counter[str]:
        """Until now."""
        self.note()
        total = Counter({who: _with_children(one) - self._before[who] for who, one in self._outside.items()})
        for who, spent in self._by_process.values():
            total[who] += spent
        return total


def _is_backend(process: psutil.Process) -> bool:
    """Whether it serves a connection: Postgres names its other processes after what they do."""
    with suppress(psutil.NoSuchProcess):
        return "samegoal" in " ".join(process.cmdline())
    return False


def _with_children(process: psutil.Process) -> float:
    """Its own and, of Postgres, those of its backends; of this script, without the daemon."""
    if process.pid == os.getpid():
        return _own(process)
    return _own(process) + _ended(process) + sum(map(_own, process.children()))


def _postmaster(deployment: Any) -> psutil.Process:
    """The embedded Postgres' first process."""
    note = EmbeddedPostgres(deployment.settings.home).data / "postmaster.pid"
    return psutil.Process(int(note.read_text().splitlines()[0]))


def _own(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def _ended(process: psutil.Process) -> float:
    """Of its children that are over."""
    spent = process.cpu_times()
    return float(spent.children_user + spent.children_system)


def _reported(instance: Any, night: Any, **which: Any) -> bool:
    import dagster as dg

    runs = instance.get_runs(dg.RunsFilter(tags={"samegoal/today": night.isoformat()}, **which))
    return any(run.status == dg.DagsterRunStatus.SUCCESS for run in runs)


@contextmanager
def _webhook() -> Iterator[tuple[str, list[str]]]:
    """Where alerts go, and what came."""
    messages: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["content-length"])))
            messages.append("\n".join(str(part) for part in content.values()))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"json://127.0.0.1:{server.server_port}/", messages
    finally:
        server.shutdown()


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
