"""What follows from the rules, on districts full of ties, boundaries and trouble, against a naive version."""

from collections import Counter
from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samegoal_pipelines.tables.enrollments import (
    EXCLUDED_ENROLLMENTS,
    FILTERED_ENROLLMENTS,
    STUDENT_STATUS,
    UNCERTAIN_STUDENTS,
)
from samegoal_pipelines.tables.validation import validate
from samegoal_pipelines.tables.vocabulary import EXCLUDED, QUARANTINED, RULES
from samegoal_pipelines.transforms.enrollments import filter_enrollments
from samegoal_pipelines.transforms.status import classify_students
from samegoal_pipelines_tests.transforms.builders import raw
from samegoal_pipelines_tests.transforms.edge_cases import edge_case_district
from samegoal_pipelines_tests.transforms.naive import (
    Row,
    Verdict,
    a_year_before,
    judge,
    last_day,
    without_placeholders,
)

seeds = st.integers(0, 10**9)
thorough = settings(max_examples=25, deadline=None)
OF_CHOSEN_ENTITIES = {"entity_not_included", "no_entity"}
"""Reasons that only apply if a district has chosen its entities, as none here has."""


def run(district: dict[str, list[Row]], today: date, *, check: bool = False) -> Verdict:
    """The transforms' verdict in the naive one's shape; with `check`, after a look at every schema."""
    filtered = filter_enrollments(raw("raw_enrollments", district), today)
    enrollments, excluded = filtered.enrollments, filtered.excluded
    statuses, uncertain = classify_students(enrollments, excluded, today)
    if check:
        assert_sound(enrollments, FILTERED_ENROLLMENTS)
        assert_sound(excluded, EXCLUDED_ENROLLMENTS)
        assert_sound(statuses, STUDENT_STATUS)
        assert_sound(uncertain, UNCERTAIN_STUDENTS)
    decided = zip(statuses["status"], statuses["reason"], statuses["enrollment_id"], strict=True)
    doubts = zip(uncertain["student_id"], uncertain["reasons"], strict=True)
    return Verdict(
        counted=list(enrollments["enrollment_id"]),
        excluded=list(zip(none_for_null(excluded["enrollment_id"]), excluded["reason"], strict=True)),
        repeated=filtered.repeated,
        placeholder_dates=filtered.placeholder_dates,
        statuses=dict(zip(statuses["student_id"], decided, strict=True)),
        uncertain={student: set(reasons.split(",")) for student, reasons in doubts},
    )


def assert_sound(frame, model) -> None:
    report = validate(frame, model)
    assert report.ok, report.summary()


def none_for_null(column) -> list[int | None]:
    return column.astype(object).where(column.notna(), None).tolist()


def assert_same(ours: Verdict, expected: Verdict) -> None:
    assert ours.statuses == expected.statuses
    assert ours.uncertain == expected.uncertain
    assert ours.repeated == expected.repeated
    assert ours.placeholder_dates == expected.placeholder_dates
    assert sorted(ours.counted) == sorted(expected.counted)
    assert Counter(ours.excluded) == Counter(expected.excluded)


@pytest.mark.parametrize("seed", range(200))
def test_statuses_of_all_students_equal_those_of_the_naive_implementation(seed):
    district, today = edge_case_district(seed)
    assert_same(run(district, today, check=seed % 4 == 0), judge(district, today))


def test_the_random_districts_have_every_edge_case():
    """Every reason and every status comes up somewhere in the two hundred, or they would prove little."""
    reasons, fates = Counter(), Counter()
    for seed in range(200):
        district, today = edge_case_district(seed)
        verdict = judge(district, today)
        reasons.update(reason for _, reason, _ in verdict.statuses.values())
        fates.update(reason for _, reason in verdict.excluded)
        fates.update(["repeated"] * verdict.repeated, uncertain=len(verdict.uncertain))
    assert set(reasons) == set(RULES)
    assert set(fates) == {*EXCLUDED, *QUARANTINED, "repeated", "uncertain"} - OF_CHOSEN_ENTITIES
    assert min(*reasons.values(), *fates.values()) >= 5


@given(seeds)
@thorough
def test_a_student_has_one_status_or_is_uncertain_or_has_no_row(seed):
    """Section 4: one status per student; and section 2: who is uncertain has none."""
    district, today = edge_case_district(seed)
    verdict = run(district, today)
    students = [row["StudentID"] for row in district["EntryWithdrawal"]]
    assert set(verdict.statuses) <= set(students)
    assert not set(verdict.statuses) & set(verdict.uncertain)


@given(seeds, st.sampled_from(["CECS", " cecs ", "Cecs"]))
@thorough
def test_adding_a_cecs_row_changes_no_status(seed, code):
    """Section 4: a cross-entity course enrollment changes nothing, for a known student or a new one."""
    district, today = edge_case_district(seed)
    before = run(district, today)
    district["WithdrawalCode"].append(
        dict.fromkeys(district["WithdrawalCode"][0]) | {"WithdrawalCodeID": 7, "Code": code}
    )
    blank = dict.fromkeys(district["EntryWithdrawal"][0]) if district["EntryWithdrawal"] else None
    if blank is None:
        return
    for number, student in ((10**8, 1), (10**8 + 1, 77)):
        year = district["SchoolYear"][-1]["SchoolYearID"]
        district["EntryWithdrawal"].append(
            blank
            | {"EntryWithdrawalID": number, "StudentID": student, "StartDate": today, "WithdrawalCodeID": 7}
            | {"SchoolYearID": year}
        )
    after = run(district, today)
    assert (after.statuses, after.uncertain) == (before.statuses, before.uncertain)


@given(seeds)
@thorough
def test_repeating_a_row_changes_nothing_but_the_count_of_repeats(seed):
    """Section 4: repeating a row changes nothing."""
    district, today = edge_case_district(seed)
    before = run(district, today)
    rows = district["EntryWithdrawal"]
    again = [dict(row) for row in rows[::3]]
    after = run(district | {"EntryWithdrawal": rows + again}, today)
    before.repeated += len(again)
    assert_same(after, before)


@given(seeds)
@thorough
def test_shuffling_rows_changes_nothing(seed):
    """Section 4: the order in which rows come means nothing."""
    district, today = edge_case_district(seed)
    before = run(district, today)
    for name, rows in district.items():
        district[name] = Random(seed).sample(rows, len(rows))
    after = run(district, today)
    assert_same(after, before)
    assert list(after.statuses) == sorted(after.statuses)


def test_moving_today_changes_a_status_only_where_an_enrollment_turns():
    """Section 4: a status flips on a first day, after a last day, or when a row leaves the window; a row that
    leaves the window makes nobody ENROLLED. School years keep their flags, so that the calendar alone moves.

    Students have few rows here: who has many keeps the status when one of them leaves the window.
    """
    flips = Counter()
    for seed in range(30):
        district, day = edge_case_district(seed)
        for row in district["EntryWithdrawal"]:
            if row["StudentID"] is not None and row["EntryWithdrawalID"] is not None:
                row["StudentID"] = 100 * (row["EntryWithdrawalID"] % 97) + row["StudentID"] % 2
        for year in district["SchoolYear"]:
            year["IsUpcomingYearForProvidedEntity"] = True
        start = day - timedelta(days=3)
        previous = run(district, start)
        for today in (start + timedelta(days=step) for step in range(1, 6)):
            verdict = run(district, today)
            turning = turns(district, today)
            for student in previous.statuses.keys() | verdict.statuses.keys():
                old, new = previous.statuses.get(student), verdict.statuses.get(student)
                if (old and old[0]) == (new and new[0]):
                    continue
                assert student in turning
                flips.update(turning[student])
                if turning[student] == {"left the window"}:
                    assert new is None or new[0] != "ENROLLED"
            previous = verdict
    assert flips.keys() == {"begins", "ended", "left the window"}
    assert min(flips.values()) >= 15, flips


def turns(district: dict[str, list[Row]], today: date) -> dict[int, set[str]]:
    """Students of whom an enrollment begins today, ended yesterday, or leaves the window today."""
    found: dict[int, set[str]] = {}
    for row in map(without_placeholders, district["EntryWithdrawal"]):
        last = last_day(row)
        events = {
            "begins": row["StartDate"] == today,
            "ended": last is not None and last == today - timedelta(days=1),
            "left the window": last is not None
            and a_year_before(today - timedelta(days=1)) <= last < a_year_before(today),
        }
        found.setdefault(row["StudentID"], set()).update(event for event, holds in events.items() if holds)
    return {student: events for student, events in found.items() if events}


@given(seeds)
@thorough
def test_counted_filtered_and_quarantined_add_up(seed):
    """Section 4: every enrollment that came in is accounted for, once."""
    district, today = edge_case_district(seed)
    verdict = run(district, today)
    came = Counter(row["EntryWithdrawalID"] for row in district["EntryWithdrawal"])
    went = Counter([*verdict.counted, *(number for number, _ in verdict.excluded)])
    assert went.total() + verdict.repeated == came.total()
    assert set(went) == set(came)
