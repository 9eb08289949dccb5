"""Which night to come the gate will hold if nobody edits anything in Qmlativ.

What flips is `transforms.forecast`'s, when a night is held `warehouse.gate`'s; here the one is put before the
other, as publishing would night after night. Students are counted, never told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.districts.pauses import Pause
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.transforms.forecast import UNCERTAIN_STATUS
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.gate import Limits, Measured, Verdict, judge_passing_time, part_of

_ACTIVE = ("ENROLLED", "PRE-ENROLLED")
_LOST = (None, "INACTIVE", "GRADUATED")

Statuses = dict[int, str | None]
"""Student → status; None: no row."""


@dataclass(frozen=True)
class HoldAhead:
    """The first night to come that will be held, and every one after it until somebody acts.

    Attributes:
        students: of the `of` students published as ENROLLED or PRE-ENROLLED by then, those whom time makes
            INACTIVE or takes out of the import window.
        limit: the percentage of them above which it is held.
    """

    night: date
    students: int
    of: int
    limit: float
    reason: str
    next_step: str


@dataclass(frozen=True)
class LastPublished:
    """What is published before the first night to come: how many students, of these ENROLLED or PRE-ENROLLED,
    and the statuses of those whom the flips concern.
    """

    students: int
    active: int
    statuses: Mapping[int, str]


def first_hold(
    district_id: str, flips: pd.DataFrame, last: LastPublished, limits: Limits, nights: Iterable[date]
) -> HoldAhead | None:
    """The first of these nights that the gate will hold, if nothing but time passes.

    Args:
        flips: as `forecast_statuses` gives them, from the last published night on.
        nights: the nights that will be run, in order. What flips between two of them is for the later one.
    """
    by_day = _by_day(flips, last.statuses)
    days = sorted(by_day, reverse=True)
    statuses: Statuses = dict(last.statuses)
    others, others_active = last.students - len(statuses), last.active - _count_active(statuses)
    for night in nights:
        changed: Statuses = {}
        while days and days[-1] <= night:
            changed |= by_day[days.pop()]
        # Who is uncertain is kept: what was last published stays.
        changed = {student: status for student, status in changed.items() if status != UNCERTAIN_STATUS}
        tonight = statuses | changed
        measured = _measured(
            students=others + _count(tonight),
            published=others + _count(statuses),
            active=others_active + _count_active(statuses),
            lost={one: new for one, new in changed.items() if statuses.get(one) in _ACTIVE and new in _LOST},
        )
        verdict = judge_passing_time(limits, measured)
        if verdict.reasons:
            return _hold(district_id, night, limits, verdict)
        statuses = tonight
    return None


def nights_to_come(first: date, last: date, pause: Pause | None) -> Iterator[date]:
    """The nights that will be run by themselves, from the first to the last."""
    for step in range((last - first).days + 1):
        night = first + timedelta(days=step)
        if pause is None or not pause.covers(night):
            yield night


def can_hold(flips: pd.DataFrame) -> bool:
    """Whether these flips make anybody INACTIVE or take a row away: without that, they hold no night."""
    return bool((flips["new_status"].isna() | flips["new_status"].eq("INACTIVE")).any())


def published_statuses(
    engine: sa.Engine, district_id: str, flips: pd.DataFrame, night: date
) -> dict[int, str]:
    """The statuses that were published as of a night, of the students whom the flips concern."""
    rows = STATUS.table.c
    students = flips["student_id"].unique().tolist()
    query = sa.select(rows.student_id, rows.status).where(
        rows.district_id == district_id,
        rows.student_id == sa.any_(sa.literal(students, sa.ARRAY(sa.BigInteger))),
        rows.valid_from <= night,
        rows.valid_to.is_(None) | (rows.valid_to > night),
    )
    with as_operator(engine, "looking up the published statuses") as connection:
        return {student: status for student, status in connection.execute(query)}


def _by_day(flips: pd.DataFrame, published: Mapping[int, str]) -> dict[date, Statuses]:
    """The new statuses of each day.

    Who has a status by the rows and none that is published has no record in Qmlativ: none will be published.
    """
    found: dict[date, Statuses] = {}
    counts: dict[int, bool] = {}
    names = ("day", "student_id", "old_status", "new_status")
    columns = [flips[name].astype(object).tolist() for name in names]
    for day, student, old, new in zip(*columns, strict=True):
        has_status = isinstance(old, str) and old != UNCERTAIN_STATUS
        if counts.setdefault(student, student in published or not has_status):
            found.setdefault(day, {})[student] = new if isinstance(new, str) else None
    return found


def _count(statuses: Statuses) -> int:
    return sum(status is not None for status in statuses.values())


def _count_active(statuses: Statuses) -> int:
    return sum(status in _ACTIVE for status in statuses.values())


def _measured(*, students: int, published: int, active: int, lost: Statuses) -> Measured:
    return Measured(
        students=students,
        kept=0,
        published=published,
        published_active=active,
        lost=np.array(list(lost), dtype=np.int64),
        graduated=np.array([status == "GRADUATED" for status in lost.values()], dtype=bool),
        demographics_changed=0,
        demographics_published=0,
        contacts_lost=0,
    )


def _hold(district_id: str, night: date, limits: Limits, verdict: Verdict) -> HoldAhead:
    students, of = int(verdict.numbers["expired_by_time"]), int(verdict.numbers["published_active"])
    if verdict.numbers["students"]:
        reason = (
            part_of(students, of, "ENROLLED and PRE-ENROLLED students", limits.expired)
            + " become INACTIVE or leave the import window because time passes; "
            + f"the limit is {limits.expired:g}%"
        )
        next_step = "have next year's enrollments entered in Qmlativ before"
    else:
        reason = "the last student leaves the import window, and nobody would be in the snapshot any more"
        next_step = (
            "have enrollments entered in Qmlativ before, or, if the district is done: "
            f"samegoal-pipelines districts disable {district_id}"
        )
    release = f"samegoal-pipelines sync {district_id} --release --why REASON"
    next_step += f"; if it is right as it is, publish it that day: {release}"
    return HoldAhead(night, students, of, limits.expired, reason, next_step)
