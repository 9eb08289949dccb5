"""Whether a district's dates bear out that EndDate is the last day enrolled."""

from datetime import date, timedelta

import pytest

from samegoal_pipelines.transforms.enrollments import contradicts_inclusive_reading, observe_end_dates
from samegoal_pipelines_tests.transforms.builders import entry, raw

END = date(2026, 9, 30)


def observe(*dates: tuple[date | None, date | None]) -> dict[int, int]:
    """What enrollments with these pairs of EndDate and WithdrawalDate show."""
    rows = [
        entry(n, "2026-08-12", end, WithdrawalDate=withdrawal) for n, (end, withdrawal) in enumerate(dates)
    ]
    return observe_end_dates(raw("raw_enrollments", {"EntryWithdrawal": rows}))


@pytest.mark.parametrize(
    ("differences", "contradicts"),
    [
        ([1] * 30, False),  # the day after, as the rules assume
        ([0] * 12 + [1] * 8, True),  # the same day in most rows
        ([0] * 19, False),  # too few rows
        ([0] * 11 + [1] * 9, False),  # too few of them
        ([3] * 40, False),  # neither reading
        ([], False),
    ],
)
def test_the_same_day_in_most_of_enough_rows_contradicts_the_reading(differences, contradicts):
    seen = observe(*((END, END + timedelta(days=days)) for days in differences))
    assert contradicts_inclusive_reading(seen) == contradicts
    assert seen == {days: differences.count(days) for days in differences}


@pytest.mark.parametrize("placeholder", [date(1, 1, 1), date(1753, 1, 1), date(1900, 1, 1), date.max])
def test_rows_without_both_dates_tell_nothing_and_a_placeholder_is_no_date(placeholder):
    rows = [(placeholder, placeholder), (END, None), (None, END), (END, END)]
    assert observe(*rows) == {0: 1}


def test_the_most_common_differences_come_first():
    widest = (date(1, 1, 2), date(9999, 12, 30))
    days = [*[5] * 3, *[1] * 4, 0, 0, 20]
    seen = observe(*[widest] * 5, *((END, END + timedelta(days=n)) for n in days))
    assert list(seen) == [(widest[1] - widest[0]).days, 1, 5, 0, 20]
