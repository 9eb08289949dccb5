"""`districts verify` and `districts rotate-key` as a person and a script meet them."""

from datetime import date

import pytest
from cryptography.fernet import Fernet

ENROLLED = [{"StudentID": 11, "StartDate": "2026-08-12"}]


@pytest.fixture
def three(pipeline, district):
    """A district in order, one that lacks a field, one with a wrong secret."""
    names = ("alpha", "beta", "gamma")
    good, poorer, wrong = (district(ENROLLED, id=n, name=f"{n.title()} ISD", code=n) for n in names)
    poorer.denied_fields.add("Demographics/Name.IsHispanic")
    for made in (good, poorer):
        pipeline.add(made, expires=date(2099, 1, 1))
    pipeline.add(wrong, expires=date(2099, 1, 1), client_secret="another")
    return good, poorer, wrong


def test_one_district_is_told_in_full(three, ask):
    result = ask("districts", "verify", "alpha")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.lines[0] == "alpha, Alpha ISD: ready"
    assert "token ok accepted in the form" in result.lines
    assert any(line.startswith("Demographics/NameSuffix 5 ") for line in result.lines)
    assert "Not granted" not in result.stdout


def test_what_a_missing_field_costs_is_told_and_does_not_fail_it(three, ask):
    result = ask("districts", "verify", "beta").ok
    assert result.stdout.startswith("beta, Beta ISD: ready, with warnings\n")
    assert "- Demographics/Name.IsHispanic: empty: student_demographics.is_hispanic\n" in result.stdout


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


def test_the_rows_of_the_last_night_are_told_unless_they_are_to_be_counted(pipeline, district, ask):
    made = district(ENROLLED)
    pipeline.add(made)
    assert ask("sync", "grand-bend").ok
    made.add_row("Demographics/Zip", ZipID=77, City="Round Rock", ZipCode="78664")

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
