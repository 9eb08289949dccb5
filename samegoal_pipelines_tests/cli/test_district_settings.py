"""What may be set for a district from a terminal: the gate's limits, and what is withheld."""

import json

import pytest

from samegoal_pipelines_tests.cli.asking import run

ENROLLED = [{"StudentID": 11, "StartDate": "2026-08-12"}]


@pytest.fixture
def registered(pipeline, district) -> None:
    pipeline.add(district(ENROLLED))


def test_limits_are_set_shown_and_taken_back(registered):
    changed = run("districts", "set", "grand-bend", "--limit", "dropped=12.5", "--limit", "dropped_least=40")
    assert (changed.returncode, changed.stderr) == (0, "")
    shown = run("districts", "show", "grand-bend").stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "limit dropped 12.5% (set)" in lines
    assert "limit dropped_least 40 students (set)" in lines
    assert "limit contacts 10%" in lines
    assert "restricted contacts withheld" in lines

    assert run("districts", "set", "grand-bend", "--limit", "dropped=default").returncode == 0
    (listed,) = json.loads(run("districts", "list", "--json").stdout)
    assert (listed["gate_limits"]["dropped"], listed["gate_limits"]["dropped_least"]) == (10.0, 40)


def test_a_limit_that_cannot_be_is_refused_in_one_line(registered):
    refused = run("districts", "set", "grand-bend", "--limit", "most=5")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "error: grand-bend: the gate has no limit named most; its limits are dropped,"
    )
    assert refused.stderr.count("\n") == 1
    misspelt = run("districts", "set", "grand-bend", "--limit", "dropped 5")
    assert misspelt.returncode == 2
    assert "NAME=VALUE" in misspelt.stderr


def test_showing_what_is_withheld_says_what_it_means(registered):
    shown = run("districts", "set", "grand-bend", "--restricted-contacts", "show")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("\n") == 2
    assert "parents under active restricted access are published" in shown.stdout
    assert "--restricted-contacts withhold" in shown.stdout
    facts = json.loads(run("districts", "show", "grand-bend", "--json").stdout)
    assert (facts["show_restricted_contacts"], facts["show_confidential_phones"]) == (True, False)

    back = run(
        "districts", "set", "grand-bend", "--restricted-contacts", "withhold", "--confidential-phones", "show"
    )
    assert "confidential phones are published" in back.stdout
    facts = json.loads(run("districts", "show", "grand-bend", "--json").stdout)
    assert (facts["show_restricted_contacts"], facts["show_confidential_phones"]) == (False, True)
    assert run("districts", "set", "grand-bend", "--restricted-contacts", "yes").returncode == 2
