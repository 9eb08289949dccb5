"""Districts' runs on other engines: Celery workers, Kubernetes pods, the instance of Dagster's Helm chart."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from samegoal_pipelines.defs.instance import add_partition
from samegoal_pipelines.postgres.url import DatabaseURL
from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines_tests.defs.daemon_fixtures import BINARIES, Daemon, Worker, launch

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture
def configure(environment, tmp_path, monkeypatch) -> Callable[[Mapping[str, Any]], None]:
    """Point DAGSTER_HOME at a folder with this instance file, before the deployment is opened."""

    def write(config: Mapping[str, Any]) -> None:
        home = tmp_path / "instance"
        home.mkdir()
        (home / "dagster.yaml").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("DAGSTER_HOME", str(home))

    return write


def instance_file(engine: str) -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / engine / "dagster.yaml").read_text())


def register(pipeline, *names: str) -> None:
    """Serve and register districts of these names."""
    for district, name in zip(
        Sandbox.generate(districts=len(names), students=40, seed=5).districts, names, strict=True
    ):
        district.id = name
        pipeline.add(district)
        add_partition(pipeline.deployment.settings, name)


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


# -- a real Celery worker, with Postgres as its broker --


@pytest.fixture
def engine(configure, tmp_path) -> Iterator[tuple[Daemon, Worker]]:
    """Daemon and worker on the instance file of `deploy/celery/`."""
    config = instance_file("celery")
    config["run_monitoring"]["poll_interval_seconds"] = 1
    configure(config)
    daemon, worker = Daemon(tmp_path / "daemon.log"), Worker(tmp_path / "worker.log")
    yield daemon, worker
    daemon.stop()
    worker.stop()


def test_runs_on_workers_publish_can_be_canceled_and_survive_a_killed_worker(
    engine, pipeline, source, instance
):
    daemon, worker = engine
    register(pipeline, "quiet", "killed", "canceled")
    slow = [source.faults.add(district=name, kind="list", hang=60.0) for name in ("canceled", "killed")]
    daemon.start()
    worker.start()
    daemon.wait(daemon.is_up, "the daemon")
    worker.wait(worker.is_up, "the worker")

    launch(instance, "quiet")
    daemon.wait(lambda: publications(pipeline, "quiet"), "the district that nothing happens to", 90)
    (run,) = runs_of(instance, "quiet")
    assert DAGSTER_CELERY_TASK_ID_TAG in run.tags, "a worker executed it"
    pipeline.rows(
        "insert into celery.celery_taskmeta (id, task_id, date_done) values (-1, 'old', '2020-01-01')"
    )

    def newest_is(district: str, status: str) -> bool:
        return [run.status.value for run in runs_of(instance, district)[:1]] == [status]

    for name in ("canceled", "killed"):
        launch(instance, name)
        daemon.wait(lambda name=name: newest_is(name, "STARTED"), f"the run of {name}", 90)
    (run,) = runs_of(instance, "canceled")
    assert instance.run_launcher.terminate(run.run_id)
    daemon.wait(lambda: newest_is("canceled", "CANCELED"), "the cancellation", 90)
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


# -- Dagster's Kubernetes launcher: a stub takes the Job, whose own command then runs here as in its pod --


@pytest.fixture
def jobs(configure, tmp_path) -> Iterator[list[dict[str, Any]]]:
    """The Jobs that the API server was asked for. A run starts at once."""
    jobs: list[dict[str, Any]] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path.startswith("/apis/batch/v1/namespaces/samegoal/jobs"), self.path
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            jobs.append(json.loads(sent))
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    Thread(target=server.serve_forever, daemon=True).start()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "stub",
        "clusters": [{"name": "stub", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "stub", "user": {}}],
        "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "stub"}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(kubeconfig))
    config = instance_file("kubernetes")
    config["run_launcher"]["config"] |= {"load_incluster_config": False, "kubeconfig_file": str(file)}
    at_once = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator", "config": {}}
    configure(config | {"run_coordinator": at_once})
    yield jobs
    server.shutdown()


def test_a_district_runs_in_a_pod_of_its_own_that_may_do_little(jobs, pipeline, instance):
    register(pipeline, "prairie")
    launch(instance, "prairie")

    (job,) = jobs
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["serviceAccountName"] == "samegoal-run"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}
    assert {one["mountPath"] for one in container["volumeMounts"]} >= {"/var/lib/samegoal"}
    assert {one["secretRef"]["name"] for one in container["envFrom"] if "secretRef" in one} == {"samegoal"}
    assert "postgresql" not in json.dumps(job), "the address of the database is in the secret, not in the Job"

    binary, *arguments = container["args"]
    done = subprocess.run(
        [str(BINARIES / binary), *arguments],
        env=os.environ
        | {one["name"]: one.get("value", "") for one in container["env"] if "value" in one}
        | {"DAGSTER_HOME": "/instance"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = runs_of(instance, "prairie")
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert len(pipeline.statuses("prairie")) > 30


@pytest.mark.parametrize("engine", ["celery", "kubernetes"])
def test_the_instance_files_of_the_engines_differ_only_where_they_say(engine):
    stock = yaml.safe_load((DEPLOY.parent / "samegoal_pipelines/instance/dagster.yaml").read_text())
    other = instance_file(engine)
    for name in ("run_launcher", "compute_logs", "local_artifact_storage"):
        other.pop(name)
    other["run_monitoring"].pop("poll_interval_seconds")
    for one in (stock, other):
        one["run_coordinator"]["config"].pop("max_concurrent_runs")
    assert other == stock


def test_runs_use_the_image_of_the_other_pods():
    (image,) = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["images"]
    launcher = instance_file("kubernetes")["run_launcher"]["config"]
    assert launcher["job_image"] == f"{image['newName']}:{image['newTag']}"


# -- Dagster's own storage and queue, as its public Helm chart sets them up --


def chart_instance(url: str) -> dict[str, Any]:
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

    def storage(part: str, name: str) -> dict[str, Any]:
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


@pytest.fixture
def of_the_chart(configure, deployment_url, tmp_path, monkeypatch) -> Iterator[Daemon]:
    """A daemon on such an instance."""
    configure(chart_instance(deployment_url))
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "")
    monkeypatch.setenv("SAMEGOAL_STOCK_INSTANCE", "1")
    daemon = Daemon(tmp_path / "daemon.log")
    yield daemon
    daemon.stop()


def test_a_night_on_stock_storage_and_queue_publishes_and_commands_use_the_same_instance(
    of_the_chart, pipeline, instance
):
    register(pipeline, "prairie")
    of_the_chart.start()
    of_the_chart.wait(of_the_chart.is_up, "the daemon")
    launch(instance, "prairie")
    of_the_chart.wait(lambda: runs_of(instance, "prairie")[0].is_finished, "the end of the run", 120)
    (run,) = runs_of(instance, "prairie")
    assert type(instance.run_storage).__name__ == "PostgresRunStorage"
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert len(pipeline.statuses("prairie")) > 30
