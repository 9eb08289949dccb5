"""Enrollments: when each student comes, moves between campuses and leaves, as known on a given day.

The whole plan comes first. It depends on no day and gives every row its id. Then everything that is not yet
known on the day is left out, so the same district a day later shows only that day's changes. The plan has
every kind of enrollment that the status rules name.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

from samegoal_pipelines.sandbox.district import YEARS_BACK, Rows, withdrawal_code_id
from samegoal_pipelines.sandbox.people import Pupil

LEAVER_CODES = ("16", "60", "66", "81", "82", "83", "98")
_LEAVING_SHARES = (0.05, 0.035, 0.008, 0.005, 0.902)
"""Shares of students who leave in the year, one, two or three years before, or later."""
_PREREGISTRATION = dt.timedelta(days=217)
"""From the first day of school to mid-March, when next year's enrollments are entered."""
_SCHOOL_DAYS = dt.timedelta(days=288)
_DAY = dt.timedelta(days=1)


class Campus(NamedTuple):
    """One entity and one school. Campuses without a level serve the whole district."""

    entity: int
    school: int
    name: str
    level: int | None


@dataclass
class _Enrollment:
    """An enrollment as it turns out in the end. It is entered on one day, and its end on another."""

    year: int
    campus: Campus
    start: dt.date
    end: dt.date
    code: str | None
    entered: dt.date
    end_entered: dt.date
    home: bool = True
    course: bool = False
    only_withdrawal_date: bool = False


def first_day(year: int) -> dt.date:
    """First day of school in the year with this id."""
    return dt.date(1999 + year, 8, 12)


def last_day(year: int) -> dt.date:
    """Last day of school: 27 May, or 26 May in a leap year."""
    return first_day(year) + _SCHOOL_DAYS


def enrollment_rows(
    rng: Random, pupils: Sequence[Pupil], campuses: Sequence[Campus], year: int, today: dt.date
) -> Rows:
    """Rows of Enrollment/EntryWithdrawal as they are on a day. ``year`` is that of the pupils' grades."""
    rows, number = [], 4_000_000
    for pupil in pupils:
        for plan in [*_at_home(rng, pupil, campuses, year), *_elsewhere(rng, pupil, campuses, year)]:
            number += 1
            if plan.entered <= today:
                key = {"EntryWithdrawalID": number, "StudentID": pupil.student_id}
                rows.append(key | _as_recorded(plan, today))
    return rows


def _at_home(rng: Random, pupil: Pupil, campuses: Sequence[Campus], year: int) -> Iterator[_Enrollment]:
    """The years that a student attends, some of which are split by a stay at another campus."""
    grade, special = pupil.grade, pupil.special
    if special == "course only":
        return
    begins = year - grade - (grade < 0 or rng.random() < 0.4)  # most skip PK
    graduates = year + 12 - grade
    first, latest = max(year - YEARS_BACK, begins), min(year, graduates)
    late = dt.timedelta()
    if not special and first < latest and rng.random() < 0.25:  # moved to the district
        first = rng.randint(first + 1, latest)
        if rng.random() < 0.45:
            late = rng.randrange(1, 200 if first < year else 20) * _DAY
    leave_year = year - rng.choices((0, 1, 2, 3, -9), _LEAVING_SHARES)[0]
    if special:
        leave_year = year - 1 if special in ("withdrawal date only", "never closed") else year + 9
    last = leave_year if first <= leave_year <= graduates else min(graduates, year + 1)
    exit_after = rng.randrange(10, 270) * _DAY if rng.random() < 0.7 else _SCHOOL_DAYS
    for here in range(first, last + 1):
        opens, then = first_day(here), grade - year + here
        level = [campus for campus in campuses if campus.level == (then >= 6) + (then >= 9)]
        attended = _Enrollment(
            here,
            level[int(pupil.zone * len(level))],
            start=opens + late if here == first else opens,
            end=last_day(here),
            code="01" if then == 12 else None,
            entered=dt.date.min,
            end_entered=last_day(here),
        )
        if here > year and here != first:  # rolled over; a few are forgotten
            attended.entered = first_day(year) + _PREREGISTRATION if rng.random() < 0.97 else dt.date.max
        if here == leave_year:
            attended.end = max(opens + exit_after, attended.start + _DAY)
            attended.end_entered = attended.end - (30 * _DAY if rng.random() < 0.5 else dt.timedelta())
            attended.code = rng.choice((*LEAVER_CODES, "82", "82", None))
            attended.only_withdrawal_date = special == "withdrawal date only"
            if special == "never closed":
                attended.end_entered = dt.date.max
        if special in ("no-show", "one day") and here >= year - 1:
            attended.end = opens - dt.timedelta(days=special == "no-show")
            attended.code, attended.end_entered = "98", opens + 7 * _DAY
        yield from _with_transfer(rng, attended, campuses[-1]) if not special else [attended]


def _with_transfer(rng: Random, attended: _Enrollment, elsewhere: Campus) -> list[_Enrollment]:
    """Split a few years in two: first at another campus, later at the home campus, sometimes with a gap."""
    moved = attended.start + rng.randrange(40, 230) * _DAY
    gap = rng.randrange(15, 40) if rng.random() < 0.12 else 0
    resumed = moved + (gap + 1) * _DAY
    if rng.random() >= 0.023 or resumed + 4 * _DAY >= attended.end:
        return [attended]
    code = "60" if gap else "33"
    before = replace(attended, campus=elsewhere, end=moved, end_entered=moved, code=code)
    return [before, replace(attended, start=resumed, entered=max(attended.entered, resumed))]


def _elsewhere(rng: Random, pupil: Pupil, campuses: Sequence[Campus], year: int) -> list[_Enrollment]:
    """A course at the career center, or a placement beside the home campus."""
    special = pupil.special
    if not special.startswith(("course", "second campus")):
        return []
    in_year = year - 1 if special == "course last year" else year
    start, end, is_course = first_day(in_year), last_day(in_year), special != "second campus"
    if not is_course:
        start += (14 + pupil.student_id * 7 % 120) * _DAY
        end = start + 46 * _DAY
    elif special in ("course", "course last year"):  # half a year
        if rng.random() < 0.5:
            start += 149 * _DAY
        else:
            end = start + 128 * _DAY
    code = {"second campus": "33", "course without a code": None}.get(special, "CECS")
    where = campuses[-2 if is_course else -1]
    return [_Enrollment(in_year, where, start, end, code, dt.date.min, end, home=False, course=is_course)]


def _as_recorded(plan: _Enrollment, today: dt.date) -> dict[str, Any]:
    """Qmlativ's columns: an end, and its code, only once it is entered."""
    ended = plan.end_entered <= today
    # A course elsewhere carries its code from the start; any other code comes with the end.
    code = plan.code if ended or plan.code == "CECS" else None
    withdrawn = ended and (code is not None or plan.only_withdrawal_date)
    return {
        "EntityID": plan.campus.entity,
        "SchoolID": plan.campus.school,
        "SchoolYearID": plan.year,
        "StartDate": plan.start,
        "EndDate": plan.end if ended and not plan.only_withdrawal_date else None,
        "WithdrawalDate": plan.end + _DAY if withdrawn else None,
        "WithdrawalCodeID": withdrawal_code_id(plan.year, code),
        "IsDefaultEntity": plan.home,
        "IsCrossEntityCourseEnrollment": plan.course,
    }
