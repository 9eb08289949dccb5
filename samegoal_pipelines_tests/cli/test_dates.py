"""Dates as people type them."""

from datetime import date

import click
import pytest

from samegoal_pipelines.cli.commands import Day, Expiration


@pytest.mark.parametrize(
    ("kind", "typed", "day"),
    [
        (Day, "2028-02-29", date(2028, 2, 29)),
        (Expiration, "2027-08-01", date(2027, 8, 1)),
        (Expiration, "Never", "never"),
        (Expiration, "UNKNOWN", "unknown"),
    ],
)
def test_a_day_is_a_date_and_an_expiration_also_one_of_two_words_in_any_case(kind, typed, day):
    assert kind().convert(typed, None, None) == day


@pytest.mark.parametrize("typed", ["0001-01-01", "1027-08-01", "9999-12-31"])
@pytest.mark.parametrize("kind", [Day, Expiration])
def test_a_date_in_an_impossible_year_is_wrong_usage(kind, typed):
    with pytest.raises(click.BadParameter, match=f"{typed} is out of range; use a date from 2000"):
        kind().convert(typed, None, None)


@pytest.mark.parametrize("typed", ["2027-02-30", "", "08/01/2027", "soon"])
def test_what_is_no_expiration_is_answered_with_how_to_write_one(typed):
    with pytest.raises(click.BadParameter) as refused:
        Expiration().convert(typed, None, None)
    assert refused.value.message == f"{typed!r} is no date; write it as 2027-08-01, or never or unknown"
