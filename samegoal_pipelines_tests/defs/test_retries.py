"""A night that stumbles over something that passes is tried again, or goes on; nothing else is.

The runs are as the daemon would start them, without a terminal that waits for them, unless a test says so.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from samegoal_pipelines.cli.nights import line
from samegoal_pipelines.defs import published
from samegoal_pipelines.defs.district_run import DistrictRun
from samegoal_pipelines.defs.errors import LONGEST_WAIT, as_dagster_failure, wait_after
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.qmlativ.connection import RetryPolicy
from samegoal_pipelines.qmlativ.errors import (
    AccessRefusedError,
    InvalidCredentialsError,
    SourceUnavailableError,
)
from samegoal_pipelines.settings import Settings
from samegoal_pipelines.warehouse.errors import WarehouseUnavailableError
from samegoal_pipelines_tests.pipeline import TODAY, Pipeline, failure

TWO = [{"StudentID": 11, "StartDate": "2026-08-12"}, {"StudentID": 12, "StartDate": "2026-08-12"}]
ATTEMPTS = 5  # requests that the client makes before it gives a page up


@pytest.fixture
def scheduled_night(pipeline, district, monkeypatch) -> Callable[..., dg.ExecuteInProcessResult]:
    """A district's night without a terminal, with shorter waits."""
    monkeypatch.setenv("SAMEGOAL_RETRY_SECONDS", "0.05")
    pipeline.deployment.settings = Settings()
    policy = RetryPolicy(attempts=ATTEMPTS, backoff=0.001, longest_wait=0.01)
    registry = pipeline.deployment.registry
    monkeypatch.setattr(registry, "connection", partial(registry.connection, retry_policy=policy))
    pipeline.add(district(TWO))
    return pipeline.execute


def attempts(pipeline) -> list[tuple]:
    return pipeline.states("snapshot_date", "held_reason")


def events(result: dg.ExecuteInProcessResult, kind: str) -> list[dg.DagsterEvent]:
    return [event for event in result.all_events if event.event_type_value == kind]


def before_publishing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Act at the first attempt to publish."""
    publish, acted = published.publish_or_hold, []

    def act_once(*arguments, **facts):
        if not acted:
            acted.append(True)
            act()
        return publish(*arguments, **facts)

    monkeypatch.setattr(published, "publish_or_hold", act_once)


def test_a_night_that_meets_503_is_tried_again_and_published_as_one_attempt(
    pipeline, source, scheduled_night, instance
):
    storm = source.faults.add(object="Student/Student", status=503, times=ATTEMPTS)
    meanwhile: list[tuple] = []
    source.faults.add(kind="metadata", nth=2, run=lambda _: meanwhile.extend(attempts(pipeline)))

    result = scheduled_night()

    assert result.success
    ((state, _, reason),) = meanwhile  # what a person can read while it waits
    assert (state, "HTTP 503" in reason, "this run tries it again after" in reason) == ("failed", True, True)
    assert storm.applied == ATTEMPTS
    assert attempts(pipeline) == [("published", TODAY, None)]
    assert instance.get_run_by_id(result.run_id).tags["samegoal/outcome"] == "published"
    assert set(pipeline.statuses()) == {11, 12}
    (again,) = events(result, "STEP_UP_FOR_RETRY")
    message = str(again.step_retry_data.error)
    assert "grand-bend: reading Qmlativ: Student/Student" in message
    assert "this run tries it again after 0 seconds" in message


def test_a_source_that_stays_down_is_tried_three_times_and_the_last_reason_stands(
    pipeline, source, scheduled_night
):
    storm = source.faults.add(kind="metadata", status=503)

    result = scheduled_night()

    assert not result.success
    assert storm.applied == 3 * ATTEMPTS
    assert len(events(result, "STEP_UP_FOR_RETRY")) == 2
    ((state, _, reason),) = attempts(pipeline)
    assert state == "failed"
    assert "HTTP 503" in reason
    assert "tries it again" not in reason
    assert failure(result) == (
        f"grand-bend: {reason}; try again later; to run the night again: samegoal-pipelines sync grand-bend"
    )


def test_a_publish_that_postgres_breaks_off_is_tried_again_without_reading_again(
    pipeline, source, scheduled_night, monkeypatch
):
    def break_off() -> None:
        raise WarehouseUnavailableError("publishing: Postgres cancelled the work or is shutting down")

    before_publishing(monkeypatch, break_off)

    assert scheduled_night().success

    assert attempts(pipeline) == [("published", TODAY, None)]
    assert len(source.traffic.requests(kind="metadata")) == 1


def test_at_a_terminal_nothing_is_tried_again(pipeline, source, scheduled_night):
    storm = source.faults.add(kind="metadata", status=503)

    night = pipeline.run()

    assert storm.applied == ATTEMPTS
    assert "HTTP 503" in line(night)
    assert "tries it again" not in line(night)


def test_the_waits_grow_are_spread_and_come_to_an_end(deployment, instance):
    down = SourceUnavailableError("Qmlativ is unavailable (HTTP 503)")
    runs = [DistrictRun(deployment, dg.DagsterRun("nightly_snapshot"), instance) for _ in range(200)]
    waits = [[wait_after(down, run.waits) for _ in range(3)] for run in runs]
    assert all(45 <= first <= 75 and 135 <= second <= 225 and third is None for first, second, third in waits)
    assert len({first for first, _, _ in waits}) > 100


def test_what_qmlativ_asks_to_wait_is_waited_for_unless_it_is_too_long():
    def wait_if_asked_for(seconds: float) -> float | None:
        error = SourceUnavailableError("Qmlativ is unavailable (HTTP 503)")
        error.retry_after = seconds
        return wait_after(error, iter([60]))

    assert wait_if_asked_for(200) == 200
    assert wait_if_asked_for(1) >= 45
    assert wait_if_asked_for(LONGEST_WAIT + 1) is None


@pytest.mark.parametrize("error", [InvalidCredentialsError("no"), AccessRefusedError("not granted")])
def test_what_does_not_pass_by_itself_has_no_wait_and_costs_none(error):
    waits = iter([60])
    assert wait_after(error, waits) is None
    assert wait_after(SourceUnavailableError("down"), waits) is not None


# -- Postgres is restarted in the middle, with the warehouse and with Dagster's own record in it --


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


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["while reading", "before publishing"])
def test_the_night_is_published_all_the_same_and_its_run_is_green(
    server, source, district, monkeypatch, moment
):
    """At a terminal."""
    deployment = Deployment()
    pipeline = Pipeline(deployment, source)
    pipeline.add(district(TWO))
    restarts: list[str] = []

    def restart(*_: object) -> None:
        restarts.append(moment)
        server._stop()  # cuts every connection
        server._ensure_running()

    if moment == "while reading":
        source.faults.add(object="Student/Student", kind="list", nth=1, run=restart)
    else:
        before_publishing(monkeypatch, restart)

    night = pipeline.run()

    assert restarts == [moment]
    assert night.published, night.reason
    assert pipeline.rows("select snapshot_date, state from samegoal.snapshots") == [(TODAY, "published")]
    assert pipeline.rows("select status from dagster.runs") == [("SUCCESS",)]
    deployment.warehouse.dispose()


def test_a_step_that_may_follow_a_publish_does_not_say_that_last_nights_snapshot_stays():
    run = SimpleNamespace(district_id="grand-bend", run_id="a run")
    with pytest.raises(dg.Failure) as failed, as_dagster_failure("parquet_copy", run):
        raise OSError("the text may quote a row")
    assert failed.value.description.startswith(
        "grand-bend: parquet_copy: unforeseen OSError at test_retries.py"
    )
    assert "stays" not in failed.value.description
    assert "quote" not in failed.value.description
