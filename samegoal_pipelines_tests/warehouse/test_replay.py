"""Rewriting nights leaves what publishing them would have left, or leaves everything as it was."""

import multiprocessing
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import Role
from samegoal_pipelines.warehouse.errors import ReleaseRefusedError, SnapshotInProgressError
from samegoal_pipelines.warehouse.publishing import find_held
from samegoal_pipelines.warehouse.replay import Difference, Replayed, Transition, find_nights, replay
from samegoal_pipelines.warehouse.rows import Contents, content_of
from samegoal_pipelines.warehouse.snapshots import RunIdentity
from samegoal_pipelines.warehouse.withholding import hide_contacts
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    STORED,
    VIEWS,
    absences,
    every_byte,
    fail_night,
    gate_of,
    hold_night,
    pairs,
    phones,
    publish_night,
    rows,
    snapshot,
    stored,
    student,
)
from samegoal_pipelines_tests.warehouse.role_fixtures import login

COUNTS = "students, enrolled, pre_enrolled, graduated, inactive, carried_over, dropped"
"""What a night holds. Its changes are counted against the run before, and a replay makes one run of them."""


def computed(
    what: SnapshotPayload, restricted: Sequence[tuple[int, int]] = (), absent: Mapping[int, str] | None = None
) -> SnapshotPayload:
    withheld = {"restricted": pairs(*restricted), "absent": absences(absent or {})}
    return what._replace(**withheld, enrollment_rows=8, quarantined=1, notes=("a note",))


def replay_from(
    engine: sa.Engine,
    night: int,
    recompute: Callable[[int], SnapshotPayload],
    *,
    dry_run: bool = False,
    within: bool = False,
) -> Replayed:
    """Replay from so many days after the first night on; `recompute` makes the nights of these numbers.

    `within`: each night is only computed when it is written, to look at what goes on within the transaction.
    """
    nights, _ = find_nights(engine, "grand-bend", NIGHT + timedelta(days=night))
    computed = (content_of(recompute((one.snapshot_date - NIGHT).days)) for one in nights)
    contents = Contents()
    for content in () if within else computed:
        contents.add(content)
    run = RunIdentity("grand-bend", nights[-1].snapshot_date, "again", datetime.now(UTC))
    return replay(engine, run, nights, computed if within else contents, dry_run=dry_run)


def everything(engine: sa.Engine, district_id: str = "grand-bend") -> dict[str, list[tuple[Any, ...]]]:
    """All that the warehouse says of a district's students, but for which district and which run."""
    found = stored(engine, district_id, (*STORED, *VIEWS))
    published = f"select snapshot_date, {COUNTS} from samegoal.snapshots where state = 'published'"
    found["snapshots"] = rows(engine, f"{published} and district_id = :id order by 1", id=district_id)
    current = "select snapshot_date, content_hash from samegoal.current_snapshots where district_id = :id"
    found["hash"] = rows(engine, current, id=district_id)
    return found


# -- random nights under two rules --


def rule(draw: random.Random, before: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """What Qmlativ says one night: students, who cannot be read, who is restricted."""
    students = {}
    for n in range(1, 13):
        if draw.random() < 0.15:
            continue  # leaves, and may return
        if n in before and draw.random() < 0.7:
            students[n] = before[n]
        else:
            parents = {p: {"rank": draw.choice([1, 2])} for p in (20, 21) if draw.random() < 0.5}
            students[n] = {
                "code": draw.choice(["", "01", "77"]),
                "first_name": draw.choice(["Ana", "", None]),
                "parents": parents,
            }
    doubtful = {n for n in students if draw.random() < 0.15}
    restricted = {(n, p) for n in students for p in (20, 21) if draw.random() < 0.2}
    return {"students": students, "doubtful": doubtful, "restricted": restricted}


def under(night: Mapping[str, Any], graduate: str) -> SnapshotPayload:
    """What a night is published as where this code means graduation, which nothing puts in doubt."""
    published, carried_over, absent = [], set(), {}
    for n, one in night["students"].items():
        status = {"": "ENROLLED", graduate: "GRADUATED"}.get(one["code"], "INACTIVE")
        if n in night["doubtful"] and status != "GRADUATED":
            carried_over.add(n)
            absent[n] = "rows unreadable"
            continue
        if one["code"] == "77" and n % 3 == 0:
            absent[n] = "CECS only" if graduate == "77" else "left the import window"
            continue
        parents = {
            p: {**facts, "has_restricted_access": hidden, "email": None if hidden else f"{p}@x.org"}
            for p, facts in one["parents"].items()
            for hidden in [(n, p) in night["restricted"]]
        }
        published.append(student(n, status=status, first_name=one["first_name"], parents=parents))
    return computed(
        snapshot(*published, carried_over=frozenset(carried_over)), sorted(night["restricted"]), absent
    )


@pytest.mark.parametrize(("seed", "first"), [(1, 0), (2, 4)])
def test_a_replay_after_a_changed_rule_is_publishing_with_that_rule(warehouse, seed, first):
    """Ten nights, some run twice, some never published. Students are carried over, leave and return."""
    draw = random.Random(seed)
    nights: dict[int, dict[str, Any]] = {}
    before: dict[int, dict[str, Any]] = {}
    for night in (0, 1, 2, 3, 5, 6, 7, 8, 10, 11):
        for _ in range(draw.choice([1, 2])):
            nights[night] = rule(draw, before)
            publish_night(warehouse, night, under(nights[night], "01"))
        code = "01" if night < first else "77"
        publish_night(warehouse, night, under(nights[night], code), district_id="riverside")
        before = nights[night]["students"]

    assert everything(warehouse) != everything(warehouse, "riverside")
    replayed = replay_from(warehouse, first, lambda night: under(nights[night], "77"))

    assert replayed.written
    assert [(night.night - NIGHT).days for night in replayed.nights] == [n for n in nights if n >= first]
    assert everything(warehouse) == everything(warehouse, "riverside")
    before_again = every_byte(warehouse)
    assert not replay_from(warehouse, first, lambda night: under(nights[night], "77")).written
    assert every_byte(warehouse) == before_again


# -- small nights --

PAT = {"has_restricted_access": False, "email": "pat@x.org"}
ANA = student(1, parents={10: PAT})
BEN = student(2, status="INACTIVE", building="Elm")
CAM = student(3)
GRADUATE = {**BEN, "status": "GRADUATED"}


@pytest.fixture
def three_nights(warehouse: sa.Engine) -> sa.Engine:
    """Ana and Ben; then Ana alone is new at Oak; then Cam comes and Ben goes."""
    for night, what in enumerate(OLD):
        publish_night(warehouse, night, what)
    publish_night(warehouse, 1, OLD[0], district_id="riverside")
    return warehouse


OAK = {**ANA, "building": "Oak"}
OLD = [computed(snapshot(ANA, BEN)), computed(snapshot(OAK, BEN)), computed(snapshot(OAK, CAM))]
NEW = [
    OLD[0],
    computed(snapshot({**OAK, "first_name": "Ana"}, GRADUATE)),
    computed(snapshot({**OAK, "parents": {10: PAT, 11: {}}}, GRADUATE)),
]


def test_it_tells_by_night_how_many_students_differ_and_how_and_a_dry_run_changes_nothing(three_nights):
    before = every_byte(three_nights)
    dry = replay_from(three_nights, 0, NEW.__getitem__, dry_run=True)
    assert every_byte(three_nights) == before
    replayed = replay_from(three_nights, 0, NEW.__getitem__)

    assert (dry.written, replayed.written) == (False, True)
    assert dry.nights == replayed.nights
    assert [night.difference for night in replayed.nights] == [
        Difference(),
        Difference(
            status=1,
            demographics=1,
            changes=2,  # Ana's, who changes anyway, and Ben's, who did not
            transitions=(Transition("INACTIVE", "GRADUATED", 1),),
        ),
        Difference(added=1, removed=1, parents=1, changes=3, departures=1),
    ]
    assert [night.differs for night in replayed.nights] == [False, True, True]
    assert [night.counts.graduated for night in replayed.nights] == [0, 1, 1]
    same = publish_night(three_nights, 3, NEW[2])  # the next night goes on from the replayed ones
    assert (same.added, same.changed, same.removed) == (0, 0, 0)
    assert publish_night(three_nights, 4, OLD[2]).removed == 1


def test_a_replayed_night_keeps_its_row_and_notes_the_last_replay(three_nights):
    fixed = "snapshot_id, run_id, landed_run_id, started_at, published_at, state"
    query = f"select {fixed} from samegoal.snapshots where district_id = 'grand-bend' order by 1"
    before = rows(three_nights, query)
    replay_from(three_nights, 0, NEW.__getitem__)
    replay_from(three_nights, 0, OLD.__getitem__)
    assert rows(three_nights, query) == before
    noted = "select notes, enrollment_rows, quarantined from samegoal.snapshots"
    noted += " where district_id = 'grand-bend' order by snapshot_date"
    replayed = ["a note", "replayed by run again"], 8, 1
    assert rows(three_nights, noted) == [(["a note"], 8, 1), replayed, replayed]


def test_a_login_that_is_no_superuser_may_replay(three_nights):
    engine = login(three_nights, Role.WRITER)
    assert replay_from(engine, 0, NEW.__getitem__).written
    engine.dispose()


def replay_and_hang(url: str, reached: Any) -> None:
    """In a process of its own: write two nights, and get no further."""

    def recompute(night: int) -> SnapshotPayload:
        if night == 2:
            reached.set()
            time.sleep(600)
        return NEW[night]

    replay_from(warehouse_engine.connect(url), 0, recompute, within=True)


def test_a_replay_that_is_killed_leaves_everything_as_it_was(three_nights):
    before = every_byte(three_nights)
    spawned = multiprocessing.get_context("spawn")
    reached = spawned.Event()
    url = three_nights.url.render_as_string(hide_password=False)
    process = spawned.Process(target=replay_and_hang, args=(url, reached))
    process.start()
    assert reached.wait(300)
    process.kill()
    process.join()
    assert every_byte(three_nights) == before
    assert replay_from(three_nights, 0, NEW.__getitem__).written


def test_nights_that_were_never_published_are_skipped_and_told(three_nights):
    for night, state in ((1, "failed"), (3, "failed"), (4, "held"), (4, "failed")):
        fail_night(three_nights, night, "no reason", run_id=f"{night} {state}")
    with three_nights.begin() as connection:
        connection.execute(sa.text("update samegoal.snapshots set state = 'held' where run_id = '4 held'"))

    nights, skipped = find_nights(three_nights, "grand-bend", NIGHT)

    assert [(night.snapshot_date - NIGHT).days for night in nights] == [0, 1, 2]
    assert [(one.snapshot_date, one.state) for one in skipped] == [
        (date(2026, 9, 4), "failed"),
        (date(2026, 9, 5), "held"),
    ]


def test_a_date_after_every_published_night_is_refused(three_nights):
    with pytest.raises(
        ReleaseRefusedError, match="no night from 2026-09-04 on is published; the last one is 2026-09-03"
    ):
        find_nights(three_nights, "grand-bend", date(2026, 9, 4))
    with pytest.raises(ReleaseRefusedError, match="nothing is published yet"):
        find_nights(three_nights, "nowhere", NIGHT)


def test_a_replay_waits_for_who_publishes_and_nobody_publishes_during_a_replay(three_nights, monkeypatch):
    monkeypatch.setattr(warehouse_engine, "LOCK_SECONDS", 1)
    in_progress = "another run has been publishing this district for 1 s"

    def publish_meanwhile(night: int) -> SnapshotPayload:
        with pytest.raises(SnapshotInProgressError, match=in_progress):
            publish_night(three_nights, 3, OLD[0])
        return NEW[night]

    assert replay_from(three_nights, 2, publish_meanwhile, within=True).written
    with warehouse_engine.as_writer(three_nights, "grand-bend", "publishing") as connection:
        warehouse_engine.lock(connection, "grand-bend")
        with pytest.raises(SnapshotInProgressError, match=in_progress):
            replay_from(three_nights, 0, OLD.__getitem__)


def test_a_night_that_is_published_meanwhile_stops_the_replay(three_nights):
    before: list[object] = []

    def publish_meanwhile(night: int) -> SnapshotPayload:
        if not before:
            publish_night(three_nights, 3, OLD[0])
            before.append(every_byte(three_nights))
        return NEW[night]

    with pytest.raises(SnapshotInProgressError, match="published this district since the replay began"):
        replay_from(three_nights, 0, publish_meanwhile)
    assert before == [every_byte(three_nights)]


def test_what_was_held_beside_the_old_rows_cannot_be_released_after_a_replay(three_nights):
    tonight = NIGHT + timedelta(days=3)
    hold_night(three_nights, 3, snapshot(), gate_of(), run_id="held")
    replay_from(three_nights, 0, OLD.__getitem__)
    assert find_held(three_nights, "grand-bend", tonight).run_id == "held"
    replay_from(three_nights, 0, NEW.__getitem__)
    with pytest.raises(ReleaseRefusedError, match="moved on"):
        find_held(three_nights, "grand-bend", tonight)


def test_what_was_hidden_since_stays_hidden_however_often_the_night_is_replayed(warehouse):
    ana = student(1, phone="(512) 555-0101")
    published = publish_night(warehouse, 0, snapshot(ana, student(2)))
    numbers = {published.snapshot_id: phones((1, None, "5125550101"))}
    hide_contacts(warehouse, "grand-bend", confidential=numbers)
    for status in ("INACTIVE", "GRADUATED"):
        now = computed(snapshot(ana, student(2, status=status)))
        assert replay_from(warehouse, 0, lambda _, now=now: now).written
        shown = rows(warehouse, "select status, phone from samegoal.student_details order by student_id")
        assert shown == [("ENROLLED", None), (status, None)]
