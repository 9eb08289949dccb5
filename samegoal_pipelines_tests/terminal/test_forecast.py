"""`forecast` as a person or a script meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from samegoal_pipelines_tests.terminal.asking import Ask, ask

__all__ = ["ask"]

STAYS = {"EntryWithdrawalID": 1, "StudentID": 11, "StartDate": "2026-08-12"}
ENDS = {"EntryWithdrawalID": 2, "StudentID": 12, "StartDate": "2026-08-12", "EndDate": "2026-10-14"}
BEGINS = {"EntryWithdrawalID": 3, "StudentID": 13, "StartDate": "2026-10-19"}


def test_flips_are_counted_by_day_and_students_are_listed_on_request(pipeline, district, ask: Ask):
    pipeline.add(district([STAYS, ENDS, BEGINS]))
    assert pipeline.run().published

    told = ask("forecast", "grand-bend")
    assert told.returncode == 0, told.stderr
    assert "by 2026-10-26, as the rows of the night 2026-10-12 stand" in told.stdout
    lines = [line.split() for line in told.stdout.splitlines()]
    assert ["2026-10-15", "ENROLLED", "INACTIVE", "1"] in lines
    assert ["2026-10-19", "PRE-ENROLLED", "ENROLLED", "1"] in lines
    assert "000012" not in told.stdout

    listed = ask("forecast", "grand-bend", "--students", "--days", "3", "--json")
    assert json.loads(listed.stdout)["students"] == [
        {
            "student_id": 12,
            "day": "2026-10-15",
            "old_status": "ENROLLED",
            "new_status": "INACTIVE",
            "student_number": "000012",
        }
    ]


def test_a_forecast_without_flips_says_so(pipeline, district, ask: Ask):
    pipeline.add(district([STAYS]))
    assert pipeline.run().published
    assert "no status flips by 2026-10-26" in ask("forecast", "grand-bend").stdout


def test_without_a_published_night_or_its_landed_rows_it_says_what_to_do(pipeline, district, ask: Ask):
    pipeline.add(district([STAYS]))
    told = ask("forecast", "grand-bend")
    assert (told.returncode, told.stdout) == (1, "")
    assert "grand-bend: no night is published yet; next: samegoal-pipelines sync grand-bend" in told.stderr

    assert pipeline.run().published
    shutil.rmtree(Path(pipeline.deployment.landing.root) / "grand-bend")
    told = ask("forecast", "grand-bend")
    assert told.returncode == 1
    assert "the landed rows of 2026-10-12 are gone or damaged" in told.stderr
