"""`samegoal-pipelines demo` on a machine with nothing: twice on the embedded Postgres, then with a hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_demo_publishes_three_districts_and_works_a_second_time(tmp_path):
    home = tmp_path / "home"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SAMEGOAL_", "DAGSTER_"))
    }
    program = Path(sys.executable).parent / "samegoal-pipelines"
    for held in (False, True):
        done = subprocess.run(
            [str(program), "demo", *(["--held"] if held else [])],
            capture_output=True,
            text=True,
            timeout=900,
            env={**environment, "SAMEGOAL_HOME": str(home)},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(" published ") == 3 - held, done.stdout
        assert done.stdout.count(" held ") == held, done.stdout
        assert " dev " in done.stdout

    status = subprocess.run(
        [str(program), "postgres", "status"],
        capture_output=True,
        text=True,
        timeout=600,
        env={**environment, "SAMEGOAL_HOME": str(home)},
        check=False,
    )
    assert "not running" in status.stdout or "down" in status.stdout
