"""Whether a district's dates bear out that EndDate is the last day enrolled."""

from datetime import date, timedelta

import pandas as pd
import pytest

from samegoal_pipelines.transforms.end_dates import observe_end_dates
from samegoal_pipelines_tests.transforms.builders import entry, raw
from samegoal_pipelines_tests.transforms.edge_cases import edge_case_district
from samegoal_pipelines_tests.transforms.naive import without_placeholders

END = date(2026, 9, 30)


def ended(*differences: int | None) -> dict[str, pd.DataFrame]:
    """Enrollments that end on one day; WithdrawalDate lies so many days after it, or is missing."""
    rows = [
        entry(n, "2026-08-12", END, WithdrawalDate=None if days is None else END + timedelta(days=days))
        for n, days in enumerate(differences, start=1)
    ]
    return raw("raw_enrollments", {"EntryWithdrawal": rows})


def test_a_withdrawal_on_the_day_after_the_last_one_bears_the_reading_out():
    seen = observe_end_dates(ended(*[1] * 30))
    assert (seen.rows, seen.differences, seen.share(1)) == (30, {1: 30}, 1.0)
    assert seen.share(0) == seen.share(7) == 0.0  # no row has them
    assert not seen.contradicts_inclusive_reading


def test_the_same_day_in_most_rows_contradicts_it():
    seen = observe_end_dates(ended(*[0] * 12, *[1] * 8))
    assert (list(seen.differences), seen.share(0)) == ([0, 1], 0.6)
    assert seen.contradicts_inclusive_reading


@pytest.mark.parametrize(
    ("differences", "why"),
    [([0] * 19, "too few rows"), ([0] * 11 + [1] * 9, "too few of them"), ([3] * 40, "neither reading")],
)
def test_less_than_that_does_not(differences, why):
    assert not observe_end_dates(ended(*differences)).contradicts_inclusive_reading, why


@pytest.mark.parametrize("placeholder", ["0001-01-01", "1753-01-01", "1900-01-01", "9999-12-31"])
def test_a_placeholder_in_both_dates_is_no_same_day(placeholder):
    no_date = date.fromisoformat(placeholder)
    rows = [entry(n, "2026-08-12", no_date, WithdrawalDate=no_date) for n in range(1, 41)]
    assert observe_end_dates(raw("raw_enrollments", {"EntryWithdrawal": rows})).rows == 0


def test_rows_with_one_of_the_dates_tell_nothing():
    rows = ended(None, None, 0)
    rows["EntryWithdrawal"] = pd.concat(
        [
            rows["EntryWithdrawal"],
            raw("raw_enrollments", {"EntryWithdrawal": [entry(9, "2026-08-12", WithdrawalDate=END)]})[
                "EntryWithdrawal"
            ],
        ],
        ignore_index=True,
    )
    assert observe_end_dates(rows) == (1, {0: 1})


def test_the_most_common_differences_come_first_and_only_ten_are_told():
    seen = observe_end_dates(ended(*[5] * 3, *[1] * 4, -2, 0, 0, *range(20, 40)))
    assert list(seen.differences)[:3] == [1, 5, 0]
    assert len(seen.differences) == 10
    assert seen.rows == 30


def test_a_district_without_enrollments_has_nothing_to_tell():
    seen = observe_end_dates(raw("raw_enrollments", {}))
    assert (seen.rows, seen.differences, seen.share(0)) == (0, {}, 0.0)
    assert not seen.contradicts_inclusive_reading


def test_the_widest_difference_that_dates_can_have_is_a_number():
    row = entry(1, "2026-08-12", date(1, 1, 2), WithdrawalDate=date(9999, 12, 30))
    seen = observe_end_dates(raw("raw_enrollments", {"EntryWithdrawal": [row]}))
    assert [*seen.differences] == [(date(9999, 12, 30) - date(1, 1, 2)).days]


@pytest.mark.parametrize("seed", range(20))
def test_on_edge_case_districts_the_differences_add_up(seed):
    rows, _ = edge_case_district(seed)
    seen = observe_end_dates(raw("raw_enrollments", rows))
    came = map(without_placeholders, rows["EntryWithdrawal"])
    both = [row for row in came if row["EndDate"] and row["WithdrawalDate"]]
    assert seen.rows == len(both)
    assert sum(seen.differences.values()) <= seen.rows
    if both:
        differences = [(row["WithdrawalDate"] - row["EndDate"]).days for row in both]
        assert next(iter(seen.differences.values())) == max(differences.count(each) for each in differences)
