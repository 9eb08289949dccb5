"""Dagster's Kubernetes launcher, as `deploy/kubernetes/` sets it up, against a stub of the API server.

The stub takes the Job; the Job's own command then runs here, as its pod would run it.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
import yaml

from samegoal_pipelines.defs.instance import add_partition
from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines_tests.defs.daemon_fixtures import BINARIES, launch

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
INSTANCES = ["celery", "kubernetes"]
DIFFERENT = {"run_launcher", "compute_logs", "local_artifact_storage"}


@pytest.fixture
def cluster() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of the stub, and the Jobs that it was asked for."""
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
    yield f"http://127.0.0.1:{server.server_port}", jobs
    server.shutdown()


@pytest.fixture
def instance_home(cluster, environment, tmp_path, monkeypatch) -> Path:
    """DAGSTER_HOME with that file; the API server is the stub, and a run starts at once."""
    url, _ = cluster
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "stub",
        "clusters": [{"name": "stub", "cluster": {"server": url}}],
        "users": [{"name": "stub", "user": {}}],
        "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "stub"}}],
    }
    home = tmp_path / "instance"
    home.mkdir()
    (home / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    config = yaml.safe_load((DEPLOY / "kubernetes/dagster.yaml").read_text())
    config["run_launcher"]["config"] |= {
        "load_incluster_config": False,
        "kubeconfig_file": str(home / "kubeconfig"),
    }
    config["run_coordinator"] = {
        "module": "dagster._core.run_coordinator",
        "class": "DefaultRunCoordinator",
        "config": {},
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return home


def test_a_district_runs_in_a_pod_of_its_own_that_may_do_little(instance_home, pipeline, cluster, instance):
    (district,) = Sandbox.generate(districts=1, students=40, seed=5).districts
    pipeline.add(district)
    add_partition(pipeline.deployment.settings, district.id)
    launch(instance, district.id)

    ((job,),) = (cluster[1],)
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
    (run,) = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": district.id}))
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert len(pipeline.statuses(district.id)) > 30


@pytest.mark.parametrize("engine", INSTANCES)
def test_the_instance_files_of_the_engines_differ_only_where_they_say(engine):
    stock = yaml.safe_load((DEPLOY.parent / "samegoal_pipelines/instance/dagster.yaml").read_text())
    other = yaml.safe_load((DEPLOY / engine / "dagster.yaml").read_text())
    for name in DIFFERENT:
        other.pop(name)
    other["run_monitoring"].pop("poll_interval_seconds")
    for one in (stock, other):
        one["run_coordinator"]["config"].pop("max_concurrent_runs")
    assert other == stock


def test_runs_use_the_image_of_the_other_pods():
    folder = DEPLOY / "kubernetes"
    (image,) = yaml.safe_load((folder / "kustomization.yaml").read_text())["images"]
    launcher = yaml.safe_load((folder / "dagster.yaml").read_text())["run_launcher"]["config"]
    assert launcher["job_image"] == f"{image['newName']}:{image['newTag']}"
