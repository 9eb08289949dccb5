"""Whether a district's dates bear out that EndDate is the last day enrolled."""

from datetime import date, timedelta

import pytest

from samegoal_pipelines.transforms.enrollments import EndDates, observe_end_dates
from samegoal_pipelines_tests.transforms.builders import entry, raw

END = date(2026, 9, 30)


def observe(*dates: tuple[date | None, date | None]) -> EndDates:
    """What enrollments with these pairs of EndDate and WithdrawalDate show."""
    rows = [
        entry(n, "2026-08-12", end, WithdrawalDate=withdrawal) for n, (end, withdrawal) in enumerate(dates)
    ]
    return observe_end_dates(raw("raw_enrollments", {"EntryWithdrawal": rows}))


def ended(*differences: int) -> EndDates:
    """The same for enrollments that end on one day; WithdrawalDate is so many days after it."""
    return observe(*((END, END + timedelta(days=days)) for days in differences))


@pytest.mark.parametrize(
    ("differences", "contradicts", "why"),
    [
        ([1] * 30, False, "the day after, as the rules assume"),
        ([0] * 12 + [1] * 8, True, "the same day in most rows"),
        ([0] * 19, False, "too few rows"),
        ([0] * 11 + [1] * 9, False, "too few of them"),
        ([3] * 40, False, "neither reading"),
        ([], False, "no enrollments"),
    ],
)
def test_the_same_day_in_most_of_enough_rows_contradicts_the_reading(differences, contradicts, why):
    seen = ended(*differences)
    assert seen.contradicts_inclusive_reading == contradicts, why
    assert (seen.rows, seen.differences) == (
        len(differences),
        {days: differences.count(days) for days in differences},
    )
    assert seen.share(0) == (differences.count(0) / len(differences) if differences else 0)


@pytest.mark.parametrize("placeholder", ["0001-01-01", "1753-01-01", "1900-01-01", "9999-12-31"])
def test_rows_without_both_dates_tell_nothing_and_a_placeholder_is_no_date(placeholder):
    no_date = date.fromisoformat(placeholder)
    assert observe((no_date, no_date), (END, None), (None, END), (END, END)) == (1, {0: 1})


def test_the_most_common_differences_come_first_and_only_ten_are_listed():
    seen = ended(*[5] * 3, *[1] * 4, -2, 0, 0, *range(20, 40))
    assert list(seen.differences)[:3] == [1, 5, 0]
    assert (len(seen.differences), seen.rows) == (10, 30)


def test_the_widest_difference_that_dates_can_have_is_a_number():
    first, last = date(1, 1, 2), date(9999, 12, 30)
    assert [*observe((first, last)).differences] == [(last - first).days]
