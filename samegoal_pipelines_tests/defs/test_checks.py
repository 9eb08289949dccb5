"""What the asset checks say, in plain words and in counts only."""

import json
from datetime import date, timedelta

import dagster as dg
import pandas as pd
import pytest

from samegoal_pipelines.defs.checks import (
    end_dates,
    field_grants,
    no_lost_rows,
    worklist_findings,
)
from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.tables.worklist import PROBLEMS, REGISTRAR_WORKLIST
from samegoal_pipelines_tests.transforms.builders import entry, raw, table

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def reads(*missing: str) -> pd.DataFrame:
    fields = {"HasActiveRestrictedAccess", "RelationshipID"} - set(missing)
    lists = {"Fields": json.dumps(sorted(fields)), "Missing": json.dumps(list(missing))}
    return table(READS, [{"Object": "StudentGuardian", **lists}])


def test_granted_fields_need_no_word():
    assert field_grants("raw_parents", reads(), None)[:2] == (True, "every optional field is granted")


def test_a_field_that_was_never_granted_is_a_warning_with_its_cost_and_the_next_step():
    without = reads("HasActiveRestrictedAccess")
    finding = field_grants("raw_parents", without, without)
    assert (finding.passed, finding.severity) == (False, WARN)
    assert finding.description == (
        "StudentGuardian.HasActiveRestrictedAccess is not granted (empty: "
        "parent_demographics.has_restricted_access; it is unknown which parents are under active "
        "restricted access); grant it in the Integration Access in Qmlativ"
    )
    assert finding.metadata["published columns that are empty"] == 1


def test_a_field_that_was_there_last_night_is_an_error():
    finding = field_grants("raw_parents", reads("HasActiveRestrictedAccess"), reads())
    assert (finding.passed, finding.severity) == (False, ERROR)
    assert "is no longer granted" in finding.description
    assert finding.metadata["fields lost since it was last read"] == 1


def test_objects_that_were_read_twice_are_named():
    rows = [
        {"Object": "Name", "Path": "/Custom/1/Demographics/Name", "GapsChecked": True},
        {"Object": "NameEmail", "Path": "/Custom/1/Demographics/NameEmail", "GapsChecked": False},
    ]
    finding = no_lost_rows(table(READS, rows))
    assert (finding.passed, finding.severity, finding.metadata) == (False, WARN, {"objects read twice": 1})
    assert finding.description.startswith("read twice: Demographics/NameEmail; Qmlativ does not search")
    assert no_lost_rows(table(READS, rows[:1])).passed


def ended(*differences: int) -> dict[str, pd.DataFrame]:
    end = date(2026, 9, 30)
    rows = [
        entry(n, "2026-08-12", end, WithdrawalDate=end + timedelta(days=days))
        for n, days in enumerate(differences)
    ]
    return raw("raw_enrollments", {"EntryWithdrawal": rows})


def test_dates_that_bear_the_reading_out_pass_with_their_share():
    """Of eleven differences, the ten most common ones are listed."""
    finding = end_dates(ended(*[1] * 90, *range(20, 30)))
    assert finding.passed
    assert finding.description == "in 90% of 100 enrollments WithdrawalDate is the day after EndDate"
    found = [record.data for record in finding.metadata["differences"].records]
    assert found[0] == {"days from EndDate to WithdrawalDate": "1", "enrollments": "90", "share": "90.0%"}
    assert len(found) == 10


def test_dates_that_contradict_it_are_a_warning_with_what_to_ask():
    finding = end_dates(ended(*[0] * 20, *[1] * 5))
    assert (finding.passed, finding.severity) == (False, WARN)
    assert "in 80% of 25 enrollments EndDate and WithdrawalDate are the same day: ask" in finding.description


def test_without_any_end_there_is_nothing_to_compare():
    finding = end_dates(raw("raw_enrollments", {}))
    assert finding.passed
    assert "nothing to compare" in finding.description


def listed(*rows: tuple[str, int | None, int]) -> pd.DataFrame:
    return table(
        REGISTRAR_WORKLIST,
        [
            {"problem": problem, "student_id": student, "student_number": "S-1", "enrollment_id": enrollment}
            | {"building": "Austin High", "detail": "from 2024-08-14", "fix": "Entry/Withdrawal"}
            for problem, student, enrollment in rows
        ],
    )


def test_an_empty_worklist_passes_and_counts_every_problem():
    (finding,) = worklist_findings(listed()).values()
    assert (finding.passed, finding.description) == (True, "no enrollment has a problem")
    rows = [record.data for record in finding.metadata["problems"].records]
    assert [row["problem"] for row in rows] == list(PROBLEMS)
    assert {(row["enrollments"], row["students"], row["schools"]) for row in rows} == {("0", "0", "0")}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_each_problem_warns_and_is_counted_in_its_own_row_and_in_no_other(problem):
    worklist = listed((problem, 1, 1), (problem, 1, 2), (problem, None, 3))
    (finding,) = worklist_findings(worklist).values()
    assert (finding.passed, finding.severity) == (False, WARN)
    assert finding.description.startswith(f"3 enrollments of 1 student at 1 school: 3 {problem}; the ")
    assert (finding.metadata["enrollments"], finding.metadata["students"]) == (3, 1)
    counted = {
        record.data["problem"]: tuple(record.data[name] for name in ("enrollments", "students", "schools"))
        for record in finding.metadata["problems"].records
    }
    assert counted.pop(problem) == ("3", "1", "1")
    assert set(counted.values()) == {("0", "0", "0")}


def test_no_finding_holds_a_value_of_a_row():
    findings = worklist_findings(listed(("never closed", 4711, 1)))
    text = str([(finding.description, finding.metadata) for finding in findings.values()])
    assert not any(value in text for value in ("4711", "S-1", "Austin", "2024-08-14"))
