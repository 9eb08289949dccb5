"""What the UI shows of a district's night: its statuses, the last nights, and the checks, in counts only."""

import json
from datetime import date, timedelta
from itertools import count
from types import SimpleNamespace

import dagster as dg
import pandas as pd
import pytest

from samegoal_pipelines.defs.metadata import (
    NIGHTS_SHOWN,
    end_dates,
    field_grants,
    nights_table,
    no_lost_rows,
    status_table,
    worklist_findings,
)
from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.tables.worklist import PROBLEMS, REGISTRAR_WORKLIST
from samegoal_pipelines_tests.transforms.builders import entry, raw, table

FIRST = date(2026, 9, 1)
COUNTS = {"students": 1_140, "enrolled": 1_000, "pre_enrolled": 20, "graduated": 70, "inactive": 50}
_ids = count(1)


def snapshot(days: int = 0, state: str = "published", **counts: int | None) -> SimpleNamespace:
    when = {"snapshot_date": FIRST + timedelta(days=days), "snapshot_id": next(_ids)}
    return SimpleNamespace(**when, state=state, **COUNTS | counts)


def rows(value) -> list[tuple]:
    return [tuple(record.data.values()) for record in value.records]


def test_the_table_shows_each_status_and_its_change_since_the_snapshot_before():
    value = status_table(snapshot(enrolled=1_003, inactive=48), snapshot())
    assert rows(value) == [
        ("ENROLLED", "1,003", "1,000", "+3"),
        ("PRE-ENROLLED", "20", "20", "0"),
        ("GRADUATED", "70", "70", "0"),
        ("INACTIVE", "48", "50", "-2"),
        ("all students", "1,140", "1,140", "0"),
    ]
    assert [column.name for column in value.schema.columns] == ["status", "students", "before", "change"]
    assert rows(status_table(snapshot(), None))[0] == ("ENROLLED", "1,000", "–", "–")


def test_the_last_nights_are_listed_newest_first_with_what_became_of_each():
    failed = snapshot(2, "failed", **dict.fromkeys(COUNTS))
    shown = rows(nights_table([snapshot(0), snapshot(1, "held"), failed, snapshot(3)]))
    assert [row[:3] for row in shown] == [
        ("2026-09-04", "published", "1,140"),
        ("2026-09-03", "failed", "–"),
        ("2026-09-02", "held", "1,140"),
        ("2026-09-01", "published", "1,140"),
    ]
    assert len(rows(nights_table(snapshot(day) for day in range(100)))) == NIGHTS_SHOWN


def test_a_night_that_was_published_in_the_end_is_shown_as_published():
    attempts = [snapshot(state=state) for state in ("held", "published", "failed", "superseded")]
    assert [row[1] for row in rows(nights_table(attempts))] == ["published"]


# -- checks --

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def reads(*missing: str) -> pd.DataFrame:
    fields = {"HasActiveRestrictedAccess", "RelationshipID"} - set(missing)
    lists = {"Fields": json.dumps(sorted(fields)), "Missing": json.dumps(list(missing))}
    return table(READS, [{"Object": "StudentGuardian", **lists}])


def test_a_field_that_was_never_granted_is_a_warning_with_its_cost_and_the_next_step():
    assert field_grants("raw_parents", reads(), None)[:2] == (True, "every optional field is granted")
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
    read = [
        {"Object": "Name", "Path": "/Custom/1/Demographics/Name", "GapsChecked": True},
        {"Object": "NameEmail", "Path": "/Custom/1/Demographics/NameEmail", "GapsChecked": False},
    ]
    finding = no_lost_rows(table(READS, read))
    assert (finding.passed, finding.severity, finding.metadata) == (False, WARN, {"objects read twice": 1})
    assert finding.description.startswith("read twice: Demographics/NameEmail; Qmlativ does not search")
    assert no_lost_rows(table(READS, read[:1])).passed


def ended(*differences: int) -> dict[str, pd.DataFrame]:
    end = date(2026, 9, 30)
    later = [end + timedelta(days=days) for days in differences]
    entries = [entry(n, "2026-08-12", end, WithdrawalDate=day) for n, day in enumerate(later)]
    return raw("raw_enrollments", {"EntryWithdrawal": entries})


def test_dates_that_bear_the_reading_out_pass_with_their_share():
    """Of eleven differences, the ten most common ones are listed."""
    finding = end_dates(ended(*[1] * 90, *range(20, 30)))
    assert finding.passed
    assert finding.description == "in 90% of 100 enrollments WithdrawalDate is the day after EndDate"
    found = rows(finding.metadata["differences"])
    assert (found[0], len(found)) == (("1", "90", "90.0%"), 10)


def test_dates_that_contradict_it_are_a_warning_with_what_to_ask():
    finding = end_dates(ended(*[0] * 20, *[1] * 5))
    assert (finding.passed, finding.severity) == (False, WARN)
    assert "in 80% of 25 enrollments EndDate and WithdrawalDate are the same day: ask" in finding.description


def test_without_any_end_there_is_nothing_to_compare():
    finding = end_dates(raw("raw_enrollments", {}))
    assert finding.passed
    assert "nothing to compare" in finding.description


def listed(*problems: tuple[str, int | None, int]) -> pd.DataFrame:
    same = {"student_number": "S-1", "building": "Austin High", "detail": "from 2024-08-14", "fix": "Entry"}
    names = ("problem", "student_id", "enrollment_id")
    return table(REGISTRAR_WORKLIST, [dict(zip(names, each, strict=True)) | same for each in problems])


def test_an_empty_worklist_passes_and_counts_every_problem():
    (finding,) = worklist_findings(listed()).values()
    assert (finding.passed, finding.description) == (True, "no enrollment has a problem")
    assert rows(finding.metadata["problems"]) == [(problem, "0", "0", "0") for problem in PROBLEMS]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_each_problem_warns_and_is_counted_in_its_own_row_and_in_no_other(problem):
    worklist = listed((problem, 4711, 1), (problem, 4711, 2), (problem, None, 3))
    (finding,) = worklist_findings(worklist).values()
    assert (finding.passed, finding.severity) == (False, WARN)
    assert finding.description.startswith(f"3 enrollments of 1 student at 1 school: 3 {problem}; the ")
    assert (finding.metadata["enrollments"], finding.metadata["students"]) == (3, 1)
    counted = {name: counts for name, *counts in rows(finding.metadata["problems"])}
    assert counted.pop(problem) == ["3", "1", "1"]
    assert all(counts == ["0", "0", "0"] for counts in counted.values())
    text = str(finding)
    assert not any(value in text for value in ("4711", "S-1", "Austin", "2024-08-14"))
