"""Postgres is restarted in the middle of a night, with the warehouse and with Dagster's own record in it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from samegoal_pipelines.defs import published
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines_tests.pipeline import TODAY, Pipeline

pytestmark = pytest.mark.slow

ENROLLED = [{"StudentID": 11, "StartDate": "2026-08-12"}]


@pytest.fixture
def server(monkeypatch) -> Iterator[EmbeddedPostgres]:
    """A Postgres of this test's own."""
    home = Path(tempfile.mkdtemp(prefix="samegoal-restart-"))
    monkeypatch.setenv("SAMEGOAL_HOME", str(home))
    monkeypatch.setenv("SAMEGOAL_DATABASE_URL", "")
    monkeypatch.setenv("SAMEGOAL_ALLOW_LOCAL_SOURCES", "1")
    monkeypatch.setenv("DAGSTER_HOME", "")
    with EmbeddedPostgres(home) as running:
        yield running
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def restart(server) -> Callable[..., None]:
    """Stop it, which cuts every connection, and start it again."""

    def now(*_: object) -> None:
        server._stop()
        server._ensure_running()

    return now


@pytest.mark.parametrize("moment", ["while reading", "before publishing"])
def test_the_night_is_published_all_the_same_and_its_run_is_green(
    server, restart, source, district, monkeypatch, moment
):
    deployment = Deployment()
    pipeline = Pipeline(deployment, source)
    pipeline.add(district(ENROLLED))
    restarts: list[str] = []

    def once(*_: object) -> None:
        if not restarts:
            restarts.append(moment)
            restart()

    if moment == "while reading":
        source.faults.add(object="Student/Student", kind="list", nth=1, run=once)
    else:
        publish = published.publish_or_hold
        monkeypatch.setattr(
            published, "publish_or_hold", lambda *args, **facts: once() or publish(*args, **facts)
        )

    night = pipeline.run()

    assert restarts == [moment]
    assert night.published, night.reason
    assert pipeline.rows("select snapshot_date, state from samegoal.snapshots") == [(TODAY, "published")]
    assert pipeline.rows("select status from dagster.runs") == [("SUCCESS",)]
    deployment.warehouse.dispose()
