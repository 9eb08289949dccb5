"""What `defs/dagster_internals.py` uses of Dagster beyond its public interface still works.

A failure says what broke and what depends on it. The tests of nights show the rest.
"""

import json
import os
import subprocess
import sys
import textwrap

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage

from samegoal_pipelines.defs.dagster_internals import (
    TICK_TAG,
    LeanEventLog,
    LeanRunStorage,
    LeanStorage,
    about_last_materialization,
    appear_in_timeline,
    location_of,
    run_of_task,
)
from samegoal_pipelines.postgres.databases import prepare_dagster_storage
from samegoal_pipelines.postgres.server import EmbeddedPostgres

NO_PART_OF_A_RUN = {
    "dagster_graphql",
    "dagster_webserver",
    "jinja2",
    "matplotlib",
    "samegoal_pipelines.cli",
    "samegoal_pipelines.sandbox",
    "starlette",
    "uvicorn",
}


@dg.op
def succeed(): ...


@dg.job(executor_def=dg.in_process_executor)
def trivial():
    succeed()


def test_a_check_can_say_which_materialization_it_is_about(instance):
    instance.report_runless_asset_event(dg.AssetMaterialization("published_snapshot", partition="alpha"))
    about = about_last_materialization(instance, "published_snapshot", "alpha")
    check = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("published_snapshot"),
        check_name="on_time",
        passed=True,
        metadata={},
        target_materialization_data=about,
    )
    assert check.target_materialization_data is about, (
        "AssetCheckEvaluation does not take a target materialization any more: a district's page shows "
        "neither the check on_time nor the worklist of a held night (alerts.py, checks.py)"
    )
    assert about_last_materialization(instance, "published_snapshot", "beta") is None


def test_a_run_in_this_process_can_be_labeled_for_the_timeline(instance):
    tags = appear_in_timeline(instance, "trivial")
    run = instance.get_run_by_id(trivial.execute_in_process(instance=instance, tags=tags).run_id)
    broken = (
        "execute_in_process does not create its run by instance.create_run_for_job any more, or origins have "
        "changed: the UI lists the runs of commands under no job (operations/runs.py)"
    )
    assert run.remote_job_origin, broken
    assert run.remote_job_origin.job_name == "trivial", broken
    assert location_of(run) == "samegoal_pipelines.definitions", broken
    assert tags == {".dagster/repository": "__repository__@samegoal_pipelines.definitions"}, broken


def test_a_schedule_tags_its_runs_with_their_tick():
    tick = ".dagster/scheduled_execution_time"
    assert tick == TICK_TAG, (
        "Dagster has renamed the tag of a schedule's tick: stored runs have the old name, and after the "
        "upgrade a tick that was cut short asks for its runs twice (nightly.py)"
    )


def test_a_celery_task_names_its_run():
    origin = dg.reconstructable(trivial).get_python_origin()
    task = {"execute_job_args_packed": pack_value(ExecuteRunArgs(origin, "the-run", None))}
    assert run_of_task(task) == "the-run", (
        "CeleryRunLauncher packs its tasks differently: a worker does not know which run's lease to hold "
        "(celery_worker.py)"
    )


@pytest.mark.parametrize(
    ("ours", "theirs"), [(LeanEventLog, PostgresEventLogStorage), (LeanRunStorage, PostgresRunStorage)]
)
def test_what_the_storage_overrides_is_still_there_to_be_overridden(ours, theirs):
    overridden = {name for name in vars(ours) if callable(getattr(ours, name)) and not name.startswith("_")}
    gone = {name for name in overridden if not hasattr(theirs, name)}
    assert not gone, (
        f"Dagster does not ask its storage by {gone} any more: each run takes twice the statements, or "
        "stores the events that nobody reads (LeanStorage; test_run_costs.py counts them)"
    )


def test_the_storage_keeps_its_connections(deployment_url):
    storage = LeanStorage(prepare_dagster_storage(deployment_url))
    for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
        engine = part._engine
        assert not isinstance(engine.pool, sa.NullPool), (
            "optimize_for_webserver does not make a pool any more: every statement connects, which is "
            "half of a small night (LeanStorage)"
        )
        engine.dispose()


STARTED_BY_DAGSTER = """
    import multiprocessing, os, sys
    from pathlib import Path

    def run(told, home):
        loaded = [*sys.modules]
        from samegoal_pipelines.definitions import build_defs
        build_defs().resolve_job_def("nightly_snapshot")
        from samegoal_pipelines.postgres.server import EmbeddedPostgres
        EmbeddedPostgres(home).acquire()
        told.put((os.getppid(), loaded, [*sys.modules]))
        sys.exit(3)

    if __name__ == "__main__":
        from samegoal_pipelines.definitions import defs
        defs()
        spawn = multiprocessing.get_context("spawn")  # as Dagster's code server does
        queue = spawn.Queue()
        for _ in range(2):
            process = spawn.Process(target=run, args=(queue, Path(sys.argv[1])))
            process.start()
            parent, loaded, needed = queue.get(timeout=300)
            process.join()
            print(json.dumps([parent != os.getpid(), process.exitcode, loaded, needed]))
"""


@pytest.mark.slow
def test_runs_start_with_everything_imported_and_leave_postgres_when_they_end(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warm")
    postgres, script = folder / "postgres", folder / "program.py"
    script.write_text("import json\n" + textwrap.dedent(STARTED_BY_DAGSTER))

    done = subprocess.run(
        [sys.executable, str(script), str(postgres)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "SAMEGOAL_HOME": str(folder / "home")},
        cwd=folder,
    )

    assert done.returncode == 0, done.stderr
    for forked, status, loaded, needed in map(json.loads, done.stdout.splitlines()):
        assert (forked, status) == (True, 3), (
            "`spawn` does not start processes by SpawnContext.Process any more, or Dagster's code server "
            "does not spawn: every run imports everything again (start_runs_warm)"
        )
        assert {"pandas", "pandera", "samegoal_pipelines.defs.published"} <= {*loaded}, (
            "the fork server does not import what a run needs: every run imports it again (PRELOADED)"
        )
        assert NO_PART_OF_A_RUN & {*needed} == set()
    assert len(done.stdout.splitlines()) == 2
    assert EmbeddedPostgres(postgres).status() == []
