"""`samegoal-pipelines demo` on a machine with nothing: twice on the embedded Postgres, then with a hold."""

import pytest

from samegoal_pipelines_tests.cli.asking import Forked

pytestmark = pytest.mark.slow


def test_the_demo_publishes_three_districts_and_works_a_second_time(tmp_path, monkeypatch):
    """With smaller districts; `.ci/run` runs the real one."""
    for name in ("SAMEGOAL_DATABASE_URL", "SAMEGOAL_LANDING_URL", "SAMEGOAL_ALLOW_LOCAL_SOURCES"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("SAMEGOAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", "")
    for held in (False, True):
        words = ["demo", *(["--held"] if held else [])]
        done = Forked(*words, patched={"samegoal_pipelines.cli.demo.STUDENTS": [400, 300, 120]}).answer().ok
        assert done.stdout.count(" published ") == 3 - held, done.stdout
        assert done.stdout.count(" held ") == held, done.stdout
        assert " dev " in done.stdout

    status = Forked("postgres", "status").answer()
    assert "not running" in status.stdout or "down" in status.stdout
