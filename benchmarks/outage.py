"""A night on Celery workers of another host that is cut off, killed, and loses its broker: exactly once each?

    python -m benchmarks.outage --districts 200 [--broker postgres]

The workers run in a network namespace of their own, with an empty disk. Postgres (Debian's), Redis, an S3
server (moto) and the sandbox Qmlativ are on this side of the wire. When a quarter of the districts are
published, the wire is cut for 40 seconds. At half, the worker is killed and started again. At three quarters,
Redis comes back empty. Then one district is held, released and replayed, with its landing on S3.

Needs root, `ip`, and Debian's packages `postgresql` and `redis-server`. Exit status 1: a district was not
published exactly once, or one of the other steps failed.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from samegoal_pipelines.defs.nightly import SCHEDULE_NAME
from samegoal_pipelines_tests.defs.daemon_fixtures import BINARIES, Daemon, Worker

SPACE, WIRE = "samegoal-worker", "samegoal0"
HERE, THERE = "10.213.7.1", "10.213.7.2"
CUT = 40  # seconds
OVER = {"SUCCESS", "FAILURE", "CANCELED"}


def main() -> int:
    """One night."""
    parser = argparse.ArgumentParser(prog="benchmarks.outage", description=__doc__.splitlines()[0])
    parser.add_argument("--districts", type=int, default=200)
    parser.add_argument("--students", type=int, default=40)
    parser.add_argument("--broker", choices=["redis", "postgres"], default="redis")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="samegoal-outage-")))
        folder.chmod(0o755)
        stack.enter_context(_two_hosts())
        os.environ |= {
            "SAMEGOAL_HOME": str(folder / "home"),
            "SAMEGOAL_DATABASE_URL": stack.enter_context(_postgres(folder)),
            "SAMEGOAL_LANDING_URL": stack.enter_context(_store(folder)),
            "SAMEGOAL_ALLOW_LOCAL_SOURCES": "1",
            "SAMEGOAL_RETRY_SECONDS": "5",
            "DAGSTER_HOME": str(_instance(folder)),
        }
        redis = None
        if options.broker == "redis":
            redis = Redis(folder)
            stack.callback(redis.stop)
            os.environ["SAMEGOAL_CELERY_BROKER_URL"] = f"redis://{HERE}:6379/0"
        return _night(folder, options.districts, options.students, redis)


def _night(folder: Path, count: int, students: int, redis: "Redis | None") -> int:
    import dagster as dg
    import sqlalchemy as sa
    from cryptography.fernet import Fernet

    from samegoal_pipelines.defs.instance import add_partition, open_instance
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.sandbox import Sandbox, serve

    os.environ["SAMEGOAL_SECRET_KEY"] = Fernet.generate_key().decode()
    deployment = Deployment()
    sandbox = Sandbox.generate(districts=count, students=students, seed=1, today=date.today())  # noqa: DTZ011
    with serve(sandbox, host=HERE) as server, open_instance(deployment.settings) as instance:
        for one in sandbox.districts:
            deployment.registry.add(
                id=one.id,
                name=one.name,
                base_url=server.base_url(one),
                client_key=one.client_key,
                client_secret=one.client_secret,
                timezone=one.timezone,
            )
            add_partition(deployment.settings, one.id)

        def published() -> Counter[str]:
            with deployment.warehouse.connect() as connection:
                rows = connection.execute(
                    sa.text("select district_id from samegoal.snapshots where published_at is not null")
                )
                return Counter(row[0] for row in rows)

        def runs() -> Counter[str]:
            found = instance.get_runs(dg.RunsFilter(job_name="nightly_snapshot"))
            return Counter(run.status.value for run in found)

        daemon, worker = Daemon(folder / "daemon.log"), RemoteWorker(folder / "worker.log", folder / "disk")
        try:
            worker.start()
            worker.wait(worker.is_up, "the worker")
            daemon.start()
            daemon.wait(daemon.is_up, "the daemon")
            _launch_all(instance, deployment, sandbox)
            began = time.monotonic()
            events: list[tuple[float, str, Callable[[], None]]] = [
                (0.25, f"the wire is cut for {CUT} s", _cut),
                (0.5, "the worker is killed", lambda: _restart(worker)),
            ]
            if redis:
                events.append((0.75, "Redis comes back empty", redis.restart))
            while True:
                done, found = len(published()), runs()
                if events and done >= events[0][0] * count:
                    _, what, happen = events.pop(0)
                    _say(f"{time.monotonic() - began:4.0f} s: {done} published, {dict(found)}: {what}")
                    happen()
                if done >= count and not set(found) - OVER:
                    break
                if time.monotonic() - began > 3600:
                    _say("an hour has passed")
                    break
                time.sleep(2)
            _say(f"{time.monotonic() - began:4.0f} s: {len(published())} published, {dict(runs())}")
            left = sorted(path.name for path in (folder / "disk").rglob("*") if path.is_file())
        finally:
            daemon.stop()
            worker.stop()
        times = Counter(published().values())
        after = _afterwards(sandbox)
    checks = {
        f"every one of {count} districts was published exactly once": times == {1: count},
        "the worker's disk has no file of a night": not [name for name in left if name.endswith(".parquet")],
        **after,
    }
    for what, holds in checks.items():
        _say(f"{'yes' if holds else 'NO '}  {what}")
    if times != {1: count}:
        _say(f"     published so many times: {dict(times)}")
    deployment.warehouse.dispose()
    return 0 if all(checks.values()) else 1


def _launch_all(instance: Any, deployment: Any, sandbox: Any) -> None:
    """The schedule's runs of this night: its tick submits what is due."""
    from samegoal_pipelines_tests.defs.daemon_fixtures import switch_on, zone_at

    for one in sandbox.districts:
        deployment.registry.set(one.id, timezone=zone_at(2))
    switch_on(instance)
    _say(f"{SCHEDULE_NAME} is on")


def _afterwards(sandbox: Any) -> dict[str, bool]:
    """Hold, release, replay, report and prune, with the landing on S3."""
    district = sandbox.districts[0]
    rows = district.rows("Enrollment/EntryWithdrawal")
    district.replace_rows("Enrollment/EntryWithdrawal", rows[: len(rows) // 3])

    def status(*command: str) -> int:
        return subprocess.run([str(BINARIES / "samegoal-pipelines"), *command], check=False).returncode

    return {
        "a night that loses two thirds is held": status("sync", district.id) == 3,
        "the held rows are released": status("sync", district.id, "--release", "--why", "trying") == 0,
        "the night is replayed from S3": status("replay", district.id, "--from", "2020-01-01") == 0,
        "a report is written": status("report", "--html", "/dev/null") in (0, 1),
        "landed nights are pruned": subprocess.run(
            [str(BINARIES / "dagster"), "job", "execute", "-j", "prune_landing", "-m",
             "samegoal_pipelines.definitions"], check=False, capture_output=True,
        ).returncode == 0,
    }  # fmt: skip


class RemoteWorker(Worker):
    """A worker behind the wire, with its own empty disk."""

    def __init__(self, log: Path, disk: Path) -> None:
        super().__init__(log)
        disk.mkdir()
        self._disk = disk

    def start(self) -> None:
        """Start it in its namespace."""
        command = ["ip", "netns", "exec", SPACE, str(BINARIES / "celery")]
        command += ["--app", "samegoal_pipelines.defs.celery_worker", "worker"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--queues", "dagster", "--concurrency", "2", "--loglevel", "INFO"],
                cwd=self._disk,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"SAMEGOAL_HOME": str(self._disk / "home")},
            )


def _restart(worker: RemoteWorker) -> None:
    worker.kill()
    worker.start()


def _cut() -> None:
    _ip("link", "set", WIRE, "down")
    time.sleep(CUT)
    _ip("link", "set", WIRE, "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@contextmanager
def _two_hosts() -> Iterator[None]:
    """Connect this host and a network namespace by a wire."""
    with suppress(subprocess.CalledProcessError):
        subprocess.run(["ip", "netns", "del", SPACE], check=True, capture_output=True)
    _ip("netns", "add", SPACE)
    try:
        _ip("link", "add", WIRE, "type", "veth", "peer", "name", "eth0", "netns", SPACE)
        _ip("addr", "add", f"{HERE}/30", "dev", WIRE)
        _ip("link", "set", WIRE, "up")
        _ip("-n", SPACE, "addr", "add", f"{THERE}/30", "dev", "eth0")
        _ip("-n", SPACE, "link", "set", "eth0", "up")
        _ip("-n", SPACE, "link", "set", "lo", "up")
        yield
    finally:
        _ip("netns", "del", SPACE)


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """Debian's Postgres, which listens on this side of the wire."""
    (binaries,) = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
    data = folder / "postgres"
    data.mkdir()
    shutil.chown(data, "postgres")

    def run(*command: str) -> None:
        subprocess.run(["runuser", "-u", "postgres", "--", *command], check=True, stdout=subprocess.DEVNULL)

    run(*f"{binaries}/initdb -D {data}/db -U samegoal -E UTF8 --locale=C.UTF-8 -A trust".split())
    with (data / "db/pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {HERE}/30 trust\n")
    options = f"-c listen_addresses={HERE} -k {data} -c max_connections=100"
    run(f"{binaries}/pg_ctl", "-D", f"{data}/db", "-w", "-l", f"{data}/log", "-o", options, "start")
    try:
        yield f"postgresql://samegoal@{HERE}/postgres"
    finally:
        run(f"{binaries}/pg_ctl", "-D", f"{data}/db", "-m", "immediate", "stop")


class Redis:
    """The broker. It keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._start()

    def _start(self) -> None:
        command = ["redis-server", "--bind", HERE, "--protected-mode", "no", "--save", ""]
        self._process = subprocess.Popen([*command, "--dir", str(self._folder)], stdout=subprocess.DEVNULL)

    def restart(self) -> None:
        """Lose everything."""
        self.stop()
        time.sleep(5)
        self._start()

    def stop(self) -> None:
        """Without a word."""
        self._process.kill()
        self._process.wait()


@contextmanager
def _store(folder: Path) -> Iterator[str]:
    """An S3 server with a bucket; returns the landing's URL and sets the credentials."""
    log = (folder / "s3.log").open("ab")
    server = subprocess.Popen(
        [str(BINARIES / "moto_server"), "-H", HERE, "-p", "5555"], stdout=log, stderr=subprocess.STDOUT
    )
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "trying",
        "AWS_SECRET_ACCESS_KEY": "trying",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{HERE}:5555",
    }
    try:
        import s3fs

        for _ in range(60):
            with suppress(OSError):
                s3fs.S3FileSystem(skip_instance_cache=True).mkdir("landing")
                break
            time.sleep(0.5)
        yield "s3://landing"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def _instance(folder: Path) -> Path:
    """`deploy/celery/dagster.yaml`, with two slots for the one host that is read."""
    config = yaml.safe_load(Path("deploy/celery/dagster.yaml").read_text())
    config["run_coordinator"]["config"]["max_concurrent_runs"] = 2
    home = folder / "instance"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    return home


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
