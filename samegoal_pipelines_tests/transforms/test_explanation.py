"""Explanations: what became of each enrollment, which one decided and why, told by the rules themselves."""

import json
from datetime import date

import pytest

from samegoal_pipelines.transforms import explanation
from samegoal_pipelines.transforms.explanation import Explanation
from samegoal_pipelines_tests.transforms.builders import Row, enrollments, entry, raw, read_entries
from samegoal_pipelines_tests.transforms.edge_cases import edge_case_district
from samegoal_pipelines_tests.transforms.naive import Verdict, assert_same, judge, without_placeholders

TODAY = date(2026, 10, 12)
PAST = ("2026-01-07", "2026-05-28")
REASONS = ("current_enrollment", "upcoming_enrollment_only", "between_enrollments", "graduated", "withdrawn")


def explain(*entries: Row, today: date = TODAY, **objects) -> Explanation:
    return explanation.explain(enrollments(entries, today, **objects), None, 1, today)


@pytest.mark.parametrize("seed", range(60))
def test_the_explanation_of_every_student_and_row_agrees_with_the_naive_version_of_the_rules(seed):
    district, today = edge_case_district(seed)
    rows = district["EntryWithdrawal"] = [row for row in district["EntryWithdrawal"] if row["StudentID"]]
    naive, ours = judge(district, today), Verdict()
    for student in {row["StudentID"] for row in rows} | {987_654}:
        explained = explanation.explain(raw("raw_enrollments", district), None, student, today)
        came = [without_placeholders(row) for row in rows if row["StudentID"] == student]
        assert [(seen.enrollment_id, seen.first_day) for seen in explained.enrollments] == [
            (row["EntryWithdrawalID"], row["StartDate"]) for row in came
        ]
        for seen in explained.enrollments:
            if seen.outcome == "counted":
                ours.counted.append(seen.enrollment_id)
            elif seen.outcome == "repeated":
                ours.repeated += 1
            else:
                ours.excluded.append((seen.enrollment_id, seen.reason))
        if one := explained.decision:
            ours.statuses[student] = one["status"], one["reason"], one["enrollment_id"]
            assert (one["rule"], one["reason"]) in enumerate(REASONS, start=1)
        assert sum(seen.decides for seen in explained.enrollments) == bool(explained.decision)
        if explained.uncertain:
            ours.uncertain[student] = set(explained.uncertain)
        if explained.absent:
            ours.absent[student] = explained.absent
    naive.absent = naive.absent | {987_654: "no rows in Qmlativ"}
    naive.absent = {student: why for student, why in naive.absent.items() if why != "rows unreadable"}
    ours.placeholder_dates = naive.placeholder_dates
    assert_same(ours, naive)


def test_each_row_has_its_fate_in_words():
    rows = {
        "counted as current": entry(1, "2026-08-12"),
        "counted as upcoming": entry(2, "2027-01-07"),
        "counted as past": entry(3, *PAST, "33"),
        "excluded: a cross-entity course enrollment (CECS)": entry(4, "2026-08-12", code=" cecs "),
        "excluded: it ended more than a year ago (before 2025-10-12)": entry(5, "2024-08-14", "2025-10-11"),
        "excluded: it is still open, and its school year is neither current nor upcoming": entry(
            6, "2024-08-14"
        ),
        "quarantined: a field cannot be read (EndDate)": entry(
            7, "2026-08-12", Unreadable=json.dumps({"EndDate": "31 February"})
        ),
        "quarantined: it has no start date": entry(8, None),
        "quarantined: its withdrawal code is not listed": entry(9, "2026-08-12", WithdrawalCodeID=7),
        "quarantined: it is open, and its school year is not listed": entry(10, "2026-08-12", year=1999),
        "quarantined: it was never effective: its last day is before its first (a no-show)": entry(
            11, "2026-08-12", "2026-08-11"
        ),
    }
    explained = explain(*rows.values(), rows["counted as past"])
    assert [seen.words for seen in explained.enrollments] == [
        *rows,
        "a repeat of another row, counted once with it",
    ]


def test_a_row_whose_id_cannot_be_read_is_told_as_such_beside_the_others():
    nameless = entry(None, "2026-08-12", Unreadable=json.dumps({"EntryWithdrawalID": "x"}))
    missing, filtered = entry(None, "2026-08-13"), entry(2, "2026-08-12", code="CECS")
    explained = explain(nameless, entry(1, "2026-08-12"), missing, filtered).enrollments
    assert [(seen.enrollment_id, seen.first_day.day, seen.words, seen.decides) for seen in explained] == [
        (None, 12, "quarantined: a field cannot be read (EntryWithdrawalID)", False),
        (1, 12, "counted as current", True),
        (None, 13, "quarantined: a field cannot be read (its id)", False),
        (2, 12, "excluded: a cross-entity course enrollment (CECS)", False),
    ]


WHY_THIS = {
    "1|2026-08-12||": "1: it is the only current one",
    "1|2026-08-12||;2|2026-01-07|2026-05-28|": "1: it is the only current one",
    "1|2026-08-12||;2|2026-09-01|||False": "1: of the current ones, over 2 because it is at the "
    "default entity",
    "1|2026-08-12||;2|2026-08-13||;3|2026-08-13||": "3: of the current ones, over 1 because it began last; "
    "over 2 because its id is the highest",
    "1|2027-01-07||;2|2027-01-08||;3|2027-01-05|||False": "1: of the upcoming ones, over 3 because it is at "
    "the default entity; over 2 because it begins first",
    "1|2026-01-07|2026-05-28||False;2|2026-01-07|2026-05-27|": "1: of the past ones, over 2 because it ended "
    "last",
    "1|2026-08-12|2026-10-12|;2|2026-10-12||": "2: of the current ones, over 1 because it began last",
}


@pytest.mark.parametrize(("rows", "said"), WHY_THIS.items())
def test_why_this_enrollment_and_not_another(rows, said):
    decision = explain(*read_entries(rows)).decision
    assert f"{decision['enrollment_id']}: {decision['why_this_enrollment']}" == said


@pytest.mark.parametrize(
    ("row", "building", "said"),
    [
        (entry(1, "2026-08-12"), "New", "its school as listed for its school year, 2026-2027"),
        (
            entry(1, "2027-08-12"),
            "New",
            "its school is not listed for its school year; 2026-2027 is the latest that lists it",
        ),
        (entry(1, "2026-08-12", SchoolID=6), None, "no school year lists its school"),
        (entry(1, "2026-08-12", SchoolID=None), None, "the enrollment names no school"),
    ],
)
def test_the_building_and_why_that_one(row, building, said):
    schools = [
        {"SchoolID": 5, "SchoolYearID": 2026, "Name": "Old"},
        {"SchoolID": 5, "SchoolYearID": 2027, "Name": "New"},
    ]
    decision = explain(row, School=schools).decision
    assert (decision["building"], decision["why_this_building"]) == (building, said)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([entry(1, None), entry(2, *PAST)], "uncertain: 1 row cannot be relied on (no_start_date)"),
        ([entry(1, "2024-08-14", "2025-05-28")], "no status: left the import window"),
        ([], "no status: no rows in Qmlativ"),
    ],
)
def test_a_student_without_a_status_is_told_why_and_when_the_window_begins(rows, said):
    explained = explain(*rows)
    assert explained.decision is None
    why, window = explained.sentences()
    assert why.startswith(said)
    assert window == "the import window begins on 2025-10-12"
