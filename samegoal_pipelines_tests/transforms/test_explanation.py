"""Explanations: what became of each enrollment, which one decided and why, told by the rules themselves."""

import json
from collections import Counter
from datetime import date

import pytest

from samegoal_pipelines.tables.vocabulary import EXCLUDED, QUARANTINED, RULES, STATUS_OF_REASON
from samegoal_pipelines.transforms.departures import explain_absences
from samegoal_pipelines.transforms.enrollments import filter_enrollments
from samegoal_pipelines.transforms.explanation import Explanation, explain_students
from samegoal_pipelines.transforms.status import classify_students
from samegoal_pipelines_tests.transforms.builders import Row, enrollments, entry, raw
from samegoal_pipelines_tests.transforms.edge_cases import edge_case_district
from samegoal_pipelines_tests.transforms.naive import judge, without_placeholders

TODAY = date(2026, 10, 12)
PAST = ("2026-01-07", "2026-05-28")


def explain(*entries: Row, today: date = TODAY, **objects) -> Explanation:
    (explained,) = explain_students(enrollments(entries, today, **objects), [1], today)
    return explained


def fates(explained: Explanation) -> list[tuple[int | None, str, str]]:
    return [(seen.enrollment_id, seen.outcome, seen.reason) for seen in explained.enrollments]


def why(*entries: Row) -> str:
    decision = explain(*entries).decision
    assert decision is not None
    return f"{decision.enrollment_id}: {decision.why_this_enrollment}"


@pytest.mark.parametrize("seed", range(80))
def test_the_explanation_of_every_student_agrees_with_the_classification(seed):
    """And with the naive version of the rules, which shares no code with either."""
    district, today = edge_case_district(seed)
    tables = raw("raw_enrollments", district)
    filtered = filter_enrollments(tables, today)
    statuses, uncertain = classify_students(filtered.enrollments, filtered.excluded, today)
    absent = explain_absences(filtered.excluded, statuses, uncertain)
    students = sorted({row["StudentID"] for row in district["EntryWithdrawal"]} - {None} | {987_654})

    explained = {one.student_id: one for one in explain_students(tables, students, today)}

    decided = {
        student: (one.decision.status, one.decision.reason, one.decision.enrollment_id)
        for student, one in explained.items()
        if one.decision
    }
    columns = (statuses[name] for name in ("status", "reason", "enrollment_id"))
    classified = dict(zip(statuses["student_id"], zip(*columns, strict=True), strict=True))
    naive = judge(district, today)
    assert decided == classified == naive.statuses
    doubts = {student: set(one.uncertain) for student, one in explained.items() if one.uncertain}
    assert doubts == naive.uncertain
    gone = {student: one.absent for student, one in explained.items() if one.absent}
    by_word = dict(zip(absent["student_id"], absent["why"], strict=True))
    assert gone == {s: why for s, why in by_word.items() if s not in doubts} | {
        student: "no rows in Qmlativ" for student in students if not explained[student].enrollments
    }
    buildings = dict(zip(statuses["student_id"], statuses["building"].astype(object), strict=True))
    assert all(
        one.decision.building == (buildings[student] if isinstance(buildings[student], str) else None)
        for student, one in explained.items()
        if one.decision
    )


@pytest.mark.parametrize("seed", range(0, 80, 2))
def test_every_row_of_every_student_is_told_once_in_the_order_it_came(seed):
    district, today = edge_case_district(seed)
    students = sorted({row["StudentID"] for row in district["EntryWithdrawal"]} - {None})
    verdict = judge(district, today)
    explained: Counter[tuple[int | None, str]] = Counter()
    for one in explain_students(raw("raw_enrollments", district), students, today):
        came = [row for row in district["EntryWithdrawal"] if row["StudentID"] == one.student_id]
        assert [seen.enrollment_id for seen in one.enrollments] == [row["EntryWithdrawalID"] for row in came]
        assert [seen.first_day for seen in one.enrollments] == [
            without_placeholders(row)["StartDate"] for row in came
        ]
        assert sum(seen.decides for seen in one.enrollments) == (one.decision is not None)
        explained.update(
            (seen.enrollment_id, "counted" if seen.outcome == "counted" else seen.reason)
            for seen in one.enrollments
            if seen.outcome != "repeated"
        )
    nobody_s = {row["EntryWithdrawalID"] for row in district["EntryWithdrawal"] if row["StudentID"] is None}
    expected = Counter([*((number, "counted") for number in verdict.counted), *verdict.excluded])
    assert {key: n for key, n in expected.items() if key[0] not in nobody_s} == {
        key: n for key, n in explained.items() if key[0] not in nobody_s
    }


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
    explained = explain(nameless, entry(1, "2026-08-12"), missing, filtered)
    assert [
        (seen.enrollment_id, seen.first_day and seen.first_day.day) for seen in explained.enrollments
    ] == [(None, 12), (1, 12), (None, 13), (2, 12)]
    assert [seen.words for seen in explained.enrollments] == [
        "quarantined: a field cannot be read (EntryWithdrawalID)",
        "counted as current",
        "quarantined: a field cannot be read (its id)",
        "excluded: a cross-entity course enrollment (CECS)",
    ]
    assert explained.decision is not None
    assert [seen.decides for seen in explained.enrollments] == [False, True, False, False]


def test_a_contradicting_duplicate_is_quarantined_also_where_the_other_row_is_another_student_s():
    explained = explain(entry(1, "2026-08-12"), entry(1, "2026-08-12", student=2))
    assert fates(explained) == [(1, "quarantined", "conflicting_duplicate")]
    assert explained.uncertain == ("conflicting_duplicate",)
    assert "with different content" in explained.enrollments[0].words


def test_every_reason_of_the_vocabulary_has_words():
    """A new reason without words would only be noticed by the person who asks about such a student."""
    rows = [
        [entry(1, "2026-08-12")],
        [entry(1, "2027-01-07")],
        [entry(1, *PAST), entry(2, "2027-01-07")],
        [entry(1, *PAST, "01")],
        [entry(1, *PAST, "33")],
    ]
    rules = [explain(*entries).decision for entries in rows]
    assert [rule.rule for rule in rules if rule] == list(range(1, len(RULES) + 1))
    assert list(RULES) == list(STATUS_OF_REASON)
    reasons = [*EXCLUDED.values(), *QUARANTINED.values()]
    assert all(reason.sentence for reason in reasons)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([entry(1, "2026-08-12")], "1: it is the only current one"),
        ([entry(1, "2026-08-12"), entry(2, *PAST)], "1: it is the only current one"),
        (
            [entry(1, "2026-08-12"), entry(2, "2026-09-01", default=False)],
            "1: of the current ones, over 2 because it is at the default entity",
        ),
        (
            [entry(1, "2026-08-12"), entry(2, "2026-08-13"), entry(3, "2026-08-13")],
            "3: of the current ones, over 1 because it began last; over 2 because its id is the highest",
        ),
        (
            [entry(1, "2027-01-07"), entry(2, "2027-01-08"), entry(3, "2027-01-05", default=False)],
            "1: of the upcoming ones, over 3 because it is at the default entity; "
            "over 2 because it begins first",
        ),
        (
            [entry(1, *PAST, default=False), entry(2, "2026-01-07", "2026-05-27")],
            "1: of the past ones, over 2 because it ended last",
        ),
    ],
)
def test_why_this_enrollment_and_not_another(rows, said):
    assert why(*rows) == said


def test_a_day_on_which_one_ends_and_another_begins_has_two_current_ones():
    assert why(entry(1, "2026-08-12", TODAY), entry(2, TODAY)) == (
        "2: of the current ones, over 1 because it began last"
    )


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
    assert decision is not None
    assert (decision.building, decision.why_this_building) == (building, said)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([entry(1, None), entry(2, *PAST)], "uncertain: 1 row cannot be relied on (no_start_date)"),
        ([entry(1, "2024-08-14", "2025-05-28")], "no status: no enrollment is within"),
        ([entry(1, "2026-08-12", code="CECS")], "no status: there are only cross-entity course"),
        ([entry(1, "2026-08-12", "2026-08-11")], "no status: no enrollment was ever effective"),
        ([], "no status: Qmlativ has no enrollment of this student"),
    ],
)
def test_a_student_without_a_status_is_told_why(rows, said):
    explained = explain(*rows)
    assert explained.decision is None
    assert explained.sentences()[0].startswith(said)


def test_the_first_day_of_the_window_is_told():
    assert (
        "the import window of 2026-10-12 begins on 2025-10-12" in explain(entry(1, "2026-08-12")).sentences()
    )
