"""A night in hostile surroundings (awkward paths, other programs' variables, an open umask), and the demo."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from samegoal_pipelines.cli.demo import _run_until_stopped
from samegoal_pipelines.sandbox import Sandbox, serve
from samegoal_pipelines.settings import plain_link
from samegoal_pipelines_tests.cli.asking import Answered, ended, run, start
from samegoal_pipelines_tests.literal_district import literal_district
from samegoal_pipelines_tests.mass_changes import ENTRIES, enrolled
from samegoal_pipelines_tests.pipeline import TODAY

HOSTILE = {
    "PGHOSTADDR": "192.0.2.1",
    "PGSERVICE": "elsewhere",
    "PGCHANNELBINDING": "require",
    "PGOPTIONS": "-c search_path=elsewhere",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCLIENTENCODING": "LATIN1",
    "PYTHONIOENCODING": "ascii",
    "SAMEGOAL_ALLOW_LOCAL_SOURCES": "1",
    "SAMEGOAL_LANDING_URL": "landed, [b] %2F é",
}


class Surroundings:
    said = ""
    """What the night wrote to standard error."""

    def __init__(self, folder: Path) -> None:
        self.home, self.foreign = folder / "a, b [c] %2F é'", folder / "another project"
        self.foreign.mkdir()
        (self.foreign / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        ours = ("SAMEGOAL_", "DAGSTER_", "PG")
        others = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        homes = {"SAMEGOAL_HOME": str(self.home), "DAGSTER_HOME": str(self.foreign)}
        self.environment = others | HOSTILE | homes

    def run(self, *words: str, stdin: Path | None = None, cwd: str = "/") -> Answered:
        with (stdin or Path(os.devnull)).open() as typed:
            return ended(start(*words, stdin=typed, env=self.environment, cwd=cwd, umask=0))


@pytest.fixture(scope="module")
def surroundings() -> Iterator[Surroundings]:
    """A published night of one district, whose name is Español."""
    folder = Path(tempfile.mkdtemp(prefix="samegoal-surroundings-"))
    made, secret = Surroundings(folder), folder / "secret"
    district = literal_district({ENTRIES: enrolled(1)}, today=TODAY)
    secret.write_text(district.client_secret)
    with serve(Sandbox([district])) as server:
        assert made.run("postgres", "start").ok
        try:
            words = ["districts", "add", district.id, "--name", "Español ISD"]
            words += ["--base-url", server.base_url(district), "--client-key", district.client_key]
            assert made.run(*words, stdin=secret).ok
            night = made.run("sync", district.id, "--today", TODAY.isoformat(), cwd=str(folder))
            made.said = night.ok.stderr
            yield made
        finally:
            stopped = made.run("postgres", "stop")
            for linked in (made.home, made.home / "postgres" / "data"):  # for Dagster and for Postgres
                plain_link(linked).unlink()
            shutil.rmtree(folder, ignore_errors=True)
    assert stopped.stdout == "Postgres is stopped\n", stopped.stderr


def test_what_has_landed_is_found_again_from_any_working_directory(surroundings):
    landed = list((surroundings.home / "landed, [b] %2F é").rglob("*.parquet"))
    assert len(landed) > 3
    again = surroundings.run("replay", "grand-bend", "--from", TODAY.isoformat(), "--dry-run", cwd="/")
    assert "no difference; nothing was changed" in again.ok.stderr


def test_runs_go_to_the_pipelines_own_dagster_and_a_note_says_so(surroundings):
    assert sorted(path.name for path in surroundings.foreign.iterdir()) == ["dagster.yaml"]
    assert (surroundings.home / "dagster.yaml").exists()
    assert "note: DAGSTER_HOME is not the pipeline's" in surroundings.said


def test_a_terminal_that_cannot_show_a_letter_gets_an_escape(surroundings):
    assert r"Espa\xf1ol ISD" in surroundings.run("districts", "list").ok.stdout


def test_an_open_umask_leaves_nothing_that_others_may_write(surroundings):
    paths = [path for path in (surroundings.home, *surroundings.home.rglob("*")) if not path.is_symlink()]
    assert [one for one in paths if one.stat().st_mode & stat.S_IWOTH and not one.is_socket()] == []
    assert stat.S_IMODE(surroundings.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((surroundings.home / "landed, [b] %2F é").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["SAMEGOAL_DATABASE_URL", "SAMEGOAL_LANDING_URL"])
def test_the_demo_refuses_a_configured_database_or_landing(tmp_path, name):
    value = "postgresql://sam:hidden@127.0.0.1:1/production"
    done = run("demo", **{"SAMEGOAL_HOME": str(tmp_path / "home"), name: value}).failed
    assert f"error: starting the demo: {name} set" in done.stderr
    assert "--here" in done.stderr
    assert "hidden" not in done.stderr
    assert not (tmp_path / "home").exists()


def test_the_ui_gets_a_short_folder_for_its_sockets(tmp_path, monkeypatch, capfd):
    long = tmp_path / ("long" * 25)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    _run_until_stopped([["python", "-c", "import os; print(os.environ.get('TMPDIR'))"]])
    assert capfd.readouterr().out == "/tmp\n"  # noqa: S108


@pytest.mark.slow
def test_the_demo_publishes_three_districts_and_works_a_second_time(tmp_path, monkeypatch):
    """On a machine with nothing, with smaller districts; `.ci/run` runs the real one."""
    for name in ("SAMEGOAL_DATABASE_URL", "SAMEGOAL_LANDING_URL", "SAMEGOAL_ALLOW_LOCAL_SOURCES"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("SAMEGOAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", "")
    smaller = "from samegoal_pipelines.cli import demo, main; demo.STUDENTS = [400, 300, 120]; main.main()"
    for held in (False, True):
        words = [sys.executable, "-c", smaller, "demo", *["--held"] * held]
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(" published ") == 3 - held, done.stdout
        assert done.stdout.count(" held ") == held, done.stdout
        assert " dev " in done.stdout

    assert "not running" in ended(start("postgres", "status")).ok.stdout
