"""A deployment of its own for each test: database, home, a served sandbox, registered districts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from sqlalchemy import text

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.operations.runs import run_night, run_release
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict, SandboxServer, serve
from samegoal_pipelines.warehouse.snapshots import Snapshot
from samegoal_pipelines_tests.conftest import _admin

TODAY = date(2026, 10, 12)
T = TypeVar("T")
Prepared = Callable[[str, Callable[[], T]], T]


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


@pytest.fixture
def source() -> Iterator[SandboxServer]:
    """A sandbox Qmlativ without districts; tests put theirs in."""
    with serve(Sandbox([])) as server:
        yield server


@contextmanager
def no_compute_logs() -> Iterator[None]:
    """Do not copy a run's output into Dagster's compute logs: that takes four processes per run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            LocalComputeLogManager, "capture_logs", lambda _, key: nullcontext(CapturedLogContext(key))
        )
        yield


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
                    "allow_local": True,
                    **registration,
                }
            )

    def run(self, district_id: str = "grand-bend", today: date = TODAY) -> Snapshot:
        with no_compute_logs():
            return run_night(self.deployment, district_id, today=today)

    def release(
        self, district_id: str = "grand-bend", today: date = TODAY, why: str = "the campus has closed"
    ) -> Snapshot:
        with no_compute_logs():
            return run_release(self.deployment, district_id, why=why, today=today)

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self.deployment.warehouse.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), parameters)]

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


@pytest.fixture
def pipeline(deployment: Deployment, source: SandboxServer) -> Pipeline:
    return Pipeline(deployment, source)


@pytest.fixture
def district() -> Callable[..., SandboxDistrict]:
    """A district of literal enrollments, in a Texas autumn."""

    def make(enrollments: Sequence[dict[str, Any]], today: date = TODAY, **more: Any) -> SandboxDistrict:
        rows = {"Enrollment/EntryWithdrawal": enrollments, **more.pop("rows", {})}
        return SandboxDistrict.from_rows(rows, today=today, **more)

    return make


# -- nights that many tests begin with --


@dataclass
class _Saved:
    """A deployment after some nights: a database to copy from, the home, and who was served."""

    database: str
    home: Path
    served: tuple[list[SandboxDistrict], Any]


@pytest.fixture(scope="session")
def saved() -> dict[str, _Saved]:
    """What has been prepared in this session, by name."""
    return {}


@pytest.fixture
def prepared(
    pipeline: Pipeline,
    postgres: EmbeddedPostgres,
    saved: dict[str, _Saved],
    tmp_path_factory: pytest.TempPathFactory,
) -> Prepared[T]:
    """Run nights that several tests begin with once per session; later tests get copies of what they left.

    The preparation returns what the tests need of it, such as districts. It must use no name twice.
    """
    home, engine = pipeline.deployment.settings.home, pipeline.deployment.warehouse

    def once(name: str, prepare: Callable[[], T]) -> T:
        if name not in saved:
            value = prepare()
            engine.dispose()
            kept = _Saved(
                f"prepared_{len(saved)}_{engine.url.database}",
                tmp_path_factory.mktemp("prepared") / "home",
                deepcopy((pipeline.source.sandbox.districts, value)),
            )
            leave = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s"
            _admin(postgres, leave, engine.url.database)  # Dagster's pools stay until they are collected
            _admin(postgres, f"create database {kept.database} template {engine.url.database}")
            shutil.copytree(home, kept.home, symlinks=True)
            saved[name] = kept
            return value
        kept = saved[name]
        engine.dispose()
        _admin(postgres, f"drop database {engine.url.database} with (force)")
        _admin(postgres, f"create database {engine.url.database} template {kept.database}")
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(kept.home, home, symlinks=True)
        districts, value = deepcopy(kept.served)
        pipeline.source.sandbox.districts.extend(districts)
        with engine.begin() as connection:
            for district in districts:
                connection.execute(
                    sa.text("update samegoal.districts set base_url = :url where district_id = :id"),
                    {"url": pipeline.source.base_url(district), "id": district.id},
                )
        return value

    return once


@pytest.fixture
def good_night(
    pipeline: Pipeline, district: Callable[..., SandboxDistrict], prepared: Prepared[SandboxDistrict]
) -> Callable[..., SandboxDistrict]:
    """Serve and register a district of these enrollments, and publish its first night."""

    def night(enrollments: Sequence[dict[str, Any]], **more: Any) -> SandboxDistrict:
        def publish() -> SandboxDistrict:
            made = district(enrollments, **more)
            pipeline.add(made)
            assert pipeline.run().published
            return made

        name = f"good night of {enrollments} {more}"
        if name not in _asked_for:  # most are asked for once, and a copy costs half a night
            _asked_for.add(name)
            return publish()
        return prepared(name, publish)

    return night


_asked_for: set[str] = set()
