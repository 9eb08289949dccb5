"""Every worked case of the rules, from a copy of the integration's own table."""

import csv
from datetime import date
from pathlib import Path

import pytest

from samegoal_pipelines.transforms.enrollments import filter_enrollments
from samegoal_pipelines.transforms.status import classify_students
from samegoal_pipelines_tests.transforms.builders import enrollments, entry

with (Path(__file__).parent / "status_cases.csv").open(newline="") as file:
    CASES = list(csv.DictReader(file))


def read_entry(text: str) -> dict:
    """`id|first day|last day|withdrawal code|default entity`; the default entity is True when left out."""
    number, first, last, code, *default = text.split("|")
    return entry(int(number), first, last or None, code or None, default=default != ["False"])


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_worked_case_gets_its_status(case):
    today = date.fromisoformat(case["today"])
    entries = case["enrollments"].split(";")
    codes = {text.split("|")[3] for text in entries} - {""}
    raw = enrollments([read_entry(text) for text in entries], today, codes=codes)
    filtered = filter_enrollments(raw, today)
    result = classify_students(filtered.enrollments, filtered.excluded, today)
    expected = [(case["expected_status"], case["expected_reason"])] if case["expected_status"] else []
    assert list(zip(result.statuses["status"], result.statuses["reason"], strict=True)) == expected
    assert result.uncertain.empty


def test_all_worked_cases_are_there():
    """The integration's thirty, and ours."""
    assert len(CASES) >= 30
