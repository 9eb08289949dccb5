"""What a run's process starts with: everything it needs, imported once, and nothing that it does not."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from samegoal_pipelines.defs.forkserver import PRELOADED
from samegoal_pipelines.postgres.server import EmbeddedPostgres

NO_PART_OF_A_RUN = {
    "dagster_graphql",
    "dagster_webserver",
    "jinja2",
    "matplotlib",
    "samegoal_pipelines.cli.main",
    "samegoal_pipelines.cli",
    "samegoal_pipelines.cli.demo",
    "samegoal_pipelines.sandbox",
    "samegoal_pipelines.cli.terminal",
    "starlette",
    "uvicorn",
}


def python(code: str, *arguments: str, folder: Path) -> str:
    """What a program of its own prints."""
    script = folder / "program.py"
    script.write_text(textwrap.dedent(code))
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "SAMEGOAL_HOME": str(folder / "home")},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_imports_neither_plots_nor_commands_nor_the_sandbox(tmp_path):
    imported = python(
        f"""
        import importlib, sys
        for name in {PRELOADED}:
            importlib.import_module(name)
        from samegoal_pipelines.definitions import build_defs
        build_defs().resolve_job_def("nightly_snapshot")
        print(*sys.modules)
        """,
        folder=tmp_path,
    )

    assert {"pandas", "pandera", "samegoal_pipelines.defs.published"} <= {*imported.split()}
    assert NO_PART_OF_A_RUN & {*imported.split()} == set()


STARTED_BY_DAGSTER = """
    import multiprocessing, os, sys

    def run(loaded, home):
        loaded.put("samegoal_pipelines.definitions" in sys.modules and os.getppid())
        from samegoal_pipelines.postgres.server import EmbeddedPostgres
        EmbeddedPostgres(home).acquire()
        sys.exit(3)

    if __name__ == "__main__":
        from pathlib import Path
        from samegoal_pipelines.definitions import defs
        defs()
        spawn = multiprocessing.get_context("spawn")  # as Dagster's code server does
        loaded = spawn.Queue()
        for _ in range(2):
            process = spawn.Process(target=run, args=(loaded, Path(sys.argv[1])))
            process.start()
            print(loaded.get(timeout=300) not in (False, os.getpid()))
            process.join()
            print(process.exitcode)
"""


@pytest.mark.slow
def test_runs_start_with_everything_imported_and_leave_postgres_when_they_end(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warm")
    for one in (folder, *folder.parents[:2]):
        one.chmod(0o711)  # run by root, Postgres works there as another account
    postgres = folder / "postgres"

    output = python(STARTED_BY_DAGSTER, str(postgres), folder=folder)

    assert output.split() == ["True", "3", "True", "3"]
    assert EmbeddedPostgres(postgres).status() == []
