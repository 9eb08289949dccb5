"""Enrollments: when each student comes, moves between campuses and leaves, as known on a given day.

The whole plan comes first. It depends on no day and gives every row its id. Then everything that is not yet
known on the day is left out, so the same district a day later shows only that day's changes. The plan has
every kind of enrollment that the status rules name.
"""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from samegoal_pipelines.sandbox.draw import Array, Rng, chance, only, pick, some
from samegoal_pipelines.sandbox.objects import YEARS_BACK, withdrawal_code_id

LEAVER_CODES = ("16", "60", "66", "81", "82", "83", "98")
_LEAVING_SHARES = (0.05, 0.035, 0.008, 0.005)
"""Shares of students who leave in the year, the year before, and so on."""
_PREREGISTRATION = 217
"""Days after the first day of school (mid-March) from which next year's enrollments exist."""
_SCHOOL_DAYS = 288
_SPECIAL_SHARES = {
    "withdrawal date only": 0.004,  # of students who left last year
    "never closed": 0.003,
    "no-show": 0.0008,
    "one day": 0.001,
    "second campus": 0.006,
    "course only": 0.0007,  # of high-school students, at another entity
    "course": 0.02,
    "course last year": 0.02,
    "course without a code": 0.0008,
}


def first_day(year: Any) -> Any:
    """First day of school in the year with this id, or in each of an array of years."""
    august = np.asarray(year + 29).astype("datetime64[Y]") + np.timedelta64(7, "M")
    return august.astype("datetime64[D]") + 11


def last_day(year: Any) -> Any:
    """Last day of school: 27 May, or 26 May in a leap year."""
    return first_day(year) + _SCHOOL_DAYS


def enrollment_rows(
    rng: Rng, students: pd.DataFrame, campuses: pd.DataFrame, year: int, day: dt.date
) -> pd.DataFrame:
    """Rows of Enrollment/EntryWithdrawal as they are on a day.

    Args:
        students: their student_id, grade in the school year ``year``, and zone.
    """
    today = np.datetime64(day)
    careers = _careers(rng, students["grade"].to_numpy(), year)
    rows = _years_at_home(rng, careers, year, today)
    rows["campus"] = _home_campuses(campuses, rows["grade"], students["zone"].to_numpy()[rows["student"]])
    rows = _with_transfers(rng, rows, len(campuses) - 1, today)
    rows = pd.concat([rows, _elsewhere(rng, careers, campuses, year, today)])
    rows["id"] = 4_000_001 + np.arange(len(rows))
    return _as_recorded(rows[rows["visible"]], campuses, students["student_id"].to_numpy())


def _careers(rng: Rng, grade: Array, year: int) -> pd.DataFrame:
    """Per student: first and last year, late start, whether and when they leave, and anything special."""
    count, graduates = len(grade), year + 12 - grade
    begins = year - grade - 1 + ((grade >= 0) & chance(rng, count, 0.6))  # most skip PK
    earliest, latest = np.maximum(year - YEARS_BACK, begins), np.minimum(year, graduates)
    moved_in = chance(rng, count, 0.25) & (earliest < latest)
    later = earliest + 1 + (rng.random(count) * np.maximum(1, latest - earliest)).astype(int)
    first = np.where(moved_in, later, earliest)
    late = np.where(first < year, rng.integers(1, 200, count), rng.integers(1, 20, count))
    never = 1 - sum(_LEAVING_SHARES)
    leave_year = year - rng.choice(len(_LEAVING_SHARES) + 1, count, p=[*_LEAVING_SHARES, never])
    leaves = (leave_year > year - len(_LEAVING_SHARES)) & (leave_year >= first) & (leave_year <= graduates)
    last = np.where(leaves, leave_year, np.minimum(graduates, year + 1))
    days_until_exit = np.where(chance(rng, count, 0.7), rng.integers(10, 270, count), _SCHOOL_DAYS)
    late = np.where(moved_in & chance(rng, count, 0.45), late, 0)
    staying = (grade >= 0) & (grade <= 12) & (first < year) & ~leaves
    special = np.full(count, "", object)
    for kind, share in _SPECIAL_SHARES.items():
        pool = staying & (grade >= 9) if kind.startswith("course") else staying
        if kind in ("withdrawal date only", "never closed"):
            pool = leaves & (last == year - 1)
        special[some(rng, pool & (special == ""), share, count)] = kind
    careers = pd.DataFrame({"grade": grade, "first": first, "late": late, "last": last})
    return careers.assign(leaves=leaves, days_until_exit=days_until_exit, special=special)


def _years_at_home(rng: Rng, careers: pd.DataFrame, year: int, today: np.datetime64) -> pd.DataFrame:
    """A row for each year that a student attends."""
    years = np.arange(year - YEARS_BACK, year + 2)
    first, last = careers["first"].to_numpy()[:, None], careers["last"].to_numpy()[:, None]
    student, place = np.nonzero((first <= years) & (years <= last))
    rows, here = careers.iloc[student].reset_index(drop=True), years[place]
    rows = rows.assign(student=student, year=here, grade=rows["grade"] - year + here)
    start = first_day(here) + np.where(here == rows["first"], rows["late"], 0)
    rows["leaves"] &= here == rows["last"]
    leaves = rows["leaves"].to_numpy()
    exit_day = np.maximum(first_day(here) + rows["days_until_exit"].to_numpy(), start + 1)
    end = np.where(leaves, exit_day, last_day(here))
    leaving_code = pick(rng, (*LEAVER_CODES, "82", "82", None), len(rows))
    code = np.where(leaves, leaving_code, only((rows["grade"] == 12).to_numpy(), "01"))

    # Enrollments that end on or before their first day: this year's, or last year's until school has begun.
    begun = year if today >= first_day(year) + 7 else year - 1
    no_show = ((here == begun) & rows["special"].isin(["no-show", "one day"])).to_numpy()
    end = np.where(no_show, start - (rows["special"] == "no-show").to_numpy(int), end)
    planned = leaves & (end <= today + 30) & chance(rng, len(rows), 0.5)
    rolled_over = (today >= first_day(year) + _PREREGISTRATION) & chance(rng, len(rows), 0.97)
    rows = rows.assign(
        start=start,
        end=end,
        code=np.where(no_show, "98", code),
        known=((end <= today) | planned | no_show) & ~(leaves & (rows["special"] == "never closed")),
        visible=(here <= year) | rolled_over | (here == rows["first"]),
        default=True,
        cross=False,
        end_shown=~(leaves & (rows["special"] == "withdrawal date only")),
    )
    return rows[rows["special"] != "course only"]


def _home_campuses(campuses: pd.DataFrame, grade: pd.Series, zone: Array) -> Array:
    """The home campus (its position) for a grade and an attendance zone between 0 and 1."""
    level = np.digitize(grade, [6, 9])
    counts = np.bincount(campuses["level"][campuses["level"] >= 0])
    campus: Array = (np.cumsum(counts) - counts)[level] + (zone * counts[level]).astype(int)
    return campus


def _with_transfers(rng: Rng, rows: pd.DataFrame, last_campus: int, today: np.datetime64) -> pd.DataFrame:
    """Split some years in two: first at the last campus, later at the home campus, sometimes with a gap."""
    count = len(rows)
    start, end = (rows[name].to_numpy().astype("datetime64[D]") for name in ("start", "end"))
    day = start + rng.integers(40, 230, count)
    gap = np.where(chance(rng, count, 0.12), rng.integers(15, 40, count), 0)
    resumed = day + gap + 1
    moves = chance(rng, count, 0.023) & (resumed + 4 < end) & (rows["special"] == "").to_numpy()
    later = rows.assign(start=resumed, visible=rows["visible"] & (resumed <= today))[moves]
    left = {"campus": last_campus, "end": day, "known": day <= today, "code": np.where(gap > 0, "60", "33")}
    return pd.concat([rows[~moves], rows.assign(**left)[moves], later])


def _elsewhere(
    rng: Rng, careers: pd.DataFrame, campuses: pd.DataFrame, year: int, today: np.datetime64
) -> pd.DataFrame:
    """Courses at the career center, and placements beside the home campus."""
    special = careers["special"].to_numpy()
    student = np.flatnonzero(pd.Series(special).str.startswith(("course", "second")))
    kind, spring = special[student], chance(rng, len(student), 0.5)
    is_course, in_year = kind != "second campus", np.where(kind == "course last year", year - 1, year)
    opens = first_day(in_year)
    half = np.isin(kind, ["course", "course last year"])
    begins = np.where(half & spring, 149, 0)
    ends = np.where(half & ~spring, 128, _SCHOOL_DAYS)
    placed = 14 + (student * 7) % 120
    start = opens + np.where(is_course, begins, placed)
    end = opens + np.where(is_course, ends, placed + 60)
    return pd.DataFrame(
        {
            "student": student,
            "year": in_year,
            "start": start,
            "end": end,
            "code": only(kind != "course without a code", np.where(is_course, "CECS", "33")),
            "campus": len(campuses) - np.where(is_course, 2, 1),
            "known": end <= today,
            "visible": True,
            "default": False,
            "cross": is_course,
            "end_shown": True,
        }
    )


def _as_recorded(rows: pd.DataFrame, campuses: pd.DataFrame, student_id: Array) -> pd.DataFrame:
    """The rows with Qmlativ's columns: an end, and its code, only once it is known."""
    closed, code, campus = rows["known"].to_numpy(), rows["code"], rows["campus"].to_numpy()
    # A course elsewhere carries its code from the start; any other code comes with the end.
    coded = (code.notna() & (closed | (code == "CECS"))).to_numpy()
    ids = withdrawal_code_id(rows["year"], code)
    shown = rows["end_shown"].to_numpy()
    end = rows["end"]
    return pd.DataFrame(
        {
            "EntryWithdrawalID": rows["id"],
            "StudentID": student_id[rows["student"]],
            "EntityID": campuses["entity"].to_numpy()[campus],
            "SchoolID": campuses["school"].to_numpy()[campus],
            "SchoolYearID": rows["year"],
            "StartDate": rows["start"],
            "EndDate": end.where(closed & shown),
            "WithdrawalDate": (end + pd.Timedelta(days=1)).where(closed & (coded | ~shown)),
            "WithdrawalCodeID": ids.where(coded).astype("Int64"),
            "IsDefaultEntity": rows["default"],
            "IsCrossEntityCourseEnrollment": rows["cross"],
        }
    ).reset_index(drop=True)
