"""The rows of Enrollment/EntryWithdrawal as they stand on a day, out of the students' careers.

Every kind of enrollment that the status rules name is made here. Ids are given to all rows that the plan
holds before those are left out that nobody knows of yet, so an id means the same enrollment on every day.
"""

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from samegoal_pipelines.sandbox.careers import SENIOR, Careers, first_day, last_day
from samegoal_pipelines.sandbox.draw import chance, days, generator, nullable
from samegoal_pipelines.sandbox.families import Families
from samegoal_pipelines.sandbox.places import Campuses
from samegoal_pipelines.sandbox.school_years import (
    CECS,
    GRADUATED,
    LEAVER_CODES,
    OTHER_CAMPUS,
    WITHDRAWAL_CODES,
    YEARS_BACK,
    withdrawal_code_id,
)

FIRST_ENROLLMENT_ID = 4_000_001
_NO_CODE = -1
_NUMBER = {code: number for number, (code, _) in enumerate(WITHDRAWAL_CODES)}
_PREREGISTRATION = 217
"""Days after the first day of school (mid-March) from which next year's enrollments exist."""


@dataclass
class _Rows:
    """Columns of a batch of rows; scalars are spread over all of them."""

    student: np.ndarray
    year: np.ndarray | int
    start: np.ndarray | int
    end: np.ndarray | int
    """The last day of the plan; shown only once it is known."""
    code: np.ndarray | int
    campus: np.ndarray | int
    known: np.ndarray | bool
    """Whether the end (and its code) is known today."""
    visible: np.ndarray | bool = True
    default: np.ndarray | bool = True
    cross: np.ndarray | bool = False
    no_show: np.ndarray | bool = False
    end_shown: np.ndarray | bool = True
    """False where only the withdrawal date is recorded."""

    def columns(self) -> dict[str, np.ndarray]:
        count = len(self.student)
        return {each.name: np.broadcast_to(getattr(self, each.name), count) for each in fields(self)}


def enrollment_table(
    seed: int,
    number: int,
    careers: Careers,
    families: Families,
    campuses: Campuses,
    student_id: np.ndarray,
    today: int,
) -> pa.Table:
    """All enrollments that are on record on the day number ``today``."""
    rng = generator(seed, number, "enrollments")
    batches: list[_Rows] = []
    for year in range(careers.anchor - YEARS_BACK, careers.anchor + 2):
        batches += _home_campus(rng, careers, families, campuses, year, today)
    batches += _courses_elsewhere(rng, careers, campuses, today)
    batches.append(_second_campus(careers, campuses, today))
    parts = [batch.columns() for batch in batches]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["id"] = FIRST_ENROLLMENT_ID + np.arange(len(columns["student"]))
    shown = columns["visible"]
    return _table({name: column[shown] for name, column in columns.items()}, campuses, student_id)


def _home_campus(
    rng: np.random.Generator,
    careers: Careers,
    families: Families,
    campuses: Campuses,
    year: int,
    today: int,
) -> list[_Rows]:
    """A year's enrollments at the home campus; after a transfer there are two, one behind the other."""
    who = careers.attending(year)
    count = len(who)
    grade = careers.grade[who] - (careers.anchor - year)
    start = first_day(year) + np.where(careers.first_year[who] == year, careers.start_offset[who], 0)
    leaves = careers.leaves[who] & (careers.last_year[who] == year)
    end = np.where(leaves, np.maximum(careers.exit_day[who], start + 1), last_day(year))
    leaver = rng.choice([_NUMBER[code] for code in LEAVER_CODES] + [_NO_CODE], count,
                        p=[0.08, 0.14, 0.02, 0.16, 0.34, 0.08, 0.10, 0.08])  # fmt: skip
    code = np.where(leaves, leaver, np.where(grade == SENIOR, _NUMBER[GRADUATED], _NO_CODE))
    planned = leaves & (end <= today + 30) & chance(rng, count, 0.5)
    known = (end <= today) | planned
    visible = np.ones(count, bool)
    if year > careers.anchor:
        rolled_over = (today >= first_day(careers.anchor) + _PREREGISTRATION) & chance(rng, count, 0.97)
        visible = rolled_over | (careers.first_year[who] == year)
    home = campuses.of(grade, families.zone[families.of_child[who]])

    moved = (careers.transfer_year[who] == year) & (start < careers.transfer_day[who] - 5)
    moved &= careers.transfer_day[who] + careers.gap[who] + 5 < end
    moved &= careers.transfer_day[who] <= today
    left_on, gap = careers.transfer_day[who], careers.gap[who]
    no_show = np.isin(who, np.concatenate([careers.no_show, careers.one_day]))
    no_show &= year == (careers.anchor if today >= first_day(careers.anchor) + 7 else careers.anchor - 1)
    never = no_show & np.isin(who, careers.no_show)
    moved &= ~no_show
    forgotten = leaves & np.isin(who, careers.never_closed)

    first_end = np.where(moved, left_on, end)
    first_end = np.where(no_show, start - never, first_end)
    first_code = np.where(moved, np.where(gap > 0, _NUMBER["60"], _NUMBER[OTHER_CAMPUS]), code)
    first_code = np.where(no_show, _NUMBER["98"], first_code)
    first = _Rows(
        student=who,
        year=year,
        start=start,
        end=first_end,
        code=first_code,
        campus=np.where(moved, _another(campuses, home), home),
        known=(known | moved | no_show) & ~(forgotten & ~moved),
        visible=visible,
        no_show=no_show,
        end_shown=~(leaves & ~moved & np.isin(who, careers.withdrawal_date_only)),
    )
    resumed = left_on + gap + 1
    second = _Rows(
        student=who[moved],
        year=year,
        start=resumed[moved],
        end=end[moved],
        code=code[moved],
        campus=home[moved],
        known=(known & ~forgotten)[moved],
        visible=(resumed <= today)[moved],
    )
    return [first, second]


def _another(campuses: Campuses, home: np.ndarray) -> np.ndarray:
    """Another campus of the same level, or the alternative one where there is none."""
    level = np.searchsorted(campuses.level_start, home, side="right") - 1
    start, count = campuses.level_start[level], campuses.level_count[level]
    return np.where(count > 1, start + (home - start + 1) % count, campuses.alternative)


def _courses_elsewhere(
    rng: np.random.Generator, careers: Careers, campuses: Campuses, today: int
) -> list[_Rows]:
    """Courses at the career center: with the withdrawal code CECS, and a few that are only flagged."""
    batches = []
    for year, who in careers.cecs.items():
        spring = chance(rng, len(who), 0.5)
        end = np.where(spring, last_day(year), first_day(year) + 128)
        start = first_day(year) + np.where(spring, 149, 0)
        batches.append((who, year, start, end, _NUMBER[CECS]))
    open_year = careers.anchor
    begin, close = first_day(open_year), last_day(open_year)
    for group, code in ((careers.cecs_only, _NUMBER[CECS]), (careers.flagged_only, _NO_CODE)):
        batches.append((group, open_year, np.full(len(group), begin), np.full(len(group), close), code))
    return [
        _Rows(
            student=who,
            year=year,
            start=start,
            end=end,
            code=code,
            campus=campuses.career_center,
            known=end <= today,
            default=False,
            cross=True,
        )
        for who, year, start, end, code in batches
    ]


def _second_campus(careers: Careers, campuses: Campuses, today: int) -> _Rows:
    """Placements beside the home campus, which are not the default entity."""
    who = careers.second_campus
    start = first_day(careers.anchor) + 14 + (who * 7) % 120
    return _Rows(
        student=who,
        year=careers.anchor,
        start=start,
        end=start + 60,
        code=_NUMBER[OTHER_CAMPUS],
        campus=campuses.alternative,
        known=start + 60 <= today,
        default=False,
    )


def _table(columns: dict[str, np.ndarray], campuses: Campuses, student_id: np.ndarray) -> pa.Table:
    """The rows with Qmlativ's columns."""
    closed, shown = columns["known"], columns["end_shown"]
    # A course elsewhere carries its code from the start; any other code comes with the end.
    coded = (columns["code"] != _NO_CODE) & (closed | (columns["code"] == _NUMBER[CECS]))
    code_id = withdrawal_code_id(columns["year"], columns["code"])
    withdrawn = closed & (coded | ~shown)
    count = len(closed)
    return pa.table(
        {
            "EntryWithdrawalID": pa.array(columns["id"]),
            "StudentID": pa.array(student_id[columns["student"]]),
            "EntityID": pa.array(campuses.entity[columns["campus"]]),
            "SchoolID": pa.array(campuses.school_ids(columns["campus"])),
            "SchoolYearID": pa.array(columns["year"]),
            "CalendarID": pa.array(columns["year"] * 1000 + columns["campus"]),
            "StartDate": days(columns["start"]),
            "EndDate": days(np.where(closed, columns["end"], 0), ~closed | ~shown),
            "WithdrawalDate": days(np.where(closed, columns["end"] + 1, 0), ~withdrawn),
            "WithdrawalCodeID": nullable(code_id, ~coded),
            "EntryCodeID": pa.array(columns["year"] * 10 + 1),
            "StudentTypeID": pa.array(np.ones(count, np.int64)),
            "IsDefaultEntity": pa.array(columns["default"]),
            "IsCrossEntityCourseEnrollment": pa.array(columns["cross"]),
            "IsNoShow": pa.array(columns["no_show"]),
        }
    )
