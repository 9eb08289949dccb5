"""When each student comes, moves between campuses and leaves: the plan from which enrollment rows are made.

A plan covers the school years around its anchor and knows no ``today``: what has happened by a day is read
off it, so that the same district is seen a day later with only that day's changes. No rows here.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from samegoal_pipelines.sandbox.draw import chance, generator, some
from samegoal_pipelines.sandbox.school_years import NUMERIC_YEAR_OF_ID_0, YEARS_BACK

KINDERGARTEN, SENIOR = 0, 12
_GRADES = np.arange(-2, 16)
"""Grades in the anchor year: -2 comes next year, -1 is PK, 13 and more have graduated in years before."""
_GRADE_SHARE = np.array([0.008, 0.035, *[0.0667] * 13, 0.058, 0.018, 0.0139])
_LEAVES = ((0, 0.05), (-1, 0.035), (-2, 0.008), (-3, 0.005))
"""Shares of students who leave in the anchor year, the year before, …"""


def day_number(day: dt.date) -> int:
    """Days since 1970, as Arrow counts dates."""
    return day.toordinal() - dt.date(1970, 1, 1).toordinal()


def first_day(school_year_id: int) -> int:
    """First day of school, as a day number."""
    return day_number(dt.date(school_year_id - 1 + NUMERIC_YEAR_OF_ID_0, 8, 12))


def last_day(school_year_id: int) -> int:
    """Last day of school."""
    return day_number(dt.date(school_year_id + NUMERIC_YEAR_OF_ID_0, 5, 27))


def on_calendar(day_of: Callable[[int], int], years: np.ndarray) -> np.ndarray:
    """``first_day`` or ``last_day`` of each of many years."""
    known, place = np.unique(years, return_inverse=True)
    return np.array([day_of(int(year)) for year in known], np.int64)[place]


@dataclass(frozen=True)
class Careers:
    """Arrays over students; years are SchoolYearIDs, days are day numbers."""

    anchor: int
    grade: np.ndarray
    """Grade in the anchor year; one less the year before."""
    first_year: np.ndarray
    start_offset: np.ndarray
    """Days between the first day of school and their first one, in first_year."""
    last_year: np.ndarray
    """The year in which they graduate or leave, or the one after the anchor."""
    leaves: np.ndarray
    """Whether they leave in last_year without graduating."""
    exit_day: np.ndarray
    """Their last day, if they leave."""
    transfer_year: np.ndarray
    transfer_day: np.ndarray
    """Last day at one campus before they go on at their home campus, in transfer_year."""
    gap: np.ndarray
    """Days away between the two."""
    no_show: np.ndarray
    """Positions: an enrollment that ends before it starts."""
    one_day: np.ndarray
    """Positions: an enrollment that ends on its first day."""
    cecs_only: np.ndarray
    """Positions: pupils of other schools who take one course here."""
    cecs: dict[int, np.ndarray]
    """Positions by year: high-school students with a course at another entity."""
    flagged_only: np.ndarray
    """Positions: a course at another entity without the withdrawal code."""
    second_campus: np.ndarray
    """Positions: a placement beside the home campus."""
    never_closed: np.ndarray
    """Positions: left in an old year, and nobody closed the enrollment."""
    withdrawal_date_only: np.ndarray
    """Positions: left, with a withdrawal date and no end date."""

    def attending(self, year: int) -> np.ndarray:
        """Positions of those who attend in a year, pupils of other schools aside."""
        grade = self.grade - (self.anchor - year)
        here = (grade >= -1) & (grade <= SENIOR) & (self.first_year <= year) & (year <= self.last_year)
        here[self.cecs_only] = False
        return np.nonzero(here)[0]


def careers_of(seed: int, number: int, students: int, anchor: int) -> Careers:
    """The plan of as many students."""
    rng = generator(seed, number, "careers")
    grade = rng.choice(_GRADES, students, p=_GRADE_SHARE / _GRADE_SHARE.sum())
    graduates = anchor + SENIOR - grade
    first_year, start_offset = _arrivals(rng, grade, graduates, anchor)
    last_year, leaves, exit_day = _exits(rng, grade, first_year, graduates, anchor)
    transfer_year = rng.integers(anchor - YEARS_BACK, anchor + 1, students)
    transfer_year = np.where(chance(rng, students, 0.09), transfer_year, 0)
    transfer_day = rng.integers(40, 230, students) + on_calendar(first_day, transfer_year)
    gap = np.where(chance(rng, students, 0.12), rng.integers(15, 40, students), 0)

    pool = np.nonzero((grade >= KINDERGARTEN) & (grade <= SENIOR) & (first_year < anchor) & ~leaves)[0]
    left = np.nonzero(leaves & (last_year == anchor - 1))[0]

    def take(share: float, wanted: np.ndarray) -> np.ndarray:
        """Some who are not taken for anything else."""
        nonlocal pool, left
        chosen = some(rng, np.intersect1d(wanted, np.concatenate([pool, left])), share, students)
        pool, left = np.setdiff1d(pool, chosen), np.setdiff1d(left, chosen)
        return chosen

    high = np.nonzero((grade >= 9) & (grade <= SENIOR))[0]
    return Careers(
        anchor=anchor,
        grade=grade,
        first_year=first_year,
        start_offset=start_offset,
        last_year=last_year,
        leaves=leaves,
        exit_day=exit_day,
        transfer_year=transfer_year,
        transfer_day=transfer_day,
        gap=gap,
        withdrawal_date_only=take(0.004, left),
        never_closed=take(0.003, left),
        no_show=take(0.0008, pool),
        one_day=take(0.001, pool),
        cecs_only=take(0.0007, np.intersect1d(high, pool)),
        cecs={year: take(0.02, np.intersect1d(high, pool)) for year in (anchor, anchor - 1)},
        flagged_only=take(0.0008, np.intersect1d(high, pool)),
        second_campus=take(0.006, pool),
    )


def _arrivals(
    rng: np.random.Generator, grade: np.ndarray, graduates: np.ndarray, anchor: int
) -> tuple[np.ndarray, np.ndarray]:
    """First year and days after its first day of school: most begin with PK or KG, others move in."""
    count = len(grade)
    pk_year = anchor - grade - 1
    begins = np.where((grade >= KINDERGARTEN) & chance(rng, count, 0.6), pk_year + 1, pk_year)
    earliest = np.maximum(anchor - YEARS_BACK, begins)
    latest = np.minimum(anchor, graduates)
    moved_in = chance(rng, count, 0.25) & (earliest < latest)
    span = np.maximum(1, latest - earliest)
    first_year = np.where(moved_in, earliest + 1 + (rng.random(count) * span).astype(np.int64), earliest)
    late = moved_in & chance(rng, count, 0.45)
    offset = np.where(first_year < anchor, rng.integers(1, 200, count), rng.integers(1, 20, count))
    return first_year, np.where(late, offset, 0)


def _exits(
    rng: np.random.Generator, grade: np.ndarray, first_year: np.ndarray, graduates: np.ndarray, anchor: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Last year, whether they leave in it, and their last day then: within the year, or when it ends."""
    count = len(grade)
    draw = rng.random(count)
    leave_year, reached = np.zeros(count, np.int64), 0.0
    for back, share in _LEAVES:
        leave_year[(draw >= reached) & (draw < reached + share)] = anchor + back
        reached += share
    leaves = (leave_year >= first_year) & (leave_year <= graduates) & (leave_year > 0)
    last_year = np.where(leaves, leave_year, np.minimum(graduates, anchor + 1))
    opens, closes = on_calendar(first_day, last_year), on_calendar(last_day, last_year)
    within = opens + 210 + rng.integers(0, 60, count)
    within = np.where(chance(rng, count, 0.8), opens + 10 + rng.integers(0, 260, count), within)
    exit_day = np.where(chance(rng, count, 0.7), within, closes)
    return last_year, leaves, exit_day
