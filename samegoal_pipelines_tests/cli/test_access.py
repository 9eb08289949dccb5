"""A district's access to Qmlativ at the command line: its credentials, the keys, and `districts verify`."""

import os
import pty
import subprocess
from contextlib import suppress
from datetime import date
from hashlib import sha256

import pytest
from cryptography.fernet import Fernet

from samegoal_pipelines.cli.access import read_secret
from samegoal_pipelines.operations.runs import execute
from samegoal_pipelines_tests.cli.asking import PROGRAM, run
from samegoal_pipelines_tests.mass_changes import enrolled
from samegoal_pipelines_tests.warehouse.factories import rows

ADD = ["districts", "add", "a", "--name", "A", "--base-url", "https://a.example.org", "--client-key", "k1"]


def at_a_terminal(*arguments: str, typed: str = "") -> tuple[int, str]:
    """Exit status and everything that a person at a terminal sees, who types at the prompt."""
    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen([PROGRAM, *arguments], **streams, start_new_session=True) as program:
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
    shown = {"Client Key k1", "Integration Access SameGoal 2026", "Client Secret awaiting secret"}
    assert shown | {"contact pat@example.org"} < {*run("districts", "show", "a").ok.lines}

    waits = "error: a: awaiting secret. To do: once SameGoal's technical team"
    assert run("sync", "a").refusal.startswith(waits)

    done = run("districts", "set-secret", "a", stdin="plugh\n", SAMEGOAL_OPERATOR="Pat Miller")
    assert done.stdout == "a: secret set; next: samegoal-pipelines districts verify a\n"
    lines, fingerprint = run("districts", "show", "a").ok.lines, sha256(b"plugh").hexdigest()[:12]
    (secret,) = [line for line in lines if line.startswith("Client Secret")]
    assert secret.startswith(f"Client Secret fingerprint {fingerprint}, set 2")
    assert secret.endswith(" UTC by Pat Miller")
    facts = run("districts", "show", "a", "--json").json
    assert (facts["client_key"], facts["secret_set_by"]) == ("k1", "Pat Miller")
    assert facts["fingerprint"] == fingerprint
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

    shown = run("districts", "credentials", "a").ok
    assert shown.lines[:2] == ["API Base URL https://a.example.org", "Client Key k1"]
    assert "xyzzy" not in shown.stdout

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
    for given in ("2028-02-29", "never", "unknown"):
        assert run("districts", "set", "a", "--expires", given).ok
        (listed,) = run("districts", "list", "--json").json
        as_stored = (given, "given") if given[0] == "2" else (None, given)
        assert (listed["expires"], listed["expiration"]) == as_stored
        assert f"access expires {given}" in run("districts", "show", "a").lines


def test_a_run_that_the_ui_starts_without_a_secret_leaves_no_failed_night(pipeline, district):
    pipeline.add(district(enrolled(1)), client_secret=None)
    assert execute(pipeline.deployment, "grand-bend", "nightly_snapshot").error
    assert pipeline.states() == []
    (awaiting,) = run("report", "--no-forecast", "--json").json["districts"]
    assert awaiting["state"] == "awaiting secret"


def test_of_a_file_that_never_ends_only_the_beginning_is_read():
    class Endless:
        def read(self, size: int) -> str:
            return "x" * size

    assert len(read_secret(Endless()) or "") == 10_000


# -- verify and rotate-key --


@pytest.fixture
def three(pipeline, district) -> None:
    """A district in order, one that lacks a field, one with a wrong secret."""
    for name in ("alpha", "beta", "gamma"):
        made = district(enrolled(1), id=name, name=f"{name.title()} ISD", code=name)
        if name == "beta":
            made.denied_fields.add("Demographics/Name.IsHispanic")
        wrong = {"client_secret": "another"} if name == "gamma" else {}
        pipeline.add(made, expires=date(2099, 1, 1), **wrong)


def test_a_district_is_told_in_full_and_a_missing_field_is_a_warning_with_what_it_costs(three, ask):
    result = ask("districts", "verify", "alpha", "beta")
    assert (result.returncode, result.stderr) == (0, "")
    alpha, _, beta = result.stdout.partition("beta, Beta ISD: ready, with warnings\n")
    assert alpha.startswith("alpha, Alpha ISD: ready\n")
    assert "token ok accepted in the form" in result.lines
    assert any(line.startswith("Demographics/NameSuffix 5 ") for line in result.lines)
    assert "Not granted" not in alpha
    assert "- Demographics/Name.IsHispanic: empty: student_demographics.is_hispanic\n" in beta


def test_all_are_told_in_a_row_each_with_trouble_first(three, pipeline, ask):
    result = ask("districts", "verify", "--all").failed
    first = [line.partition(" ")[0] for line in result.lines]
    assert [word for word in first if word in ("alpha", "beta", "gamma")] == ["gamma", "beta", "alpha"]
    assert "token: Qmlativ does not accept the credentials" in result.stdout
    assert result.stdout.endswith("1 not ready; 1 ready, with warnings; 1 ready\n")

    pipeline.deployment.registry.set("gamma", active=False)
    assert "gamma" not in ask("districts", "verify", "--all").ok.stdout


def test_a_script_gets_everything(three, ask):
    result = ask("districts", "verify", "--json", "gamma", "beta", "nowhere").failed
    assert result.stderr.startswith("error: nowhere: no such district is registered")
    gamma, beta = result.json
    assert (gamma["district_id"], gamma["ok"], gamma["state"]) == ("gamma", False, "failed")
    assert [step["name"] for step in gamma["steps"]] == ["expiry", "token"]
    cost = "empty: student_demographics.is_hispanic"
    assert beta["missing"] == [{"field": "Demographics/Name.IsHispanic", "required": False, "cost": cost}]
    assert {"name": "Student/Student", "fields": 7, "granted": 7, "rows": 3} in beta["objects"]


def test_the_rows_of_the_last_night_are_told_unless_they_are_to_be_counted(good_night, ask):
    good_night(enrolled(1)).add_row("Demographics/Zip", ZipID=77, City="Round Rock", ZipCode="78664")

    def zips(*how: str) -> int:
        (result,) = ask("districts", "verify", "grand-bend", "--json", *how).json
        return next(each["rows"] for each in result["objects"] if each["name"] == "Demographics/Zip")

    assert zips("--count") == zips() + 1


def test_a_key_is_rotated_and_the_districts_of_a_lost_one_are_named(three, ask, tmp_path):
    file, new = tmp_path / "home" / "secret.key", Fernet.generate_key().decode()
    before = file.read_text().strip()
    result = ask("districts", "rotate-key")
    assert result == (0, "Client Secrets encrypted again: 3, with a new key; the old keys are removed\n", "")
    made = file.read_text().strip()
    assert made != before
    result = ask("districts", "rotate-key", SAMEGOAL_SECRET_KEY=f"{new},{made}").ok
    assert "Client Secrets encrypted again: 3, with the first key of SAMEGOAL_SECRET_KEY" in result.stdout
    assert file.read_text().strip() == made
    assert ask("sync", "alpha", SAMEGOAL_SECRET_KEY=new).ok

    assert ask("districts", "rotate-key").failed
    assert ask("districts", "rotate-secret", "beta", stdin="a secret").ok
    result = ask("districts", "rotate-key").failed

    assert result.stdout.startswith("Client Secrets encrypted again: 1, with a new key")
    assert [line.split(":")[1].strip() for line in result.stderr.splitlines()] == ["alpha", "gamma"]
    assert "districts rotate-secret alpha" in result.stderr
    assert len(file.read_text().split()) == 1
    assert ask("sync", "alpha", SAMEGOAL_SECRET_KEY=new).ok  # nothing was written over its secret
