"""A deployment of its own for each test: database, home, a served sandbox, registered districts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.operations.runs import NightOutcome, run_night, run_release
from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict, SandboxServer, serve

TODAY = date(2026, 10, 12)


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

    def run(self, district_id: str = "grand-bend", today: date = TODAY) -> NightOutcome:
        return run_night(self.deployment, district_id, today=today)

    def release(
        self, district_id: str = "grand-bend", today: date = TODAY, why: str = "the campus has closed"
    ) -> NightOutcome:
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
