"""A night on Dagster's own storage and queue, set up as Dagster's public Helm chart writes dagster.yaml."""

import dagster as dg
import pytest
import yaml

from samegoal_pipelines.defs.instance import add_partition, open_instance
from samegoal_pipelines.postgres.url import DatabaseURL
from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines_tests.defs.daemon_fixtures import Daemon, launch

pytestmark = pytest.mark.slow


def chart_instance(url: str) -> dict[str, object]:
    """What the chart writes for its values postgresql.* and dagsterDaemon.runCoordinator."""
    parts = DatabaseURL.parse(url).parts
    database = {
        "username": parts["user"],
        "password": {"env": "DAGSTER_PG_PASSWORD"},
        "hostname": "",
        "db_name": parts["dbname"],
        "port": int(parts["port"]),
        "params": {"host": parts["host"], "options": "-csearch_path=dagster"},
        "scheme": "postgresql+psycopg2",
    }

    def storage(part: str, name: str) -> dict[str, object]:
        module = f"dagster_postgres.{part}"
        return {"module": module, "class": name, "config": {"postgres_db": database}}

    return {
        "scheduler": {"module": "dagster._core.scheduler", "class": "DagsterDaemonScheduler"},
        "schedule_storage": storage("schedule_storage", "PostgresScheduleStorage"),
        "run_storage": storage("run_storage", "PostgresRunStorage"),
        "event_log_storage": storage("event_log", "PostgresEventLogStorage"),
        "run_coordinator": {
            "module": "dagster._core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"max_concurrent_runs": 2, "dequeue_interval_seconds": 1},
        },
        "run_monitoring": {"enabled": True, "start_timeout_seconds": 300},
        "telemetry": {"enabled": False},
    }


def test_a_night_on_stock_storage_and_queue_publishes_and_commands_use_the_same_instance(
    pipeline, deployment_url, tmp_path, monkeypatch
):
    home = tmp_path / "stock"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(chart_instance(deployment_url)))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "")
    monkeypatch.setenv("SAMEGOAL_STOCK_INSTANCE", "1")
    with pipeline.deployment.warehouse.begin() as connection:
        connection.exec_driver_sql("create schema if not exists dagster")
    (district,) = Sandbox.generate(districts=1, students=40, seed=5).districts
    pipeline.add(district)
    settings = type(pipeline.deployment.settings)()
    add_partition(settings, district.id)
    daemon = Daemon(tmp_path / "daemon.log")
    try:
        daemon.start()
        daemon.wait(daemon.is_up, "the daemon")
        with open_instance(settings) as instance:
            launch(instance, district.id)
            ours = dg.RunsFilter(tags={"dagster/partition": district.id})
            daemon.wait(lambda: instance.get_runs(ours)[0].is_finished, "the end of the run", 120)
            (run,) = instance.get_runs(ours)
            assert type(instance.run_storage).__name__ == "PostgresRunStorage"
    finally:
        daemon.stop()
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert len(pipeline.statuses(district.id)) > 30
