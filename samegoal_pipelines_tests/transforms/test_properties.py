"""What follows from the rules, on districts full of ties, boundaries and trouble, against a naive version."""

from collections import Counter
from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samegoal_pipelines.tables import enrollments as models
from samegoal_pipelines.tables.validation import violations
from samegoal_pipelines.tables.vocabulary import EXCLUDED, QUARANTINED, RULES
from samegoal_pipelines.transforms.status import UNCERTAIN_STATUS, forecast_statuses
from samegoal_pipelines_tests.transforms.builders import classify, raw
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
    filtered, statuses, uncertain, absent = classify(raw("raw_enrollments", district), today)
    enrollments, excluded = filtered.enrollments, filtered.excluded
    if check:
        for frame, model in (
            *((enrollments, models.FILTERED_ENROLLMENTS), (excluded, models.EXCLUDED_ENROLLMENTS)),
            *((statuses, models.STUDENT_STATUS), (uncertain, models.UNCERTAIN_STUDENTS)),
        ):
            assert violations(frame, model) == ""
    decided = zip(statuses["status"], statuses["reason"], statuses["enrollment_id"], strict=True)
    doubts = zip(uncertain["student_id"], uncertain["reasons"], strict=True)
    ids = excluded["enrollment_id"].astype(object)
    assert list(absent["student_id"]) == sorted(absent["student_id"])
    return Verdict(
        counted=list(enrollments["enrollment_id"]),
        excluded=list(zip(ids.where(ids.notna(), None), excluded["reason"], strict=True)),
        repeated=filtered.repeated,
        placeholder_dates=filtered.placeholder_dates,
        statuses=dict(zip(statuses["student_id"], decided, strict=True)),
        uncertain={student: set(reasons.split(",")) for student, reasons in doubts},
        absent=dict(zip(absent["student_id"], absent["why"], strict=True)),
    )


def assert_same(ours: Verdict, expected: Verdict) -> None:
    for verdict in (ours, expected):  # the order of rows means nothing
        verdict.counted.sort()
        verdict.excluded.sort(key=str)
    assert ours == expected


@pytest.mark.parametrize("seed", range(200))
def test_statuses_of_all_students_equal_those_of_the_naive_implementation(seed):
    """And every student has one status, is uncertain or has no row; every row is accounted for once."""
    district, today = edge_case_district(seed)
    verdict = run(district, today, check=seed % 4 == 0)
    assert_same(verdict, judge(district, today))
    assert not set(verdict.statuses) & set(verdict.uncertain)
    came = Counter(row["EntryWithdrawalID"] for row in district["EntryWithdrawal"])
    went = Counter([*verdict.counted, *(number for number, _ in verdict.excluded)])
    assert went.total() + verdict.repeated == came.total()
    assert set(went) == set(came)


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


@pytest.mark.parametrize("seed", range(20))
def test_the_forecast_is_what_each_day_would_say(seed):
    district, today = edge_case_district(seed)

    def statuses(day: date) -> dict[int, str]:
        verdict = run(district, day)
        known = {student: status for student, (status, *_) in verdict.statuses.items()}
        return known | dict.fromkeys(verdict.uncertain, UNCERTAIN_STATUS)

    expected, before = [], statuses(today)
    for day in (today + timedelta(days=step) for step in range(1, 31)):
        after = statuses(day)
        expected += [
            (student, day, before.get(student), after.get(student))
            for student in sorted(before.keys() | after.keys())
            if before.get(student) != after.get(student)
        ]
        before = after
    for horizon in (*range(1, 8), 30):
        within = [flip for flip in expected if flip[1] <= today + timedelta(days=horizon)]
        assert forecast_statuses(raw("raw_enrollments", district), today, horizon) == within


@given(seeds, st.sampled_from(["CECS", " cecs ", "Cecs"]))
@thorough
def test_adding_a_cecs_row_changes_no_status(seed, code):
    """Section 4: a cross-entity course enrollment changes nothing, for a known student or a new one."""
    district, today = edge_case_district(seed)
    before = run(district, today)
    district["WithdrawalCode"].append(district["WithdrawalCode"][0] | {"WithdrawalCodeID": 7, "Code": code})
    year = district["SchoolYear"][-1]["SchoolYearID"]
    course = {"StartDate": today, "WithdrawalCodeID": 7, "SchoolYearID": year}
    district["EntryWithdrawal"] += [
        course | {"EntryWithdrawalID": 10**8, "StudentID": 1},
        course | {"EntryWithdrawalID": 10**8 + 1, "StudentID": 77},
    ]
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
