"""Districts' runs on a real Celery worker, with Postgres as its broker."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from samegoal_pipelines.defs.instance import add_partition
from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines_tests.defs.daemon_fixtures import Daemon, Worker, launch

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def engine(environment, tmp_path, monkeypatch) -> Iterator[tuple[Daemon, Worker]]:
    """Daemon and worker on the instance file of `deploy/celery/`."""
    home = tmp_path / "instance"
    home.mkdir()
    config = yaml.safe_load((CHECKOUT / "deploy/celery/dagster.yaml").read_text())
    config["run_monitoring"]["poll_interval_seconds"] = 1
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    daemon, worker = Daemon(tmp_path / "daemon.log"), Worker(tmp_path / "worker.log")
    yield daemon, worker
    daemon.stop()
    worker.stop()


def runs_of(instance: dg.DagsterInstance, district: str) -> list[dg.DagsterRun]:
    """Newest first."""
    return list(instance.get_runs(dg.RunsFilter(tags={"dagster/partition": district})))


def publications(pipeline, district: str) -> int:
    """How often a run has published something of the district."""
    ((found,),) = pipeline.rows(
        "select count(*) from samegoal.snapshots where district_id = :id and published_at is not null",
        id=district,
    )
    return found


def test_runs_on_workers_publish_can_be_canceled_and_survive_a_killed_worker(
    engine, pipeline, source, instance
):
    daemon, worker = engine
    for district, name in zip(
        Sandbox.generate(districts=3, students=40, seed=5).districts,
        ["quiet", "killed", "canceled"],
        strict=True,
    ):
        district.id = name
        pipeline.add(district)
        add_partition(pipeline.deployment.settings, name)
    slow = [source.faults.add(district=name, kind="list", hang=60.0) for name in ("canceled", "killed")]
    daemon.start()
    worker.start()
    daemon.wait(daemon.is_up, "the daemon")
    worker.wait(worker.is_up, "the worker")

    launch(instance, "quiet")
    daemon.wait(lambda: publications(pipeline, "quiet"), "the district that nothing happens to", 90)
    (run,) = runs_of(instance, "quiet")
    assert DAGSTER_CELERY_TASK_ID_TAG in run.tags, "a worker executed it"
    old = "insert into celery.celery_taskmeta (id, task_id, date_done) values (-1, 'old', '2020-01-01')"
    with pipeline.deployment.warehouse.begin() as connection:
        connection.exec_driver_sql(old)

    for name in ("canceled", "killed"):
        launch(instance, name)
        daemon.wait(lambda name=name: started(instance, name), f"the run of {name}", 90)
    (run,) = runs_of(instance, "canceled")
    assert instance.run_launcher.terminate(run.run_id)
    daemon.wait(
        lambda: instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELED,
        "the cancellation",
        90,
    )
    assert publications(pipeline, "canceled") == 0
    assert len(runs_of(instance, "canceled")) == 1, "what a person canceled is not tried again"

    for one in slow:
        source.faults.remove(one)
    worker.kill()
    worker.start()
    daemon.wait(lambda: publications(pipeline, "killed"), "the district whose worker was killed", 90)
    daemon.wait(lambda: runs_of(instance, "killed")[0].is_finished, "the end of its second run")
    assert [run.status for run in runs_of(instance, "killed")] == [
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
    ]
    assert publications(pipeline, "killed") == 1
    assert not pipeline.rows("select 1 from celery.celery_taskmeta where task_id = 'old'"), "old results go"


def started(instance: dg.DagsterInstance, district: str) -> bool:
    runs = runs_of(instance, district)
    return bool(runs) and runs[0].status == dg.DagsterRunStatus.STARTED
