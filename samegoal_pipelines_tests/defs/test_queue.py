"""Dagster's run queue tags each run with its district's host, and opens one deployment for all of them."""

from types import SimpleNamespace

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from samegoal_pipelines.defs import instance as instance_module
from samegoal_pipelines.defs.district_run import PARTITION_TAG, SOURCE_HOST_TAG

REPOSITORY = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("pipeline"), "pipeline")
QUEUE = {"module": instance_module.__name__, "class": "SourceHostCoordinator"}


def test_runs_are_tagged_with_their_host_by_one_deployment(monkeypatch):
    opened = []

    class OneDeployment:
        def __init__(self):
            opened.append(self)
            self.registry = SimpleNamespace(get=lambda id: SimpleNamespace(source_host=f"{id}.example.org"))

    monkeypatch.setattr(instance_module, "Deployment", OneDeployment)
    with dg.instance_for_test(overrides={"run_coordinator": QUEUE}) as instance:
        for district_id in ("alpha", "beta", "gamma"):
            run = dg.DagsterRun(
                job_name="nightly_snapshot",
                tags={PARTITION_TAG: district_id},
                remote_job_origin=RemoteJobOrigin(REPOSITORY, "nightly_snapshot"),
            )
            instance.run_coordinator.submit_run(dg.SubmitRunContext(instance.add_run(run), workspace=None))
        queued = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    assert {run.tags[SOURCE_HOST_TAG] for run in queued} == {
        f"{district_id}.example.org" for district_id in ("alpha", "beta", "gamma")
    }
    assert len(opened) == 1
