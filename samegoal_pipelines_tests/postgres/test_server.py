"""The embedded Postgres runs while a command uses it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psycopg2
import pytest

from samegoal_pipelines.postgres import server
from samegoal_pipelines.postgres.errors import PostgresNotStartedError
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.settings import plain_link
from samegoal_pipelines_tests.databases import ask

PROGRAM = """
import sys
from pathlib import Path
from samegoal_pipelines.postgres.server import EmbeddedPostgres
print(EmbeddedPostgres(Path(sys.argv[1])).acquire(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def prepared_home() -> Iterator[Path]:
    """A home whose data folder was made already: the slow part of a first start."""
    with tempfile.TemporaryDirectory(prefix="samegoal-home-") as home:
        with EmbeddedPostgres(Path(home)):
            pass
        yield Path(home)


@pytest.fixture
def home(prepared_home: Path) -> Iterator[Path]:
    """That home, with no server up before and after."""
    yield prepared_home
    EmbeddedPostgres(prepared_home).stop()


class Program:
    """A command that uses the server until it is told to end."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-c", PROGRAM, str(home)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()  # type: ignore[union-attr]

    def end(self) -> None:
        self.process.communicate(timeout=300)


def answers(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def test_the_server_stops_with_the_last_command_that_uses_it(home: Path) -> None:
    one, two = Program(home), Program(home)
    assert one.url == two.url
    one.end()
    assert answers(two.url)
    two.end()
    assert not answers(two.url)


def test_a_server_whose_starter_was_killed_is_found_used_and_stopped(home: Path) -> None:
    starter = Program(home)
    starter.process.kill()
    starter.end()
    assert answers(starter.url)
    with EmbeddedPostgres(home) as postgres:
        assert postgres.url == starter.url
    assert not answers(starter.url)


def test_a_server_that_was_killed_itself_is_started_again_with_its_data(home: Path) -> None:
    killed = Program(home)
    ask(killed.url, "create table kept_over_a_restart as select 1 as one")
    os.kill(int((EmbeddedPostgres(home).data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    with EmbeddedPostgres(home) as postgres:
        assert ask(postgres.url, "select * from kept_over_a_restart") == [(1,)]
    killed.end()


def test_a_process_id_that_someone_else_has_by_now_confuses_nobody(home: Path) -> None:
    """After a power failure postmaster.pid names whatever process has that number today."""
    data = EmbeddedPostgres(home).data
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
    with EmbeddedPostgres(home) as postgres:
        assert answers(postgres.url)


def test_commands_that_start_at_once_share_one_server(home: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        programs = list(threads.map(Program, [home] * 4))
    assert len({program.url for program in programs}) == 1
    for program in programs:
        program.end()
        assert program.process.returncode == 0
    assert not answers(programs[0].url)


def test_started_by_hand_it_stays_up_until_stopped_by_hand_and_nobody_uses_it(home: Path) -> None:
    postgres = EmbeddedPostgres(home)
    postgres.start()
    Program(home).end()
    assert answers(postgres.url)
    assert postgres.status() == ["up", "until `postgres stop`"]
    assert postgres.stop() == "stopped"
    assert not answers(postgres.url)
    assert postgres.stop() == "not running"

    postgres.start()
    user = Program(home)
    assert postgres.stop() == "in use"
    assert answers(user.url)
    user.end()
    assert not answers(user.url)


def test_a_forked_child_that_ends_leaves_the_server_to_its_parent(home: Path) -> None:
    with EmbeddedPostgres(home) as postgres:
        with EmbeddedPostgres(home):  # several uses in one process are one
            pass
        child = os.fork()
        if child == 0:
            postgres.__exit__()
            os._exit(0)
        os.waitpid(child, 0)
        assert answers(postgres.url)
        assert postgres.status() == ["up", "in use"]
    assert not answers(postgres.url)


def test_status_starts_nothing(tmp_path: Path) -> None:
    assert EmbeddedPostgres(tmp_path / "nothing-here").status() == []
    assert list(tmp_path.iterdir()) == []


def test_only_its_owner_can_reach_the_server_and_its_log_quotes_no_row(home: Path) -> None:
    with EmbeddedPostgres(home) as postgres:
        assert postgres.data.stat().st_mode & 0o777 == 0o700
        assert ask(postgres.url, "show listen_addresses") == [("",)]
        assert ask(postgres.url, "show fsync") == [("on",)]
        with pytest.raises(psycopg2.Error, match="Zebulon"):
            ask(postgres.url, "select 'Zebulon'::int")
        log = postgres.log.read_text()
    assert "Zebulon" not in log
    assert "ready to accept connections" in log


def test_a_path_too_long_for_a_socket_or_with_signs_of_a_shell_is_no_obstacle(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / 'a "$b`\\' / ("long" * 25)) as postgres:
        assert len(postgres.url) < 120
        assert answers(postgres.url)
    plain_link(postgres.data).unlink()


def test_settings_that_postgres_refuses_are_said_in_one_line(home: Path) -> None:
    with pytest.raises(
        PostgresNotStartedError,
        match=r"did not start: unrecognized configuration parameter \"shared_bufers\"; see .*server\.log",
    ) as caught:
        EmbeddedPostgres(home, {"shared_bufers": "1GB"}).acquire()
    assert "\n" not in str(caught.value)


def test_data_that_version_1_0_0_kept_elsewhere_is_still_found(home: Path, tmp_path: Path) -> None:
    """For an account without access to the home, the data folder was a link to /var/lib."""
    data, elsewhere = home / "postgres" / "data", tmp_path / "data"
    shutil.move(data, elsewhere)
    data.symlink_to(elsewhere)
    with EmbeddedPostgres(home) as postgres:
        assert answers(postgres.url)
        assert postgres.data == elsewhere
    data.unlink()
    shutil.move(elsewhere, data)


@pytest.fixture
def only_root_can_enter(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A checkout below /root: the installed package where only root may go, and no copy of it yet."""
    site = tmp_path_factory.mktemp("root") / "site-packages"
    (site / server.PACKAGE).mkdir(parents=True)
    installed = server.installed_programs().parent
    for source, target in (
        (installed, site / server.PACKAGE / "pginstall"),
        (installed.parent.with_name(f"{server.PACKAGE}.libs"), site / f"{server.PACKAGE}.libs"),
    ):
        shutil.copytree(source, target, symlinks=True, copy_function=os.link)
    site.chmod(0o700)
    package = SimpleNamespace(version="18", locate_file=lambda name: site / name)
    monkeypatch.setattr(server, "distribution", lambda _: package)
    with tempfile.TemporaryDirectory(prefix="samegoal-", dir="/var/tmp") as elsewhere:
        Path(elsewhere).chmod(0o755)
        monkeypatch.setattr(server, "PROGRAMS", Path(elsewhere) / "lib" / "samegoal-pipelines")
        yield site


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another account")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_root_starts_postgres_where_only_root_can_enter_and_opens_nothing(
    only_root_can_enter: Path, umask: int
) -> None:
    home = only_root_can_enter / "home"
    home.mkdir(mode=0o700)
    before = os.umask(umask)
    try:
        with EmbeddedPostgres(home) as postgres:
            assert answers(postgres.url)
            assert postgres.data.owner() != "root"
            with EmbeddedPostgres(only_root_can_enter / "another home"):
                assert len(list(server.PROGRAMS.iterdir())) == 1, "all homes share one copy of Postgres"
    finally:
        os.umask(before)
    assert [one.stat().st_mode & 0o777 for one in (only_root_can_enter, home, postgres.data)] == [0o700] * 3
