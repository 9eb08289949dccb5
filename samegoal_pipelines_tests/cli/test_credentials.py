"""A district's credentials at the command line: registered without a secret, set, shown and revealed."""

import os
import pty
import subprocess
from contextlib import suppress
from hashlib import sha256

from samegoal_pipelines.cli.access import read_secret
from samegoal_pipelines.operations.runs import execute
from samegoal_pipelines_tests.cli.asking import PROGRAM, run
from samegoal_pipelines_tests.warehouse.factories import rows

ADD = ["districts", "add", "a", "--name", "A", "--base-url", "https://a.example.org", "--client-key", "k1"]


def at_a_terminal(*arguments: str, typed: str = "") -> tuple[int, str]:
    """Exit status and everything that a person at a terminal sees, who types at the prompt."""
    ours, theirs = pty.openpty()
    command = [PROGRAM, *arguments]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as program:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # Linux: the other end is closed
            while some := os.read(ours, 4096):
                seen += some
                if typed and b"Client Secret" in seen:  # what is typed before the prompt is dropped
                    os.write(ours, typed.encode())
                    typed = ""
        os.close(ours)
    return program.returncode, seen.decode().replace("\r\n", "\n")


def test_a_district_without_a_secret_awaits_it_until_it_is_set(environment):
    added = run(*ADD, "--access-name", "SameGoal 2026", "--contact", "pat@example.org")
    told = "registered, awaiting secret; once SameGoal's technical team has generated the secret"
    assert added == (0, f"a: {told}: samegoal-pipelines districts set-secret a\n", "")
    lines = run("districts", "show", "a").ok.lines
    assert "Client Key k1" in lines
    assert "Integration Access SameGoal 2026" in lines
    assert "Client Secret awaiting secret" in lines
    assert "contact pat@example.org" in lines

    waits = "error: a: awaiting secret. To do: once SameGoal's technical team"
    assert run("sync", "a").refusal.startswith(waits)

    done = run("districts", "set-secret", "a", stdin="plugh\n", SAMEGOAL_OPERATOR="Pat Miller")
    assert done.stdout == "a: secret set; next: samegoal-pipelines districts verify a\n"
    shown = run("districts", "show", "a").ok.lines
    (secret,) = [line for line in shown if line.startswith("Client Secret")]
    assert secret.startswith(f"Client Secret fingerprint {sha256(b'plugh').hexdigest()[:12]}, set 2")
    assert secret.endswith(" UTC by Pat Miller")
    facts = run("districts", "show", "a", "--json").json
    assert (facts["client_key"], facts["secret_set_by"]) == ("k1", "Pat Miller")
    assert facts["fingerprint"] == sha256(b"plugh").hexdigest()[:12]
    assert "secret replaced" in run("districts", "rotate-secret", "a", stdin="other").stdout


def test_at_a_terminal_an_empty_answer_awaits_the_secret_and_nothing_typed_is_seen(environment):
    status, seen = at_a_terminal(*ADD, typed="\n")
    assert (status, "awaiting secret; once" in seen) == (0, True)
    status, seen = at_a_terminal("districts", "set-secret", "a", typed="xyzzy\n")
    assert (status, "a: secret set" in seen, "xyzzy" in seen) == (0, True, False)


def test_the_secret_is_revealed_to_a_terminal_only_and_recorded(environment, deployment, monkeypatch):
    monkeypatch.setenv("SAMEGOAL_OPERATOR", "Pat Miller")
    run(*ADD, stdin="xyzzy")

    def disclosures() -> list[tuple[str, str, str]]:
        return rows(deployment.warehouse, "select district_id, what, disclosed_by from samegoal.disclosures")

    lines = run("districts", "credentials", "a").ok.lines
    assert lines[:2] == ["API Base URL https://a.example.org", "Client Key k1"]
    assert not any("xyzzy" in line for line in lines)

    redirected = run("districts", "credentials", "a", "--reveal").refusal
    assert redirected.startswith("error: a: --reveal prints the Client Secret to a terminal only")
    assert disclosures() == []

    status, seen = at_a_terminal("districts", "credentials", "a", "--reveal")
    assert (status, seen.splitlines()[-1]) == (0, "xyzzy")
    assert disclosures() == [("a", "client secret", "Pat Miller")]


def test_the_expiration_is_a_date_never_or_unknown_and_assumed_if_nothing_is_given(environment):
    run(*ADD)
    (assumed,) = run("districts", "list", "--json").json
    assert assumed["expiration"] == "assumed"
    assert f"{assumed['expires']} (assumed)" in run("districts", "list").stdout
    for given, expires, expiration in (
        ("2028-02-29", "2028-02-29", "given"),
        ("never", None, "never"),
        ("unknown", None, "unknown"),
    ):
        assert run("districts", "set", "a", "--expires", given).ok
        (listed,) = run("districts", "list", "--json").json
        assert (listed["expires"], listed["expiration"]) == (expires, expiration)
        assert f"access expires {expires or expiration}" in run("districts", "show", "a").lines


def test_a_run_that_the_ui_starts_without_a_secret_leaves_no_failed_night(pipeline, district):
    pipeline.add(district([{"StudentID": 11, "StartDate": "2026-08-12"}]), client_secret=None)
    assert execute(pipeline.deployment, "grand-bend", "nightly_snapshot").error
    assert pipeline.rows("select state from samegoal.snapshots") == []
    (awaiting,) = run("report", "--no-forecast", "--json").json["districts"]
    assert awaiting["state"] == "awaiting secret"


def test_of_a_file_that_never_ends_only_the_beginning_is_read():
    class Endless:
        def read(self, size: int) -> str:
            return "x" * size

    assert len(read_secret(Endless()) or "") == 10_000
