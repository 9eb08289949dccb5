"""Forecast the next days if nobody edits Qmlativ: status changes, and nights that the gate will hold.

The forecast uses the landed rows of each district's published night. A district whose files are gone is named
and excluded. Students are counted, never listed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import sqlalchemy as sa

from samegoal_pipelines.landing import Landing, LandingError
from samegoal_pipelines.printable import counted, some
from samegoal_pipelines.reporting.nightly_status import Board, DistrictNight
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.tables.vocabulary import ACTIVE
from samegoal_pipelines.transforms.forecast import UNCERTAIN_STATUS, Flip, forecast_statuses
from samegoal_pipelines.transforms.gate import Measured, Verdict, judge
from samegoal_pipelines.warehouse.changes import valid_on
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.snapshots import Snapshot

DAYS = 14


@dataclass(frozen=True)
class HoldAhead:
    """A district's first coming night that will be held. All later nights are held, too, until a person acts.

    Attributes:
        students: of the `of` students published as ENROLLED or PRE-ENROLLED by then, those who become
            INACTIVE or leave the import window because time passes.
        limit: the night is held above this percentage.
    """

    district_id: str
    name: str
    night: date
    students: int
    of: int
    limit: float
    reason: str
    next_step: str


@dataclass(frozen=True)
class FlipCount:
    """The number of students who change from one status to another on a day. None: not in the snapshot."""

    day: date
    old_status: str | None
    new_status: str | None
    students: int

    @property
    def change(self) -> str:
        """The old and the new status."""
        return f"{self.old_status or 'not in the snapshot'} → {self.new_status or 'not in the snapshot'}"


@dataclass(frozen=True)
class Ahead:
    """The forecast of the `days` days after a night, in all districts with landed rows.

    Attributes:
        holds: the districts that will be held, the soonest first, without those that are held already.
        excluded: districts whose landed rows are gone or cannot be read.
    """

    days: int
    holds: tuple[HoldAhead, ...]
    flips: tuple[FlipCount, ...]
    districts: int
    excluded: tuple[str, ...]

    @property
    def looked_at(self) -> str:
        """The number of districts in the forecast, and the districts that are excluded."""
        if not (self.districts or self.excluded):
            return "No district is published yet"
        found = f"Looked at {counted(self.districts, 'district')}"
        if not self.excluded:
            return found
        return f"{found}; not at {some(self.excluded, 20)}: their landed rows are gone or cannot be read"


def look_ahead(engine: sa.Engine, landing: Landing, board: Board) -> Ahead:
    """Forecast the `DAYS` days after the board's night, for every published district that is not disabled."""
    counts: Counter[tuple[date, str | None, str | None]] = Counter()
    holds: list[HoldAhead] = []
    looked_at, excluded = 0, []
    unreachable = False  # then it is down for all of them, and waiting for each would take hours
    for one in sorted(board.districts, key=lambda one: one.district_id):
        if one.current is None or one.state == "disabled":
            continue
        last = one.night + timedelta(days=DAYS)
        try:
            if unreachable:
                raise LandingError("the landing cannot be reached", transient=True)
            # From the published night on: what has flipped since then is for the next night.
            flips = flips_of(landing, one.current, last)
            limits = Limits(**one.gate_limits)
        except (LandingError, OSError, KeyError, ValueError) as error:
            unreachable = isinstance(error, LandingError) and error.transient
            excluded.append(one.district_id)
            continue
        looked_at += 1
        counts.update(flip[1:] for flip in flips if flip.day > board.night)
        if any(flip.new_status in (None, "INACTIVE") for flip in flips):  # else nobody is dropped
            # A night that failed or is late brings nothing more unless somebody acts.
            first = one.night + timedelta(days=one.state not in ("pending", "held"))
            statuses = {
                row["student_id"]: row["status"] for row in published_rows(engine, one.current, flips)
            }
            hold = first_hold(one, limits, statuses, flips, first, last)
            if hold is not None and (one.state, one.night) != ("held", hold.night):  # that one is listed
                holds.append(hold)
    holds.sort(key=lambda hold: (hold.night, hold.district_id))
    return Ahead(DAYS, tuple(holds), in_order(counts), looked_at, tuple(excluded))


def in_order(counts: Counter[tuple[date, str | None, str | None]]) -> tuple[FlipCount, ...]:
    """The number of students by day, old and new status."""
    changes = sorted(counts, key=lambda change: [*map(str, change)])
    return tuple(FlipCount(*change, counts[change]) for change in changes)


def flips_of(landing: Landing, published: Snapshot, until: date) -> list[Flip]:
    """`forecast_statuses` of a published snapshot's landed rows."""
    district_id, night = published.district_id, published.snapshot_date
    raw = landing.read("raw_enrollments", district_id=district_id, night=night, run_id=published.landed_by)
    return forecast_statuses(raw, night, (until - night).days)


def published_rows(engine: sa.Engine, current: Snapshot, flips: Iterable[Flip]) -> Sequence[sa.RowMapping]:
    """student_id, student_number and status of these students, as published."""
    rows = STATUS.table.c
    students = sorted({flip.student_id for flip in flips})
    query = sa.select(rows.student_id, rows.student_number, rows.status).where(
        rows.district_id == current.district_id,
        rows.student_id == sa.any_(sa.literal(students, sa.ARRAY(sa.BigInteger))),
        valid_on(current.snapshot_date),
    )
    with as_operator(engine, "looking up the published statuses") as connection:
        return connection.execute(query).mappings().all()


def first_hold(
    one: DistrictNight,
    limits: Limits,
    published_statuses: Mapping[int, str],
    flips: Sequence[Flip],
    first: date,
    last: date,
) -> HoldAhead | None:
    """The first night that the gate will hold if only time passes.

    Args:
        one: a district that was published.
        published_statuses: of the students whom the flips concern.
        flips: as `forecast_statuses` gives them, from the published night on. Those between two nights count
            for the later one.
        first, last: the nights to look at, without paused ones.
    """
    statuses: dict[int, str | None] = {**published_statuses}
    students, active = (one.current.students or 0, one.current.active) if one.current else (0, 0)
    oldest = {flip.student_id: flip.old_status for flip in reversed(flips)}
    # Without a published status, but with one by the rows, a student has no record in Qmlativ.
    known = {s for s, old in oldest.items() if s in statuses or old in (None, UNCERTAIN_STATUS)}
    coming: dict[date, dict[int, str | None]] = defaultdict(dict)
    for flip in flips:
        if flip.student_id in known:
            coming[max(flip.day, first)][flip.student_id] = flip.new_status
    changed: dict[int, str | None] = {}
    for number in range((last - first).days + 1):
        night = first + timedelta(days=number)
        changed |= coming[night]
        if one.pause is not None and one.pause.covers(night):
            continue
        numbers = {"published_students": students, "published_active": active}
        dropped: dict[int, bool] = {}
        for student, new in changed.items():
            if new == UNCERTAIN_STATUS:  # carried over as last published
                continue
            old = statuses.get(student)
            statuses[student] = new
            students += (new is not None) - (old is not None)
            active += (new in ACTIVE) - (old in ACTIVE)
            if old in ACTIVE and new not in ACTIVE:
                dropped[student] = new == "GRADUATED"
        changed = {}
        numbers["students"] = students
        measured = Measured(numbers, np.array([*dropped], np.int64), np.array([*dropped.values()], bool))
        verdict = judge(limits, measured, staying=np.array([], np.int64))
        if verdict.reasons:
            return _hold(one, night, verdict, limits["expired"])
    return None


def _hold(one: DistrictNight, night: date, verdict: Verdict, limit: float) -> HoldAhead:
    numbers = verdict.numbers
    done = f"; if the district is done: samegoal-pipelines districts disable {one.district_id}"
    return HoldAhead(
        district_id=one.district_id,
        name=one.name,
        night=night,
        students=numbers["expired_by_time"],
        of=numbers["published_active"],
        limit=limit,
        reason="; ".join(verdict.reasons),
        next_step="have next year's enrollments entered in Qmlativ before; if the students really leave, "
        f"publish it that day: samegoal-pipelines sync {one.district_id} --release --why REASON"
        + ("" if numbers["students"] else done),
    )
