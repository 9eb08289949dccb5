"""What the gate counts of a night beside the published one, and which nights are held."""

from collections.abc import Iterable
from typing import Any

import pytest
import sqlalchemy as sa

from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse.snapshots import Snapshot
from samegoal_pipelines_tests.warehouse.factories import (
    Tried,
    attempts,
    gate_of,
    hold_night,
    publish_night,
    release_night,
    snapshot,
    student,
    try_night,
)

# -- students who are dropped --


def students(count: int) -> list[dict[str, Any]]:
    return [student(student_id) for student_id in range(1, count + 1)]


def school(
    count: int, *, inactive: int = 0, graduated: int = 0, gone: int = 0, carried_over: Iterable[int] = ()
) -> SnapshotPayload:
    """A school of so many students, of whom these are dropped; the rest is ENROLLED."""
    dropped = ["INACTIVE"] * inactive + ["GRADUATED"] * graduated + [None] * gone
    everybody = enumerate(dropped + ["ENROLLED"] * (count - len(dropped)), start=1)
    kept = frozenset(carried_over)
    there = (student(n, status=status) for n, status in everybody if status and n not in kept)
    return snapshot(*there, carried_over=kept)


def next_night(engine: sa.Engine, last: SnapshotPayload, tonight: SnapshotPayload, **gate: Any) -> Tried:
    """Publish a district's first night, and ask the gate about the next one."""
    publish_night(engine, 0, last)
    return try_night(engine, 1, tonight, gate=gate_of(**gate))


def expiring(count: int, of: int, status: str | None = "INACTIVE") -> dict[int, str | None]:
    """What the last night's rows say tonight: time makes the first students this; others stay ENROLLED."""
    return {n: status if n <= count else "ENROLLED" for n in range(1, of + 1)}


ACTIVE = "last published as ENROLLED or PRE-ENROLLED would be gone, INACTIVE or GRADUATED"
UNTOLD = (
    f"{ACTIVE} (how many of them only because time has passed cannot be told: the rows that the published "
    "snapshot was made from are not in the landing); the limit is 10%"
)
COMING = [student(n, status="PRE-ENROLLED") for n in range(1, 61)]
LEAVERS = [student(n, status="INACTIVE") for n in range(100, 201)]
SUCCESSOR = snapshot(*students(50)[1:], student(101, student_number="00001"), carried_over=frozenset({1}))
"""Student 1 is carried over, and a new student has the same number."""


@pytest.mark.parametrize(
    "dropped", [{"inactive": 10}, {"graduated": 10}, {"gone": 10}, {"inactive": 4, "graduated": 3, "gone": 3}]
)
def test_a_tenth_of_the_students_may_be_dropped_in_a_night_and_no_more(warehouse, dropped):
    asked: list[Snapshot] = []
    published = next_night(warehouse, school(100), school(100, **dropped), asked=asked, dropped_least=0)
    assert (published.dropped, published.verdict.numbers["dropped"]) == (10, 10)
    assert asked == []  # the slow question is asked only of a night that may be held
    assert attempts(warehouse, "state", "dropped", "dropped_by_time")[1] == ("published", 10, None)


@pytest.mark.parametrize(
    ("last", "tonight", "outcome"),
    [
        pytest.param(
            school(100, inactive=60, graduated=10), school(100, gone=70), (70, 0), id="not active before"
        ),
        pytest.param(snapshot(*COMING), school(60), (0, 0), id="was to come and comes"),
        pytest.param(snapshot(*COMING), snapshot(*COMING[30:]), "held for 30", id="comes no more"),
        pytest.param(school(50), school(50, inactive=5, carried_over=range(6, 31)), (0, 5), id="kept"),
        pytest.param(  # a fifth of the students that the share is about, not of everybody
            snapshot(*students(24), *LEAVERS), snapshot(*LEAVERS), "held for 24", id="active ones"
        ),
        pytest.param(school(3), school(3, carried_over=range(1, 4)), "held for 0", id="all kept"),
        pytest.param(snapshot(), school(9, gone=8, carried_over=[9]), (0, 0), id="nobody as before"),
        pytest.param(snapshot(), school(30), (0, 0), id="the first students"),
        pytest.param(school(6), school(8), (0, 0), id="two new ones"),
        pytest.param(school(6), school(9), "held for 0", id="three new ones"),
        pytest.param(school(50), SUCCESSOR, (0, 0), id="kept number"),
    ],
)
def test_who_is_removed_and_who_is_dropped(warehouse, last, tonight, outcome):
    tried = next_night(warehouse, last, tonight, carried_over=50)
    assert (f"held for {tried.dropped}" if tried.held else (tried.removed, tried.dropped)) == outcome
    assert tried.carried_over == len(tonight.carried_over & {*last.status["student_id"]})


# -- what passing time explains --


def test_what_edits_explain_counts_alone(warehouse):
    held = next_night(warehouse, school(100), school(100, inactive=60), by_time=expiring(30, of=100))
    assert held.verdict.reasons == (
        f"60 of 100 students (60.0%) {ACTIVE}, 30 of them (30.0%) not because time has passed; the limit is "
        "10%",
    )
    assert held.next_step.startswith(
        "check in Qmlativ whether their enrollments were ended or deleted on purpose; look at the students"
    )
    assert held.next_step.endswith("samegoal-pipelines sync ID --release --today 2026-09-02 --why REASON")
    assert attempts(warehouse, "kind", "dropped", "dropped_by_time")[1] == ("dropped", 60, 30)


def test_time_explains_a_student_whose_rows_leave_the_window_but_not_one_in_doubt(warehouse):
    publish_night(warehouse, 0, school(100))
    absent = gate_of(by_time=dict.fromkeys(range(41, 101), "ENROLLED"))
    assert publish_night(warehouse, 1, school(100, gone=40), gate=absent).dropped_by_time == 40
    publish_night(warehouse, 2, school(100))
    in_doubt = gate_of(by_time=expiring(40, of=100, status=None))
    assert hold_night(warehouse, 3, school(100, gone=40), in_doubt).dropped_by_time == 0


# -- demographics, contacts, rows quarantined --


def family(student_id: int, name: str = "Tran", **contact: Any) -> dict[str, Any]:
    return student(student_id, first_name=name, parents={student_id: {"first_name": name, **contact}})


def test_rows_of_demographics_that_change_are_counted(warehouse):
    tonight = snapshot(  # the last student is gone, who counts as dropped
        *(family(n, "Nguyen") for n in range(1, 9)),
        {**family(9), "parents": {90: {"first_name": "Tran"}}},  # another parent
        {**family(10), "parents": {10: {"first_name": "Kim"}}},  # the parent alone
        *(family(n) for n in (11, 13)),  # the same, and a new one: no row that changes
    )
    held = next_night(warehouse, snapshot(*map(family, range(1, 13))), tonight, demographics=70)
    assert held.verdict.reasons == (
        "18 of 24 published rows of demographics (75.0%) would change; the limit is 70%",
    )


def test_rows_that_only_hash_differently_are_no_change(warehouse):
    """A new version of the program may hash in another way; a night must not be held for that."""
    publish_night(warehouse, 0, snapshot(*map(family, range(1, 41))))
    with warehouse.begin() as connection:
        for table in ("student_status", "student_demographics", "parent_demographics"):
            connection.execute(sa.text(f"update samegoal.{table}_history set row_hash = row_hash + 1"))
    tonight = snapshot(family(1, "Nguyen"), *map(family, range(2, 41)))
    published = publish_night(warehouse, 1, tonight, gate=gate_of(dropped_least=1))
    assert (published.changed, published.dropped) == (1, 0)
    assert published.verdict.numbers["demographics_changed"] == 2


CONTACTS = ("street", "home_phone", "cell_phone", "work_phone", "email")


def test_students_who_lose_their_last_contact_are_counted(warehouse):
    reachable = [family(n, **{CONTACTS[n % len(CONTACTS)]: "given"}) for n in range(1, 51)]
    unreachable = [
        {**reachable[0], "parents": {}},  # the parent is gone
        family(2, city="Austin"),  # a city alone reaches nobody
        *(family(n, email="", has_restricted_access=True) for n in range(3, 7)),
    ]
    held = next_night(warehouse, snapshot(*reachable), snapshot(*unreachable, *reachable[6:]))
    assert held.verdict.reasons == (
        "6 of 50 students (12.0%) would lose their last parent with a phone, an e-mail address or a "
        "street; the limit is 10%",
    )


def test_a_student_with_another_contact_or_none_to_lose_or_who_is_gone_or_kept_loses_none(warehouse):
    reached, not_reached = {"email": "x@example.org"}, {"city": "Austin"}
    last = {n: {1: reached} for n in (2, 5, 6)} | {n: {1: reached, 2: not_reached} for n in (3, 7)}
    last |= {1: {1: reached, 2: reached}, 4: {1: not_reached}}
    tonight = {
        1: {1: not_reached, 2: reached},  # the other one is as before
        2: {3: {"work_phone": "555"}},  # another one has come
        3: {2: {"street": "1 Elm"}},  # the other one can be reached now
        4: {},
        7: {2: not_reached},  # dropped: the other one never could
    }
    before, after = ([student(n, parents=of) for n, of in each.items()] for each in (last, tonight))
    found = next_night(warehouse, snapshot(*before), snapshot(*after, carried_over=frozenset({5})))
    assert (found.state, found.verdict.numbers["contacts_lost"]) == ("published", 1)


def test_enrollment_rows_that_are_quarantined_and_students_who_are_carried_over_are_counted(warehouse):
    strangers = range(1001, 1101)  # who were never published keep nothing
    tonight = school(26, carried_over=[*range(1, 7), *strangers])
    held = next_night(warehouse, school(26), tonight._replace(quarantined=3, enrollment_rows=200))
    assert held.verdict.reasons == (
        "3 of 200 enrollment rows (1.5%) were quarantined; the limit is 1%",
        "6 of 26 students (23.1%) cannot be read and would be carried over as last published; the limit is "
        "10%",
    )
    assert held.reason == "; ".join(held.verdict.reasons)
    assert held.carried_over == 6
    assert attempts(warehouse, "enrollment_rows", "quarantined")[1] == (200, 3)


def test_the_first_snapshot_of_a_district_and_the_same_content_again_pass(warehouse):
    read = {"quarantined": 9, "enrollment_rows": 10}
    for night in (0, 0, 1):
        tried = publish_night(warehouse, night, school(30, inactive=30), gate=gate_of(), **read)
        assert not tried.verdict.numbers
    hold_night(warehouse, 2, school(31, inactive=30), gate_of(), **read)


# -- numbers that belong to another student --


def numbered(**numbers: str) -> SnapshotPayload:
    """A school of a hundred, in which students have these numbers, and are absent if theirs is empty."""
    everybody = {f"s{one['student_id']}": one for one in students(100)}
    everybody |= {name: student(int(name[1:]), student_number=number) for name, number in numbers.items()}
    return snapshot(*(one for one in everybody.values() if one["student_number"]))


REUSED = {"s1": "", "s101": "00001"}


@pytest.mark.parametrize(
    ("nights", "reassigned"),
    [
        pytest.param([{"s1": "00002", "s2": "00001"}], 2, id="swapped"),
        pytest.param([REUSED], 1, id="reused as its holder leaves"),
        pytest.param([{"s1": ""}, REUSED], 1, id="reused after its holder left"),
        pytest.param([{"s1": "A"}, {"s1": "A", "s2": "00001"}], 1, id="reused after its holder got another"),
        pytest.param([{"s101": "00001"}, REUSED], 1, id="shared, then its first holder leaves"),
        pytest.param([{"s101": "00001"}], 0, id="shared"),
        pytest.param([{"s101": "00001"}, {}], 0, id="shared, then its first holder alone"),
        pytest.param([{"s1": "A", "s2": "B"}], 0, id="never used before"),
        pytest.param([{"s1": "A"}, {}], 0, id="its holder gets it back"),
        pytest.param([{"s1": ""}, {}], 0, id="its holder returns"),
        pytest.param([REUSED, {**REUSED, "s101": ""}, REUSED], 0, id="its new holder returns"),
        pytest.param([REUSED, {"s1": "", "s101": ""}, {}], 1, id="back to a former holder"),
    ],
)
def test_a_number_that_now_belongs_to_another_student_is_held(warehouse, nights, reassigned):
    *earlier, tonight = [{}, *nights]
    for night, numbers in enumerate(earlier):
        publish_night(warehouse, night, numbered(**numbers))
    done = try_night(warehouse, len(nights), numbered(**tonight), gate=gate_of())
    assert done.verdict.numbers["reassigned"] == reassigned
    assert done.held == bool(reassigned)


# -- a night that is run again and again gets no further from the night before than one run may --


BEFORE = "compared with the night 2026-09-01, the last one published before this one: "


def publish(engine: sa.Engine, *nights: tuple[int, int], **gate: Any) -> Tried:
    """Publish these nights one after another, with so many of 1,000 students remaining; return the last."""
    return [
        publish_night(engine, night, school(1000, gone=1000 - remaining), gate=gate_of(**gate))
        for night, remaining in nights
    ][-1]


def hold(engine: sa.Engine, night: int, remaining: int, *, release: bool = False, **gate: Any) -> Tried:
    """Hold a night with so many remaining, and release it."""
    tonight = school(1000, gone=1000 - remaining)
    held = hold_night(engine, night, tonight, gate_of(**gate))
    if release:
        release_night(engine, night, tonight)
    return held


def test_six_reruns_that_lose_seven_percent_each_stop_at_a_tenth(warehouse):
    publish(warehouse, (0, 1000), (1, 930))
    for remaining in (865, 804, 748, 696, 647):  # 7% fewer each time
        held = hold(warehouse, 1, remaining)
    assert held.verdict.reasons == (
        f"283 of 930 students (30.4%) {UNTOLD}",
        f"{BEFORE}353 of 1,000 students (35.3%) {UNTOLD}",
    )
    undone = publish(warehouse, (1, 1000))
    assert (undone.added, undone.removed, undone.dropped) == (70, 0, 0)


def test_a_rerun_within_the_limit_is_held_for_what_the_night_adds_up_to(warehouse):
    asked: list[Snapshot] = []
    publish_night(warehouse, 0, school(1000), run_id="the night before")
    still = publish(warehouse, (1, 930), (1, 900))  # exactly the limit, in two steps
    assert (still.removed, still.dropped) == (30, 100)
    held = hold(warehouse, 1, 899, by_time=expiring(0, of=1000), asked=asked)
    assert held.verdict.reasons == (
        f"{BEFORE}101 of 1,000 students (10.1%) {ACTIVE}, 101 of them (10.1%) not because time has passed; "
        "the limit is 10%",
    )
    assert held.removed == 1
    assert [one.run_id for one in asked] == ["the night before"]
    assert attempts(warehouse, "state", "dropped", "dropped_by_time")[-1] == ("held", 101, 0)


def test_what_time_has_taken_since_the_night_before_does_not_count_against_a_rerun(warehouse):
    time = expiring(300, of=1000)
    again = publish(warehouse, (0, 1000), (1, 650), (1, 640), by_time=time)
    assert (again.dropped, again.dropped_by_time) == (360, 300)
    assert hold(warehouse, 1, 599, by_time=time).dropped_by_time == 300


def test_what_is_no_comparison_is_told_once(warehouse):
    publish(warehouse, (0, 1000), (1, 999))
    read = {"quarantined": 9, "enrollment_rows": 100}
    (reason,) = hold_night(warehouse, 1, school(1000, gone=2), gate_of(), **read).verdict.reasons
    assert reason.startswith("9 of 100 enrollment rows")


def test_a_rerun_is_not_held_again_for_what_was_released_but_later_reruns_add_up(warehouse):
    """Of what a release was followed by, nobody has seen more than one run's worth."""
    publish(warehouse, (0, 1000))
    hold(warehouse, 1, 600, release=True)
    again = publish(warehouse, (1, 600), (1, 560))  # the first of which changes nothing
    assert (again.removed, again.dropped) == (40, 440)
    (reason,) = hold(warehouse, 1, 520, release=True).verdict.reasons
    assert reason.startswith(BEFORE + "480 of 1,000 students (48.0%)")
    assert publish(warehouse, (1, 560), (2, 520)).removed == 40
    (reason,) = hold(warehouse, 2, 500).verdict.reasons  # the release was of another night
    assert "the night 2026-09-02, the last one published before this one: 60 of 560 students" in reason


def test_the_first_night_of_a_district_run_again_has_its_first_run_alone_to_compare_with(warehouse):
    assert publish(warehouse, (0, 1000), (0, 930), (0, 865), (0, 804)).removed == 61
    hold(warehouse, 0, 600)
