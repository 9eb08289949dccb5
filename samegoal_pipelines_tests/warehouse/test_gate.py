"""Which nights are held, on either side of each limit, and what a hold says and leaves alone."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from samegoal_pipelines.tables import limits
from samegoal_pipelines.tables.limits import Limit, Limits
from samegoal_pipelines.transforms import gate
from samegoal_pipelines.transforms.gate import Measured
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse.snapshots import Snapshot
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
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

# -- the limits, without a database --

NOBODY = np.array([], dtype=np.int64)
SAME = {
    name: 1000 for name in ("students", "published_students", "published_active", "demographics_published")
}
"""The numbers of a night like the last one."""


def judged(name: str, part: int, whole: int, **changed: float) -> gate.Verdict:
    """The verdict on a night that differs from the last only in so many of the rows that a limit counts."""
    dropped = np.arange(part) if name in ("dropped", "expired") else NOBODY
    differs = {
        "dropped": {"published_active": whole},
        "expired": {"published_active": whole},
        "demographics": {"demographics_changed": part, "demographics_published": whole},
        "contacts": {"contacts_lost": part, "published_students": whole},
        "quarantined": {"quarantined": part, "enrollment_rows": whole},
        "added": {"added": part, "published_students": whole},
        "reassigned": {"reassigned": part, "published_students": whole},
        "carried_over": {"carried_over": part, "published_students": whole},
    }
    measured = Measured(SAME | differs[name], dropped, np.zeros(len(dropped), dtype=bool))
    return gate.judge(Limits(**changed), measured, staying=NOBODY if name == "expired" else None)


@pytest.mark.parametrize(
    ("name", "whole", "passes", "held"),
    [
        pytest.param("dropped", 1000, 100, 101, id="a tenth"),
        pytest.param("dropped", 200, 24, 25, id="24 students of a large district"),
        pytest.param("dropped", 26, 5, 6, id="a fifth of a small district"),
        pytest.param("dropped", 12, 2, 3, id="2 students of a tiny district"),
        ("expired", 100, 50, 51),
        ("expired", 6, 4, 5),
        ("demographics", 20, 15, 16),
        ("demographics", 5, 4, 5),
        ("contacts", 50, 5, 6),
        ("contacts", 9, 4, 5),
        ("quarantined", 200, 2, 3),
        ("quarantined", 10, 1, 2),
        ("added", 100, 30, 31),
        ("added", 50, 15, 16),
        ("added", 6, 2, 3),
        ("reassigned", 100, 0, 1),
        ("carried_over", 250, 25, 26),
        ("carried_over", 26, 5, 6),
    ],
)
def test_a_night_up_to_the_limit_passes_and_one_above_it_is_held(name, whole, passes, held):
    assert judged(name, passes, whole).reasons == ()
    assert judged(name, held, whole).kind == name


def test_a_whole_class_may_graduate_by_time():
    class_of = Measured(SAME, dropped=np.arange(900), graduated=np.ones(900, dtype=bool))
    assert gate.judge(Limits(), class_of, staying=NOBODY).reasons == ()
    assert gate.judge(Limits(), class_of).kind == "dropped"


def test_nobody_left_is_held_whatever_the_size():
    numbers = SAME | {"students": 0, "published_students": 1, "published_active": 1}
    for unread, said in ((0, ""), (3, " (3 who could not be read would be carried over)")):
        measured = Measured(numbers | {"carried_over": unread}, NOBODY, NOBODY.astype(bool))
        assert gate.judge(Limits(), measured).reasons == (
            f"the snapshot has no students{said}, but the published one has 1 student",
        )


def test_an_object_that_comes_without_a_row_is_held_if_it_had_five():
    same = Measured(SAME, NOBODY, NOBODY.astype(bool))
    assert gate.judge(Limits(), same, emptied={"Demographics/NamePhone": 4}).reasons == ()
    assert gate.judge(Limits(), same, emptied={"Demographics/NamePhone": 5}).reasons == (
        "Demographics/NamePhone came without a single row, but with 5 for the published snapshot",
    )


def test_a_districts_own_limits_decide():
    assert judged("dropped", 4, 100, dropped=3, dropped_least=0).kind == "dropped"
    assert judged("dropped", 40, 100, dropped=39.9).kind == "dropped"
    assert judged("dropped", 40, 100, dropped=40).reasons == ()
    assert judged("reassigned", 2, 100, reassigned=1.9).kind == "reassigned"
    assert judged("reassigned", 2, 100, reassigned=2).reasons == ()


def test_growth_is_compared_with_who_is_published():
    grown = judged("added", 3, 6)
    assert grown.reasons == ("3 students would be new, beside 6 published ones (50.0%); the limit is 30%",)
    assert "one entity too many" in grown.next_step(NIGHT)


def test_a_number_of_another_student_is_told_with_what_to_check_and_how_to_release():
    swapped = judged("reassigned", 2, 100)
    assert swapped.reasons == (
        "2 of 100 student numbers (2.0%) would now belong to another student, whom SameGoal would take for "
        "the former one; the limit is 0%",
    )
    assert swapped.next_step(NIGHT).startswith(
        "check in Qmlativ whether these student numbers were reused or swapped by mistake; look at the "
    )


def test_a_share_that_is_just_above_the_limit_does_not_read_like_the_limit():
    (reason,) = judged("quarantined", 1001, 100_000).reasons
    assert reason == "1,001 of 100,000 enrollment rows (1.001%) were quarantined; the limit is 1%"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"losses": 5}, "the gate has no limit named losses; its limits are dropped, dropped_least, expired"),
        ({"dropped": 100.1}, "the limit dropped is a percentage: a number from 0 to 100"),
        ({"contacts": -1}, "the limit contacts is a percentage"),
        ({"quarantined": float("nan")}, "the limit quarantined is a percentage"),
        ({"expired": True}, "the limit expired is a percentage"),
        ({"expired": "50"}, "the limit expired is a percentage"),
        ({"dropped_least": 2.5}, "the limit dropped_least is a number of students"),
        ({"dropped_least": -1}, "the limit dropped_least is a number of students"),
    ],
)
def test_limits_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        Limits(**changed)


def test_a_limit_that_is_added_to_the_table_holds_and_is_shown_and_can_be_set(monkeypatch):
    """One row in the table of limits and one counted number: nothing else knows a limit by its name."""
    promoted = Limit(
        name="promoted",
        default=20.0,
        help="students who change their grade",
        label="students promoted",
        numerator="promoted",
        denominator="published_students",
        sentence="{of} would change their grade; the limit is {limit}: check the grades in Qmlativ",
    )
    for module in (limits, gate):
        monkeypatch.setattr(module, "SHARES", (promoted,))
    monkeypatch.setattr(limits, "LIMITS", (*limits.LIMITS, promoted))
    monkeypatch.setitem(limits.BY_NAME, "promoted", promoted)
    numbers = SAME | {"published_students": 100}
    measured = Measured(numbers | {"promoted": 21}, NOBODY, NOBODY.astype(bool))
    assert gate.judge(Limits(), measured).reasons == (
        "21 of 100 students (21.0%) would change their grade; the limit is 20%: check the grades in Qmlativ",
    )
    verdict = gate.judge(Limits(promoted=21), measured)
    assert verdict.reasons == ()
    shares = [("students promoted", "21", "100", "21.0%", "21%")]
    assert list(gate.shares(Limits(promoted=21), verdict.numbers)) == shares
    # A forecast cannot count it, and goes on without.
    assert gate.judge(Limits(), replace(measured, numbers=numbers), staying=NOBODY).reasons == ()


# -- students who are dropped --


def students(count: int, **facts: Any) -> list[dict[str, Any]]:
    return [student(student_id, **facts) for student_id in range(1, count + 1)]


def school(
    count: int, *, inactive: int = 0, graduated: int = 0, gone: int = 0, carried_over: Iterable[int] = ()
) -> SnapshotPayload:
    """A school of so many students, of whom these are dropped; the rest is ENROLLED."""
    everybody = students(count)
    for one in everybody[:inactive]:
        one["status"] = "INACTIVE"
    for one in everybody[inactive : inactive + graduated]:
        one["status"] = "GRADUATED"
    there = everybody[: inactive + graduated] + everybody[inactive + graduated + gone :]
    carried_over = frozenset(carried_over)
    return snapshot(
        *(one for one in there if one["student_id"] not in carried_over), carried_over=carried_over
    )


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
KEPT = frozenset(range(6, 31))
NEWCOMER = student(101, student_number="00001")


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
    ("last", "tonight", "limits", "outcome"),
    [
        pytest.param(
            school(100, inactive=60, graduated=10), school(100, gone=70), {}, (70, 0), id="not active before"
        ),
        pytest.param(snapshot(*COMING), school(60), {}, (0, 0), id="was to come and comes"),
        pytest.param(snapshot(*COMING), snapshot(*COMING[30:]), {}, "held for 30", id="comes no more"),
        pytest.param(
            school(50), school(50, inactive=5, carried_over=KEPT), {"carried_over": 50}, (0, 5), id="kept"
        ),
        pytest.param(  # a fifth of the students that the share is about, not of everybody
            snapshot(*students(24), *LEAVERS), snapshot(*LEAVERS), {}, "held for 24", id="active ones"
        ),
        pytest.param(school(3), snapshot(carried_over=frozenset({1, 2, 3})), {}, "held for 0", id="all kept"),
        pytest.param(snapshot(), snapshot(carried_over=frozenset({9})), {}, (0, 0), id="nobody as before"),
        pytest.param(snapshot(), school(30), {}, (0, 0), id="the first students"),
        pytest.param(school(6), school(8), {}, (0, 0), id="two new ones"),
        pytest.param(
            school(50),
            snapshot(*students(50)[1:], NEWCOMER, carried_over=frozenset({1})),
            {},
            (0, 0),
            id="kept number",
        ),
    ],
)
def test_who_is_removed_and_who_is_dropped(warehouse, last, tonight, limits, outcome):
    tried = next_night(warehouse, last, tonight, **limits)
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
    assert (held.dropped, held.dropped_by_time) == (60, 30)
    assert attempts(warehouse, "kind", "dropped", "dropped_by_time")[1] == ("dropped", 60, 30)


def test_time_explains_a_student_whose_rows_leave_the_window_but_not_one_in_doubt(warehouse):
    publish_night(warehouse, 0, school(100))
    absent = gate_of(by_time=dict.fromkeys(range(41, 101), "ENROLLED"))
    assert publish_night(warehouse, 1, school(100, gone=40), gate=absent).dropped_by_time == 40
    publish_night(warehouse, 2, school(100))
    in_doubt = gate_of(by_time=expiring(40, of=100, status=None))
    assert hold_night(warehouse, 3, school(100, gone=40), in_doubt).dropped_by_time == 0


# -- nobody left, demographics, contacts, rows quarantined --


def family(student_id: int, name: str = "Tran", **contact: Any) -> dict[str, Any]:
    return student(student_id, first_name=name, parents={student_id: {"first_name": name, **contact}})


def test_rows_of_demographics_that_change_are_counted(warehouse):
    tonight = snapshot(
        *(family(n, "Nguyen" if n <= 8 else "Tran") for n in range(1, 10)),
        {**family(10), "parents": {10: {"first_name": "Kim"}}},  # the parent alone
        family(11),  # new: no row that changes
    )
    held = next_night(warehouse, snapshot(*map(family, range(1, 11))), tonight)
    assert held.verdict.reasons == (
        "17 of 20 published rows of demographics (85.0%) would change; the limit is 75%",
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


def test_parents_who_give_way_to_others_are_changed_demographics(warehouse):
    """And those of a student who is gone are not: that student is dropped."""

    def families(first_parent: int, gone: int = 0) -> SnapshotPayload:
        parents = {one: {first_parent + 10 * one + n: {} for n in range(4)} for one in range(1 + gone, 11)}
        return snapshot(*(student(one, parents=theirs) for one, theirs in parents.items()))

    held = next_night(warehouse, families(1000), families(5000, gone=1), demographics=70)
    assert held.verdict.numbers["demographics_changed"] == 9 * 4
    assert held.verdict.numbers["demographics_published"] == 10 + 10 * 4


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


# -- when the gate is not asked, and what it is told --


def test_the_first_snapshot_of_a_district_and_the_same_content_again_pass(warehouse):
    read = {"quarantined": 9, "enrollment_rows": 10}
    for night in (0, 0, 1):
        tried = publish_night(warehouse, night, school(30, inactive=30), gate=gate_of(), **read)
        assert not tried.verdict.numbers
    hold_night(warehouse, 2, school(31, inactive=30), gate_of(), **read)


# -- numbers that belong to another student --


def numbered(**numbers: str) -> SnapshotPayload:
    """A school of a hundred, in which students have these numbers, and are absent if theirs is empty."""
    everybody = {one["student_id"]: one for one in students(100)}
    for name, number in numbers.items():
        student_id = int(name[1:])
        everybody[student_id] = student(student_id, student_number=number)
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
    publish_night(warehouse, 0, numbered())
    *earlier, tonight = nights
    for night, numbers in enumerate(earlier, start=1):
        publish_night(warehouse, night, numbered(**numbers))
    done = try_night(warehouse, len(nights), numbered(**tonight), gate=gate_of())
    assert done.verdict.numbers["reassigned"] == reassigned
    assert done.held == bool(reassigned)


# -- a night that is run again and again gets no further from the night before than one run may --


BEFORE = "compared with the night 2026-09-01, the last one published before this one: "


def thousand(remaining: int) -> SnapshotPayload:
    """A school of 1,000 students, of whom so many remain."""
    return snapshot(*(student(n) for n in range(1001 - remaining, 1001)))


def publish(engine: sa.Engine, *nights: tuple[int, int], **gate: Any) -> Tried:
    """Publish these nights one after another, with so many students remaining; return the last."""
    return [
        publish_night(engine, night, thousand(remaining), gate=gate_of(**gate)) for night, remaining in nights
    ][-1]


def test_six_reruns_that_lose_seven_percent_each_stop_at_a_tenth(warehouse):
    publish(warehouse, (0, 1000), (1, 930))
    for remaining in (865, 804, 748, 696, 647):  # 7% fewer each time
        held = hold_night(warehouse, 1, thousand(remaining), gate_of())
    assert held.verdict.reasons == (
        f"283 of 930 students (30.4%) {UNTOLD}",
        f"{BEFORE}353 of 1,000 students (35.3%) {UNTOLD}",
    )


def test_a_rerun_within_the_limit_is_held_for_what_the_night_adds_up_to(warehouse):
    asked: list[Snapshot] = []
    publish_night(warehouse, 0, school(1000), run_id="the night before")
    still = publish(warehouse, (1, 930), (1, 900))  # exactly the limit, in two steps
    assert (still.removed, still.dropped) == (30, 100)

    gate = gate_of(by_time=dict.fromkeys(range(1, 1001), "ENROLLED"), asked=asked)
    held = hold_night(warehouse, 1, thousand(899), gate)

    assert held.verdict.reasons == (
        f"{BEFORE}101 of 1,000 students (10.1%) {ACTIVE}, 101 of them (10.1%) not because time has passed; "
        "the limit is 10%",
    )
    assert (held.removed, held.dropped, held.dropped_by_time) == (1, 101, 0)
    assert [one.run_id for one in asked] == ["the night before"]
    assert attempts(warehouse, "state", "dropped", "dropped_by_time")[-1] == ("held", 101, 0)


def test_what_time_has_taken_since_the_night_before_does_not_count_against_a_rerun(warehouse):
    time = {n: "INACTIVE" if n <= 300 else "ENROLLED" for n in range(1, 1001)}
    again = publish(warehouse, (0, 1000), (1, 650), (1, 640), by_time=time)
    assert (again.dropped, again.dropped_by_time) == (360, 300)
    assert hold_night(warehouse, 1, thousand(599), gate_of(by_time=time)).dropped_by_time == 300


def test_what_is_no_comparison_is_told_once(warehouse):
    publish(warehouse, (0, 1000), (1, 999))
    held = hold_night(warehouse, 1, thousand(998), gate_of(), quarantined=9, enrollment_rows=100)
    (reason,) = held.verdict.reasons
    assert reason.startswith("9 of 100 enrollment rows")


def test_a_rerun_that_undoes_the_nights_loss_passes(warehouse):
    back = publish(warehouse, (0, 1000), (1, 930), (1, 1000))
    assert (back.added, back.removed, back.dropped) == (70, 0, 0)


def test_a_rerun_is_not_held_again_for_what_was_released_but_later_reruns_add_up(warehouse):
    """Of what a release was followed by, nobody has seen more than one run's worth."""
    publish(warehouse, (0, 1000))
    hold_night(warehouse, 1, thousand(600), gate_of())
    release_night(warehouse, 1, thousand(600))
    again = publish(warehouse, (1, 600), (1, 560))  # the first of which changes nothing
    assert (again.removed, again.dropped) == (40, 440)
    held = hold_night(warehouse, 1, thousand(520), gate_of())
    (reason,) = held.verdict.reasons
    assert reason.startswith(BEFORE + "480 of 1,000 students (48.0%)")
    release_night(warehouse, 1, thousand(520))
    assert publish(warehouse, (1, 500)).removed == 20


def test_a_release_of_one_night_lets_no_other_pass(warehouse):
    publish(warehouse, (0, 1000))
    hold_night(warehouse, 1, thousand(600), gate_of())
    release_night(warehouse, 1, thousand(600))
    publish(warehouse, (2, 600), (2, 560))
    held = hold_night(warehouse, 2, thousand(520), gate_of())
    (reason,) = held.verdict.reasons
    assert "the night 2026-09-02, the last one published before" in reason
    assert "80 of 600 students (13.3%)" in reason


def test_the_first_night_of_a_district_run_again_has_its_first_run_alone_to_compare_with(warehouse):
    assert publish(warehouse, (0, 1000), (0, 930), (0, 865), (0, 804)).removed == 61
    assert try_night(warehouse, 0, thousand(600), gate=gate_of()).held
