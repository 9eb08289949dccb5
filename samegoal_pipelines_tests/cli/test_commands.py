"""The command line as a person or a script meets it: exit status, standard output, standard error."""

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines_tests.cli.asking import PROGRAM, program, run
from samegoal_pipelines_tests.pipeline import TODAY

ENROLLED = [{"StudentID": 11, "StartDate": "2026-08-12"}]


@pytest.fixture
def served(environment, source, district):
    """A district that is served and not registered yet, with the words of its registration."""
    made = district(ENROLLED)
    source.sandbox.districts.append(made)
    words = ["districts", "add", made.id, "--name", made.name, "--base-url", source.base_url(made)]
    return made, [*words, "--client-key", made.client_key]


def test_a_district_is_registered_verified_and_published(served, tmp_path):
    made, add = served
    secret = tmp_path / "secret.txt"
    secret.write_text(made.client_secret + "\n")

    added = run(*add, "--client-secret-file", str(secret))
    assert (added.returncode, added.stderr) == (0, "")
    assert "grand-bend: registered" in added.stdout

    verified = run("districts", "verify", "grand-bend")
    assert verified.returncode == 0, verified.stdout
    assert "Grand Bend ISD" in verified.stdout

    synced = program("sync", "grand-bend", "--today", TODAY.isoformat())
    assert synced.returncode == 0, synced.stderr
    assert "grand-bend: published 1 student for 2026-10-12" in synced.stderr
    assert "enrolled" in synced.stdout

    report = json.loads(run("sync", "grand-bend", "--today", TODAY.isoformat(), "--json").stdout)
    assert (report[0]["state"], report[0]["students"]) == ("published", 1)


def test_the_secret_may_come_from_standard_input_and_is_never_shown(served):
    made, add = served
    run(*add, stdin=made.client_secret)

    for command in (
        ["districts", "list"],
        ["districts", "list", "--json"],
        ["districts", "show", "grand-bend"],
    ):
        shown = run(*command)
        assert shown.returncode == 0
        assert "grand-bend" in shown.stdout
        assert made.client_secret not in shown.stdout + shown.stderr


def test_a_wrong_secret_fails_with_one_line_and_status_1(served):
    _, add = served
    run(*add, stdin="another")

    synced = run("sync", "grand-bend")
    assert synced.returncode == 1
    assert synced.stderr.startswith("error: grand-bend: reading Qmlativ: ")
    assert "samegoal-pipelines districts rotate-secret grand-bend" in synced.stderr
    assert "Client Secret" in synced.stderr
    assert synced.stderr.count("\n") == 1
    assert synced.stdout == ""

    verified = run("districts", "verify", "grand-bend")
    assert verified.returncode == 1
    assert "Client Secret" in verified.stdout


def test_a_wrong_secret_is_mended_by_rotating_it(served):
    made, add = served
    run(*add, stdin="another")
    assert run("sync", "grand-bend").returncode == 1

    rotated = run(
        "districts", "rotate-secret", "grand-bend", "--expires", "2028-08-01", stdin=made.client_secret
    )
    assert rotated.returncode == 0, rotated.stderr
    assert json.loads(run("districts", "show", "grand-bend", "--json").stdout)["expires"] == "2028-08-01"
    assert run("sync", "grand-bend").returncode == 0


def test_a_registration_can_be_changed(served):
    made, add = served
    run(*add, stdin=made.client_secret)

    changed = run("districts", "set", "grand-bend", "--name", "Grand Bend", "--expires", "2027-08-01")
    assert changed.returncode == 0, changed.stderr
    shown = json.loads(run("districts", "show", "grand-bend", "--json").stdout)
    assert (shown["name"], shown["expires"]) == ("Grand Bend", "2027-08-01")
    assert run("districts", "set", "grand-bend").returncode == 2


def test_with_several_districts_each_is_tried_and_the_worst_counts(served):
    made, add = served
    run(*add, stdin=made.client_secret)

    synced = run("sync", "nowhere", "grand-bend")
    assert synced.returncode == 1
    assert "error: nowhere: " in synced.stderr
    assert "grand-bend: published 1 student" in synced.stderr


def test_a_disabled_district_says_how_to_enable_it(served):
    made, add = served
    run(*add, stdin=made.client_secret)
    assert run("districts", "disable", "grand-bend").returncode == 0

    synced = run("sync", "grand-bend")
    assert synced.returncode == 1
    assert "districts enable grand-bend" in synced.stderr

    assert run("districts", "enable", "grand-bend").returncode == 0
    assert run("sync", "grand-bend").returncode == 0


def test_an_empty_secret_is_refused(served):
    _, add = served
    run(*add)
    for words in (add, ["districts", "set-secret", "grand-bend"]):
        refused = run(*words, "--client-secret-file", "-", stdin="  \n")
        assert refused.returncode == 1
        assert "Client Secret is empty" in refused.stderr


def test_a_secret_from_a_file_of_windows_is_the_same_or_refused(served, tmp_path):
    _, add = served
    file = tmp_path / "secret.txt"
    file.write_bytes("made-up".encode("utf-16"))
    refused = run(*add, "--client-secret-file", str(file))
    assert refused.returncode == 1
    assert "the Client Secret contains a line break or a character that cannot occur in one" in refused.stderr
    file.write_bytes("made-up\r\n".encode("utf-8-sig"))
    assert run(*add, "--client-secret-file", str(file)).returncode == 0
    registry = Deployment().registry
    assert (
        registry.connection(registry.get("grand-bend"), allow_local=True).client_secret.get_secret_value()
        == "made-up"
    )


@pytest.mark.parametrize("district_id", ["../x", "Upper", "a b", "a|b", "';--", "a\nb", "-a"])
def test_an_id_that_is_no_id_is_refused(served, district_id):
    _, add = served
    added = run(*(word for word in add if word != "grand-bend"), "--", district_id, stdin="x")
    assert added.returncode in (1, 2)
    assert added.stderr
    assert "Traceback" not in added.stderr


def test_wrong_usage_exits_with_2(environment):
    assert run("sync").returncode == 2
    assert run("no-such-command").returncode == 2
    assert run("districts", "verify").returncode == 2
    assert run("sync", "grand-bend", "--today", "31/12/2026").returncode == 2


def test_a_database_that_cannot_be_reached_is_one_line(environment):
    answer = run("districts", "list", SAMEGOAL_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "Postgres" in answer.stderr


@pytest.mark.parametrize(
    ("unbuffered", "command"),
    [("", ["districts", "list"]), ("", ["report", "--no-forecast"]), ("1", ["districts", "list", "--json"])],
)
def test_output_that_cannot_be_written_is_one_line(environment, unbuffered, command):
    with Path("/dev/full").open("w") as full:
        answer = program(
            *command,
            capture_output=False,
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    told = "error: cannot write to standard output: No space left on device\n"
    assert (answer.returncode, answer.stderr) == (1, told)


ADD = ["districts", "add", "a", "--name", "A", "--base-url", "https://a.example.org/API", "--client-key", "k"]


@pytest.mark.parametrize(
    ("closed", "command", "status", "message"),
    [
        (">&-", ["districts", "list"], 0, ""),
        (">&-", ["report", "--no-forecast"], 0, ""),
        ("<&- >&-", ADD, 0, ""),
        ("<&-", [*ADD, "--client-secret-file", "-"], 1, "error: a: the Client Secret is empty"),
        ("<&- >&- 2>&-", ["districts", "show", "nowhere"], 1, ""),
        ("2>&-", ["sync"], 2, ""),
    ],
)
def test_a_standard_stream_that_is_closed_is_one_that_nobody_reads_or_writes(
    environment, closed, command, status, message
):
    """A cron job that closes its output wants the night and no words; the exit status is as ever."""
    answer = subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {closed}', PROGRAM, *command],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert answer.returncode == status
    assert answer.stderr.startswith(message)
    assert answer.stderr.count("\n") == bool(message)
    assert answer.stdout == ""


def test_a_reader_that_goes_early_is_no_error(environment):
    answer = subprocess.run(
        ["sh", "-c", '("$0" "$@"; echo $? >&2) | true', PROGRAM, "--help"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert "rror" not in answer.stderr


def test_debug_may_stand_anywhere_and_settings_that_cannot_be_used_are_named(environment):
    assert run("districts", "list", "--debug").returncode == 0
    odd = run("districts", "list", SAMEGOAL_ALLOW_LOCAL_SOURCES="banana")
    assert odd.returncode == 1
    assert "SAMEGOAL_ALLOW_LOCAL_SOURCES" in odd.stderr


def test_a_landing_without_its_package_is_named(served):
    made, add = served
    run(*add, stdin=made.client_secret)
    synced = run("sync", "grand-bend", SAMEGOAL_LANDING_URL="gs://bucket/landing")
    assert synced.returncode == 1
    assert "SAMEGOAL_LANDING_URL cannot be used" in synced.stderr


def test_a_plain_http_source_is_refused_unless_allowed(served):
    made, add = served
    added = run(*add, stdin=made.client_secret, SAMEGOAL_ALLOW_LOCAL_SOURCES="")
    assert added.returncode == 1
    assert "https" in added.stderr


def test_database_url_prints_what_psql_takes(environment):
    assert run("database-url").stdout.startswith("postgresql://")


def test_help_lists_every_command(environment):
    shown = run("--help").stdout
    for command in ("districts", "sync", "database-url", "postgres", "sandbox", "demo", "dev"):
        assert command in shown


@pytest.mark.parametrize(
    "words",
    [
        ["sync", "grand-bend", "--today"],
        ["report", "--night"],
        ["replay", "grand-bend", "--from"],
        ["pause", "grand-bend", "--from", "2026-10-12", "--to"],
        ["sandbox", "--today"],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("night", ["0001-01-01", "9999-12-31", "0206-10-12"])
def test_a_night_that_can_be_none_is_wrong_usage(words, night, ask):
    answer = ask(*words, night)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert f"{night} cannot be a night; use a date from 2000-01-01 to 2199-12-31" in answer.stderr


def test_a_leap_day_is_a_night(environment, ask):
    assert "nowhere: no such district" in ask("sync", "nowhere", "--today", "2028-02-29").stderr


def test_a_port_that_is_taken_is_said_at_once(environment):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run("dev", "--port", str(port))
    assert answer.returncode == 1
    assert (
        f"error: starting the UI: another program uses port {port}; choose another one with --port"
        in answer.stderr
    )
    assert "comes up" not in answer.stdout
