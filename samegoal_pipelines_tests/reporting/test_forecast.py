"""The forecast and the gate agree: a night that is said to be held is held, and no other is."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.landing import Landing
from samegoal_pipelines.landing.runs import LandedEvidence, RunLanding
from samegoal_pipelines.reporting.forecast import Ahead, first_hold, look_ahead
from samegoal_pipelines.reporting.nightly_status import read_board
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.transforms.gate import Students
from samegoal_pipelines.transforms.status import Flip, statuses_of
from samegoal_pipelines.warehouse.snapshots import RunIdentity, Snapshot
from samegoal_pipelines_tests.reporting.factories import attempt, land, register
from samegoal_pipelines_tests.transforms.builders import enrollments, entry
from samegoal_pipelines_tests.warehouse.factories import Gate, Tried, snapshot, student, try_night

JUNE = date(2026, 6, 1)


def after(days: int) -> date:
    return JUNE + timedelta(days=days)


# -- night after night through the gate --


@dataclass
class District:
    """A district in which nobody edits anything: its nights, and what is said of them beforehand."""

    engine: sa.Engine
    landing: Landing
    raw: dict[str, pd.DataFrame]
    limits: dict[str, float]
    without_record: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        registered = datetime(2026, 5, 1, tzinfo=UTC)
        register(self.engine, "grand-bend", registered_at=registered, gate_limits=self.limits)

    def run(self, night: date) -> Tried:
        """One night: what the rows say as of it, landed and published through the gate."""
        run_id, began = f"run of {night}", datetime.combine(night, time(7), UTC)
        land(self.landing, self.raw, run_id, night=night, landed_at=began)
        found = statuses_of(self.raw, night)
        facts = found.statuses[["student_id", "status", "reason"]].to_dict("records")
        students = [student(**one) for one in facts if one["student_id"] not in self.without_record]
        carried_over = self.without_record | {*found.uncertain["student_id"].tolist()}
        return try_night(
            self.engine,
            night,
            snapshot(*students, carried_over=frozenset(carried_over)),
            run_id=run_id,
            started_at=began,
            landed_run_id=run_id,
            gate=Gate(Limits(**self.limits), lambda published: self._staying(night, published)),
        )

    def _staying(self, tonight: date, published: Snapshot) -> Students | None:
        run = RunIdentity("grand-bend", tonight, "tonight", datetime.now(UTC))
        return LandedEvidence(RunLanding(self.landing, run), reads=[]).staying(published)

    def look_ahead(self, night: date) -> Ahead:
        now = datetime.combine(night, time(15), UTC)
        return look_ahead(self.engine, self.landing, read_board(self.engine, night, now))


@pytest.fixture
def district(warehouse: sa.Engine, tmp_path: Path) -> Any:
    def make(entries: list[dict[str, Any]], limits: dict[str, float] | None = None, **more: Any) -> District:
        raw = enrollments(entries, JUNE)
        return District(warehouse, Landing(str(tmp_path / "landing")), raw, limits or {}, **more)

    return make


def year_end(seed: int, *, next_year: float) -> tuple[list[dict[str, Any]], frozenset[int]]:
    """The enrollments of a district whose year ends within the two weeks, and who has no record.

    Args:
        next_year: how many of the students, as a share, have an enrollment of the next school year already.
    """
    draw = random.Random(seed)
    last_days = [after(draw.randint(0, 13)) for _ in range(draw.randint(1, 3))]
    entries: list[dict[str, Any]] = []
    for one in range(1, draw.randint(20, 60)):
        kind = draw.random()
        gone = after(draw.randint(0, 12)).replace(year=2025) if kind < 0.1 else None
        if kind < 0.05:  # leaves the window some day soon
            entries.append(entry(one, "2024-08-13", gone, "82", student=one))
        elif kind < 0.1:  # in doubt until it has left the window
            entries.append(
                entry(one, "2024-08-13", gone, student=one, WithdrawalCodeID=424242)
                | ({} if draw.random() < 0.5 else {"EndDate": None})
            )
            entries.append(entry(1000 + one, "2025-08-13", draw.choice(last_days), student=one))
        else:
            code = "01" if kind > 0.85 else draw.choice([None, "82"])
            last = draw.choice([*last_days, None]) if kind > 0.8 else draw.choice(last_days)
            entries.append(entry(one, "2025-08-13", last, code if last else None, student=one))
        if draw.random() < next_year:
            entries.append(entry(2000 + one, "2026-08-12", student=one))
    return entries, frozenset(draw.sample(range(1, 20), 2))


HELD_SEEDS = {1, 3, 7}
"""So that the test below is seen to try both."""


@pytest.mark.parametrize("seed", range(8))
def test_the_first_night_that_is_said_to_be_held_is_the_first_that_is(district, seed):
    entries, without_record = year_end(seed, next_year=(0, 0.3, 0.5)[seed % 3])
    made = district(entries, {"expired": (50.0, 30.0)[seed % 2]}, without_record=without_record)
    assert made.run(JUNE).published
    said = {hold.night: hold for hold in made.look_ahead(JUNE).holds}
    assert len(said) <= 1
    assert bool(said) == (seed in HELD_SEEDS)

    for night in map(after, range(1, 15)):
        outcome = made.run(night)
        assert outcome.held == (night in said), (night, said)
        if outcome.held:
            hold = said[night]
            assert outcome.verdict.reasons == (hold.reason,)
            assert hold.reason.startswith(f"{hold.students:,} of {hold.of:,} students ")
            assert "only because time has passed" in hold.reason
            break
        if night in (after(2), after(9)):
            again = made.look_ahead(night).holds
            assert {hold.night for hold in again if hold.night <= after(14)} == {*said}


@pytest.mark.parametrize("seed", range(2))
def test_with_next_years_enrollments_no_night_is_said_to_be_held_and_none_is(district, seed):
    entries, _ = year_end(seed, next_year=1)
    made = district(entries)
    made.run(JUNE)
    assert made.look_ahead(JUNE).holds == ()
    for night in map(after, range(1, 15)):
        assert made.run(night).published


def school(count: int, last: date | None, first: int = 1, **more: Any) -> list[dict[str, Any]]:
    """So many students whose enrollment ends on that day."""
    return [entry(n, "2025-08-13", last, student=n, **more) for n in range(first, first + count)]


def test_a_district_of_which_the_last_student_leaves_the_window_is_told(district):
    gone_a_year_ago = [entry(n, "2024-08-13", "2025-06-05", "82", student=n) for n in (1, 2, 3)]
    made = district(gone_a_year_ago)
    assert made.run(JUNE).published
    (hold,) = made.look_ahead(JUNE).holds
    assert (hold.night, hold.students) == (date(2026, 6, 6), 0)
    assert "the snapshot has no students" in hold.reason
    assert "samegoal-pipelines districts disable grand-bend" in hold.next_step
    assert made.run(date(2026, 6, 5)).published
    assert "the snapshot has no students" in made.run(date(2026, 6, 6)).reason


def test_who_is_held_already_is_not_said_to_be_held_again(district, warehouse):
    made = district([*school(60, after(3)), *school(40, after(40), first=100)])
    made.run(JUNE)
    held = made.run(after(4))
    assert held.held
    assert made.look_ahead(after(4)).holds == ()
    # The next one is late by then; if nobody acts, the one after it is held again.
    assert [hold.night for hold in made.look_ahead(after(5)).holds] == [after(6)]


def test_a_night_that_failed_leaves_its_flips_to_the_next_one(district, warehouse):
    made = district([*school(30, after(0)), *school(30, after(1), first=100), *school(40, None, first=200)])
    made.run(JUNE)
    assert made.look_ahead(JUNE).holds == ()  # 30 of 100, and then 30 of 70
    attempt(warehouse, "grand-bend", "failed", after(1), "no luck")
    ahead = made.look_ahead(after(1))
    assert [(flip.day, flip.students) for flip in ahead.flips] == [(after(2), 30)]
    (hold,) = ahead.holds
    assert (hold.night, hold.students, hold.of) == (after(2), 60, 100)
    assert made.run(after(2)).held


def test_a_pause_puts_the_hold_off_to_the_night_after_it(district, warehouse):
    made = district([*school(60, after(3)), *school(40, None, first=100)])
    made.run(JUNE)
    pause(warehouse, "grand-bend", after(2), after(9), set_by="pat")
    assert [hold.night for hold in made.look_ahead(JUNE).holds] == [after(10)]
    pause(warehouse, "grand-bend", after(2), after(40), set_by="pat")
    assert made.look_ahead(JUNE).holds == ()


# -- the arithmetic --


def hold_of(rows: list[tuple], *, students: int, enrolled: Iterable[int] = ()) -> Any:
    """When a district of so many students is held.

    Args:
        rows: days from June on, students, their statuses before and after.
        enrolled: who of them is published. Default: everybody.
    """
    current = SimpleNamespace(students=students, active=students)
    one = SimpleNamespace(id="grand-bend", name="Grand Bend ISD", current=current, pause=None)
    published = {n: {"status": "ENROLLED"} for n in (enrolled or {row[1] for row in rows})}
    flips = [Flip(student, after(day), old, new) for day, student, old, new in rows]
    hold = first_hold(one, Limits(), published, flips, after(1), after(14))
    return hold and (hold.night, hold.students, hold.of)


def inactive(day: int, *students: int) -> list[tuple]:
    return [(day, one, "ENROLLED", "INACTIVE") for one in students]


def test_each_night_is_compared_with_the_one_before():
    step_by_step = [*inactive(3, *range(50)), *inactive(4, *range(50, 75))]
    assert hold_of(step_by_step, students=100) is None
    assert hold_of([*step_by_step, *inactive(5, *range(75, 88))], students=100) == (after(5), 13, 25)
    back = [(4, one, "INACTIVE", "ENROLLED") for one in range(30)]
    assert hold_of([*inactive(3, *range(30)), *back, *inactive(5, *range(40))], students=100) is None
    assert hold_of(inactive(14, *range(60)), students=100) == (after(14), 60, 100)
    assert hold_of(inactive(15, *range(60)), students=100) is None


def test_who_is_in_doubt_counts_once_the_doubt_is_over():
    in_doubt = [(3, one, "ENROLLED", "uncertain") for one in range(90)]
    assert hold_of(in_doubt, students=100) is None
    later = [(4, one, "uncertain", "INACTIVE") for one in range(90)]
    # They were carried over as ENROLLED.
    assert hold_of([*in_doubt, *later], students=100) == (after(4), 90, 100)


def test_who_has_no_record_does_not_count():
    rows = inactive(3, *range(90))
    assert hold_of(rows, students=100, enrolled=range(40)) is None
    assert hold_of(rows, students=100, enrolled=range(60)) == (after(3), 60, 100)
    last_one = (3, 1, "ENROLLED", None)
    assert hold_of([last_one, (3, 2, "ENROLLED", "INACTIVE")], students=1, enrolled=[1]) == (after(3), 1, 1)
    for before in (None, "uncertain"):  # has a record, and comes that day
        assert hold_of([last_one, (3, 2, before, "ENROLLED")], students=1, enrolled=[1]) is None
