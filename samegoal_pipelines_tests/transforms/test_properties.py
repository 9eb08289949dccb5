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
from samegoal_pipelines_tests.transforms.naive import Row, Verdict, assert_same, judge

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
    """Section 4: a status changes only on a first day, after a last day, or when a row leaves the window.

    The forecast looks at no other day. A row that leaves the window makes nobody ENROLLED.
    """
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
    begins = {(row["StudentID"], row["StartDate"]) for row in district["EntryWithdrawal"]}
    enrolled = {flip[:2] for flip in expected if flip[3] == "ENROLLED" and flip[2] != UNCERTAIN_STATUS}
    assert enrolled <= begins
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
