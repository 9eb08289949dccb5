"""The command line as a person or a script meets it: exit status, standard output, standard error."""

import os
import socket
import subprocess
from datetime import date

import click
import pytest

from samegoal_pipelines.cli.commands import Day, Expiration
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines_tests.cli.asking import PROGRAM, run
from samegoal_pipelines_tests.mass_changes import enrolled

ADD = ["districts", "add", "a", "--name", "A", "--base-url", "https://a.example.org/API", "--client-key", "k"]


@pytest.fixture
def served(environment, source, district):
    """A district that is served and not registered yet, with the words of its registration."""
    made = district(enrolled(1))
    source.sandbox.districts.append(made)
    words = ["districts", "add", made.id, "--name", made.name, "--base-url", source.base_url(made)]
    return made, [*words, "--client-key", made.client_key]


def test_a_wrong_secret_fails_with_one_line_and_is_mended_by_rotating_it(served):
    made, add = served
    run(*add, stdin="another")

    synced = run("sync", "grand-bend").refusal
    assert synced.startswith("error: grand-bend: reading Qmlativ: ")
    assert "samegoal-pipelines districts rotate-secret grand-bend" in synced
    assert "Client Secret" in run("districts", "verify", "grand-bend").failed.stdout

    rotate = ["districts", "rotate-secret", "grand-bend", "--expires", "2028-08-01"]
    assert run(*rotate, stdin=made.client_secret).ok
    assert run("districts", "show", "grand-bend", "--json").json["expires"] == "2028-08-01"
    assert run("sync", "grand-bend").ok


def test_a_registration_is_changed_disabled_and_enabled_and_one_failure_stops_no_other_district(served):
    made, add = served
    run(*add, stdin=made.client_secret)

    assert run("districts", "set", "grand-bend", "--name", "Grand Bend").ok
    assert run("districts", "show", "grand-bend", "--json").json["name"] == "Grand Bend"

    assert run("districts", "disable", "grand-bend").ok
    assert "districts enable grand-bend" in run("sync", "grand-bend").refusal
    assert run("districts", "enable", "grand-bend").ok

    synced = run("sync", "nowhere", "grand-bend").failed
    assert "error: nowhere: " in synced.stderr
    assert "grand-bend: published 1 student" in synced.stderr


def test_an_empty_secret_is_refused(served):
    _, add = served
    for words in (add, ["districts", "set-secret", "grand-bend"]):
        refused = run(*words, "--client-secret-file", "-", stdin="  \n").refusal
        assert "Client Secret is blank" in refused
        run(*add)


def test_a_secret_from_a_file_of_windows_is_the_same_or_refused(served, tmp_path):
    _, add = served
    file = tmp_path / "secret.txt"
    file.write_bytes("made-up".encode("utf-16"))
    refused = run(*add, "--client-secret-file", str(file)).failed
    assert "the Client Secret contains a line break or a character that cannot occur in one" in refused.stderr
    file.write_bytes("made-up\r\n".encode("utf-8-sig"))
    assert run(*add, "--client-secret-file", str(file)).ok
    registry = Deployment().registry
    assert registry.credentials("grand-bend")[1].get_secret_value() == "made-up"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("sync", "Missing argument"),
        ("no-such-command", "No such command"),
        ("districts verify", "name the districts to verify, or use --all"),
        ("districts set grand-bend", "name something to change"),
        ("sync grand-bend --today 31/12/2026", "'31/12/2026' is no date; write it as 2026-10-12"),
        ("sync grand-bend --today 0206-10-12", "use a date from 2000-01-01 to 2199-12-31"),
        ("report --night 0206-10-12", "use a date from"),
        ("replay grand-bend", "Missing option '--from'"),
        ("replay grand-bend --from 0206-10-12", "use a date from"),
        ("explain grand-bend 1 --on 12/10/2026", "is no date"),
        ("changes grand-bend --since yesterday", "is no date"),
        ("pause alpha", "Missing option '--from'"),
        ("pause grand-bend --from 2026-10-12 --to 0206-10-12", "use a date from"),
        ("sandbox --today 9999-12-31", "use a date from"),
        ("sync grand-bend --release", "--release needs a reason, which is recorded: --why REASON"),
        ("sync grand-bend --release --why ", "--release needs a reason, which is recorded: --why REASON"),
        ("sync grand-bend --why moved", "--why goes with --release"),
        ("sync grand-bend --students", "--students goes with --dry-run"),
        ("sync grand-bend --dry-run --release --why right", "exclude each other"),
        ("districts set grand-bend --limit dropped_5", "NAME=VALUE"),
        ("districts set grand-bend --restricted-contacts yes", "'yes' is not one of"),
        ("erase-student grand-bend 1 --undo --yes", "--undo takes neither --yes nor --student-id"),
        ("contract --district grand-bend", "--district needs --check URL"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(environment, words, why):
    answer = run(*words.split(" "))
    assert (answer.returncode, answer.stdout) == (2, "")
    assert why in " ".join(answer.stderr.split())


def test_a_day_is_a_date_and_an_expiration_also_one_of_two_words_in_any_case():
    assert Day()("2028-02-29") == date(2028, 2, 29)
    typed = ("2027-08-01", "Never", "UNKNOWN")
    assert [*map(Expiration(), typed)] == [date(2027, 8, 1), "never", "unknown"]


@pytest.mark.parametrize("typed", ["0001-01-01", "9999-12-31", "2027-02-30", "", "08/01/2027", "soon"])
def test_what_is_no_expiration_is_answered_with_how_to_write_one(typed):
    said = "is no date; write it as 2027-08-01, or never or unknown"
    if typed.endswith(("01-01", "12-31")):
        said = "is out of range; use a date from 2000"
    with pytest.raises(click.BadParameter, match=f"{typed}.* {said}"):
        Expiration()(typed)


@pytest.mark.parametrize(
    ("words", "setting", "said"),
    [
        ("districts list", {"SAMEGOAL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "Postgres"),
        ("districts list", {"SAMEGOAL_ALLOW_LOCAL_SOURCES": "banana"}, "SAMEGOAL_ALLOW_LOCAL_SOURCES"),
        ("sync grand-bend", {"SAMEGOAL_LANDING_URL": "gs://bucket/landing"}, "LANDING_URL cannot be used"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_one_line(served, words, setting, said):
    made, add = served
    run(*add, stdin=made.client_secret)
    assert said in run(*words.split(), **setting).refusal


@pytest.mark.parametrize(
    ("unbuffered", "command"), [("", ["report", "--no-forecast"]), ("1", ["districts", "list", "--json"])]
)
def test_output_that_cannot_be_written_is_one_line(environment, unbuffered, command):
    answer = in_a_shell('exec "$0" "$@" >/dev/full', *command, PYTHONUNBUFFERED=unbuffered)
    told = "error: cannot write to standard output: No space left on device\n"
    assert (answer.returncode, answer.stderr) == (1, told)


def in_a_shell(script: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words, env = ["sh", "-c", script, PROGRAM, *command], {**os.environ, **environment}
    return subprocess.run(words, capture_output=True, text=True, timeout=600, check=False, env=env)


@pytest.mark.parametrize(
    ("closed", "command", "status", "message"),
    [
        (">&-", ["report", "--no-forecast"], 0, ""),
        ("<&- >&-", ADD, 0, ""),
        ("<&-", [*ADD, "--client-secret-file", "-"], 1, "error: a: the Client Secret is blank"),
        ("<&- >&- 2>&-", ["districts", "show", "nowhere"], 1, ""),
    ],
)
def test_a_closed_standard_stream_is_no_error(environment, closed, command, status, message):
    """A cron job that closes its output wants the night and no words; the exit status is as ever."""
    answer = in_a_shell(f'exec "$0" "$@" {closed}', *command)
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (status, "", bool(message))
    assert answer.stderr.startswith(message)


def test_a_reader_that_goes_early_is_no_error(environment):
    assert "rror" not in in_a_shell('("$0" "$@"; echo $? >&2) | true', "--help").stderr


def test_a_plain_http_source_is_refused_unless_allowed(served):
    made, add = served
    assert "https" in run(*add, stdin=made.client_secret, SAMEGOAL_ALLOW_LOCAL_SOURCES="").refusal


def test_database_url_prints_what_psql_takes(environment):
    """And `--debug` may stand anywhere."""
    assert run("database-url", "--debug").ok.stdout.startswith("postgresql://")


def test_postgres_status_shows_the_url_on_one_line(environment, tmp_path):
    status = run("postgres", "status", SAMEGOAL_DATABASE_URL="", SAMEGOAL_HOME=str(tmp_path)).ok
    (url,) = [line for line in status.lines if "postgresql://" in line]
    assert url.endswith("repeatable%5C%20read")


def test_a_port_that_is_taken_is_said_at_once(environment):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run("dev", "--port", str(port))
    assert answer.returncode == 1
    said = f"error: starting the UI: another program uses port {port}; choose another one with --port"
    assert said in answer.stderr
    assert "starts at" not in answer.stdout
