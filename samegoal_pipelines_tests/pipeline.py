"""A deployment of its own for each test: database, home, a served sandbox, registered districts."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import pytest
from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from sqlalchemy import text

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.operations.runs import run_night
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict, SandboxServer, serve
from samegoal_pipelines.warehouse.snapshots import Snapshot
from samegoal_pipelines_tests.conftest import _admin
from samegoal_pipelines_tests.literal_district import literal_district

TODAY = date(2026, 10, 12)
T = TypeVar("T")
Prepared = Callable[[str, Callable[[], T]], T]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

# Runs do not copy their output into Dagster's compute logs, because that takes four processes per run.
LocalComputeLogManager.capture_logs = lambda _, key: nullcontext(CapturedLogContext(key))  # type: ignore[assignment, method-assign, return-value]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deployment_url: str) -> None:
    """The environment of a deployment that may read a sandbox on this machine."""
    monkeypatch.setenv("SAMEGOAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAMEGOAL_DATABASE_URL", deployment_url)
    monkeypatch.setenv("SAMEGOAL_ALLOW_LOCAL_SOURCES", "1")
    # Set, and empty: what the code under test puts there is undone with the test.
    monkeypatch.setenv("DAGSTER_HOME", "")


@pytest.fixture
def deployment(environment: None) -> Iterator[Deployment]:
    deployment = Deployment()
    yield deployment
    deployment.warehouse.dispose()


@pytest.fixture(scope="session")
def served() -> Iterator[SandboxServer]:
    """The sandbox that all tests of a worker share: a server takes a tenth of a second to end."""
    with serve(Sandbox([])) as server:
        yield server


@pytest.fixture
def source(served: SandboxServer) -> Iterator[SandboxServer]:
    """A sandbox Qmlativ without districts; tests put theirs in."""
    yield served
    for kept in (served.sandbox.districts, served.faults, served.traffic, served.tokens):
        kept.clear()


class Pipeline:
    """What a test does to the whole: put districts in, run nights, read what was published."""

    def __init__(self, deployment: Deployment, source: SandboxServer) -> None:
        self.deployment, self.source = deployment, source

    def add(self, *districts: SandboxDistrict, **registration: Any) -> None:
        for district in districts:
            self.source.sandbox.districts.append(district)
            self.deployment.registry.add(
                **{
                    "id": district.id,
                    "name": district.name,
                    "base_url": self.source.base_url(district),
                    "client_key": district.client_key,
                    "client_secret": district.client_secret,
                    "timezone": district.timezone,
                    **registration,
                }
            )

    def run(self, district_id: str = "grand-bend", today: date = TODAY) -> Snapshot:
        return run_night(self.deployment, district_id, today=today)

    def release(self, today: date, why: str = "a reason") -> Snapshot:
        return run_night(self.deployment, "grand-bend", why=why, today=today)

    def execute(
        self,
        job: str = "nightly_snapshot",
        *,
        config: dict[str, Any] | None = None,
        assets: Sequence[str] = (),
        today: date | str | None = TODAY,
        district_id: str | None = "grand-bend",
        instance: dg.DagsterInstance | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run a job as the UI or the schedule does, without a terminal that waits for it.

        Args:
            config: of its ops, by name.
            assets: run only these, as the UI can.
        """
        with nullcontext(instance) if instance else open_instance(self.deployment.settings) as opened:
            if district_id:
                opened.add_dynamic_partitions("district", [district_id])
            return (
                build_defs(self.deployment)
                .resolve_job_def(job)
                .execute_in_process(
                    instance=opened,
                    partition_key=district_id,
                    run_config={"ops": {op: {"config": of} for op, of in (config or {}).items()}, **QUIET},
                    asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
                    tags={"samegoal/today": str(today)} if today else {},
                    raise_on_error=False,
                )
            )

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement. What it writes is committed."""
        with self.deployment.warehouse.begin() as connection:
            found = connection.execute(text(sql), parameters)
            return [tuple(row) for row in found] if found.returns_rows else []

    def states(self, *columns: str) -> list[tuple[Any, ...]]:
        """The state, and further columns, of every attempt at a night, oldest first."""
        return self.rows(
            f"select {', '.join(('state', *columns))} from samegoal.snapshots order by snapshot_id"
        )

    def statuses(self, district_id: str = "grand-bend") -> dict[int, tuple[str, str]]:
        return {
            student: (status, reason)
            for student, status, reason in self.rows(
                "select student_id, status, reason from samegoal.student_status where district_id = :id",
                id=district_id,
            )
        }

    def published(self, district_id: str = "grand-bend") -> dict[str, list[tuple[Any, ...]]]:
        """Every current row of the district, table by table, in a stable order."""
        return {
            table: self.rows(
                f"select * from samegoal.{table} t where district_id = :id order by t::text", id=district_id
            )
            for table in ("student_status", "student_demographics", "parent_demographics", "student_details")
        }


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the run's page says of its only step that failed."""
    (failed,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failed.user_failure_data
    return failed.user_failure_data.description or ""


def log_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """Everything that a run has logged."""
    return "\n".join(entry.user_message for entry in instance.all_logs(run_id))


@pytest.fixture
def pipeline(deployment: Deployment, source: SandboxServer) -> Pipeline:
    return Pipeline(deployment, source)


@pytest.fixture
def district() -> Callable[..., SandboxDistrict]:
    """A district of literal enrollments, in a Texas autumn."""

    def make(enrollments: Sequence[dict[str, Any]], today: date = TODAY, **more: Any) -> SandboxDistrict:
        rows = {"Enrollment/EntryWithdrawal": enrollments, **more.pop("rows", {})}
        return literal_district(rows, today=today, **more)

    return make


# -- nights that many tests begin with --


_saved: dict[str, tuple[str, Path, Any]] = {}
"""By name: a database to copy from, the home, the districts that were served and what the tests need."""


@pytest.fixture
def prepared(
    pipeline: Pipeline, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Prepared[T]:
    """Run nights that several tests begin with once per session; later tests get copies of what they left.

    The preparation returns what the tests need of it, such as districts. It must use no name twice.
    """
    home, engine = pipeline.deployment.settings.home, pipeline.deployment.warehouse
    database = engine.url.database

    def once(name: str, prepare: Callable[[], T]) -> T:
        if name not in _saved:
            value = prepare()
            copy, kept = f"prepared_{len(_saved)}_{database}", tmp_path_factory.mktemp("prepared") / "home"
            _saved[name] = copy, kept, deepcopy((pipeline.source.sandbox.districts, value))
            engine.dispose()
            leave = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s"
            _admin(postgres, leave, database)  # Dagster's pools stay until they are collected
            _admin(postgres, f"create database {copy} template {database}")
            shutil.copytree(home, kept, symlinks=True)
            return value
        copy, kept, served = _saved[name]
        engine.dispose()
        _admin(postgres, f"drop database {database} with (force)")
        _admin(postgres, f"create database {database} template {copy}")
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(kept, home, symlinks=True)
        districts, value = deepcopy(served)
        pipeline.source.sandbox.districts.extend(districts)
        moved = "update samegoal.districts set base_url = :url where district_id = :id"
        for district in districts:  # each package's tests have a server of their own
            pipeline.rows(moved, url=pipeline.source.base_url(district), id=district.id)
        return value

    return once


@pytest.fixture
def good_night(
    pipeline: Pipeline, district: Callable[..., SandboxDistrict]
) -> Callable[..., SandboxDistrict]:
    """Serve and register a district of these enrollments, and publish its first night."""

    def night(enrollments: Sequence[dict[str, Any]], **more: Any) -> SandboxDistrict:
        made = district(enrollments, **more)
        pipeline.add(made)
        assert pipeline.run().published
        return made

    return night
