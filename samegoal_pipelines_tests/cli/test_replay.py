"""`replay` as a person or a script meets it. The rule that changes is one that a district may change."""

from datetime import timedelta

import pytest

from samegoal_pipelines_tests.defs.test_withholding_nights import FAMILY
from samegoal_pipelines_tests.pipeline import TODAY

TOMORROW = TODAY + timedelta(days=1)
EMAILS = "select email from samegoal.parent_demographics_as_of(:night)"
SHOW = ("districts", "set", "grand-bend", "--restricted-contacts", "show")


@pytest.fixture
def two_nights(pipeline, district, prepared):
    """A student whose parent is under restriction, published twice; the second night changes the status."""

    def nights() -> None:
        leaves = {"StartDate": "2026-08-12", "EndDate": TODAY.isoformat(), "WithdrawalCode": "77"}
        pipeline.add(district([{"StudentID": 11, **leaves}], rows=FAMILY))
        for night in (TODAY, TOMORROW):
            assert pipeline.run(today=night).published

    prepared("two nights with a parent under restriction", nights)
    return pipeline


def test_a_dry_run_shows_what_a_replay_then_does(two_nights, ask):
    assert ask(*SHOW).ok

    dry = ask("replay", "grand-bend", "--from", "2026-10-12", "--dry-run").ok
    assert two_nights.rows(EMAILS, night=TODAY) == [(None,)]
    told = "2 of 2 nights from 2026-10-12 to 2026-10-13 would differ; nothing was changed"
    assert dry.stderr == f"grand-bend: {told}\n"

    done = ask("replay", "grand-bend", "--from", "2026-10-12").ok
    assert done.stdout == dry.stdout
    listed = [line for line in done.lines if line.startswith("2026")]
    assert listed == [f"{night} 1 0 0 0 0 1 0 0" for night in (TODAY, TOMORROW)]
    assert two_nights.rows(EMAILS, night=TODAY) == [("pat@example.org",)]

    again = ask("replay", "grand-bend", "--from", "2026-10-12")
    assert (again.returncode, again.stdout) == (0, "no difference\n")


def test_another_status_is_told_in_words_and_a_script_gets_numbers(two_nights, ask, monkeypatch):
    for module in ("transforms.status", "tables.vocabulary"):
        monkeypatch.setattr(f"samegoal_pipelines.{module}.GRADUATED_CODE", "77")

    result = ask("replay", "grand-bend", "--from", "2026-10-13", "--dry-run")
    assert "2026-10-13: 1 from INACTIVE to GRADUATED" in result.stdout

    facts = ask("replay", "grand-bend", "--from", "2026-10-13", "--dry-run", "--json").json
    (night,) = facts["nights"]
    assert (facts["written"], facts["reason"], night["night"]) == (False, None, "2026-10-13")
    assert (night["differs"], night["graduated"]) == (True, 1)
    (transition,) = night["difference"]["transitions"]
    assert transition == {"old_status": "INACTIVE", "new_status": "GRADUATED", "students": 1}


def test_nights_without_a_snapshot_are_skipped_and_said(two_nights, ask):
    made = two_nights.source.sandbox.districts[0]
    made.client_secret = "another"
    assert not two_nights.run(today=TODAY + timedelta(days=2)).published

    replayed = ask("replay", "grand-bend", "--from", "2026-10-12").ok
    assert "2026-10-14: skipped: failed, never published" in replayed.stdout


def test_what_cannot_be_replayed_is_said_in_one_line(two_nights, ask):
    attempts = two_nights.rows("select count(*) from samegoal.snapshots")
    late = "error: grand-bend: replay: no night from 2026-10-14 on is published; the last one is 2026-10-13"
    assert ask("replay", "nowhere", "--from", "2026-10-12").refusal.startswith("error: nowhere: ")
    assert ask("replay", "grand-bend", "--from", "2026-10-14") == (1, "", f"{late}\n")
    failed = ask("replay", "grand-bend", "--from", "2026-10-14", "--json")
    assert (failed.returncode, failed.stderr) == (1, f"{late}\n")
    asked = {"district_id": "grand-bend", "from": "2026-10-14", "dry_run": False}
    reason = late.removeprefix("error: grand-bend: ")
    assert failed.json == {**asked, "reason": reason, "written": False, "nights": [], "skipped": []}
    assert two_nights.rows("select count(*) from samegoal.snapshots") == attempts
