"""A night that is run again and again gets no further from the night before than one run may."""

from typing import Any

import pytest

from samegoal_pipelines.warehouse.snapshots import Snapshot
from samegoal_pipelines_tests.warehouse.factories import (
    FewStudents,
    attempts,
    gate_of,
    hold_night,
    publish_night,
    release_night,
    rows,
    snapshot,
    student,
    try_night,
    views,
)

BEFORE = "compared with the night 2026-09-01, the last one published before this one: "


def school(remaining: int, **facts: Any) -> FewStudents:
    """A school of 1,000 students, of whom so many remain."""
    return snapshot(*(student(n, **facts) for n in range(1001 - remaining, 1001)))


def families(unreachable: int, changed: int) -> FewStudents:
    """40 students, of whom so many have no contact left, and so many another first name."""
    return snapshot(
        *(
            student(
                n,
                first_name="Ana" if n > changed else "Ben",
                parents={n: {"city": "Austin"} if n <= unreachable else {"email": "x@example.org"}},
            )
            for n in range(1, 41)
        )
    )


def test_six_reruns_that_lose_seven_percent_each_stop_at_a_tenth(warehouse):
    publish_night(warehouse, 0, school(1000))
    publish_night(warehouse, 1, school(930), gate=gate_of())
    before = views(warehouse)
    for remaining in (865, 804, 748, 696, 647):  # 7% fewer each time
        held = hold_night(warehouse, 1, school(remaining), gate_of())
        assert views(warehouse) == before
    assert held.verdict.reasons == (
        "283 of 930 students (30.4%) last published as ENROLLED or PRE-ENROLLED would be gone, INACTIVE or "
        "GRADUATED (how many of them only because time has passed cannot be told: the rows that the "
        "published snapshot was made from are not in the landing); the limit is 10%",
        BEFORE + "353 of 1,000 students (35.3%) last published as ENROLLED or PRE-ENROLLED would be gone, "
        "INACTIVE or GRADUATED (how many of them only because time has passed cannot be told: the rows that "
        "the published snapshot was made from are not in the landing); the limit is 10%",
    )


def test_a_rerun_within_the_limit_is_held_for_what_the_night_adds_up_to(warehouse):
    asked: list[Snapshot] = []
    publish_night(warehouse, 0, school(1000), run_id="the night before")
    publish_night(warehouse, 1, school(930), gate=gate_of())
    still = publish_night(warehouse, 1, school(900), gate=gate_of())  # exactly the limit, in two steps
    assert (still.removed, still.dropped) == (30, 100)

    gate = gate_of(by_time=dict.fromkeys(range(1, 1001), "ENROLLED"), asked=asked)
    held = hold_night(warehouse, 1, school(899), gate)

    assert held.verdict.reasons == (
        BEFORE + "101 of 1,000 students (10.1%) last published as ENROLLED or PRE-ENROLLED would be gone, "
        "INACTIVE or GRADUATED, 101 of them (10.1%) not because time has passed; the limit is 10%",
    )
    assert held.verdict.numbers["dropped"] == 101
    assert (held.removed, held.dropped, held.dropped_by_time) == (1, 101, 0)
    assert [one.run_id for one in asked] == ["the night before"]
    assert attempts(warehouse, "state", "dropped", "dropped_by_time")[-1] == ("held", 101, 0)


def test_what_time_has_taken_since_the_night_before_does_not_count_against_a_rerun(warehouse):
    time = {n: "INACTIVE" if n <= 300 else "ENROLLED" for n in range(1, 1001)}
    publish_night(warehouse, 0, school(1000))
    publish_night(warehouse, 1, school(650), gate=gate_of(by_time=time))
    again = publish_night(warehouse, 1, school(640), gate=gate_of(by_time=time))
    assert (again.dropped, again.dropped_by_time) == (360, 300)
    assert hold_night(warehouse, 1, school(599), gate_of(by_time=time)).dropped_by_time == 300


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((4, 0), (8, 0), "8 of 40 students (20.0%) would lose their last parent"),
        ((0, 25), (0, 40), "40 of 80 published rows of demographics (50.0%) would change"),
    ],
    ids=["contacts", "demographics"],
)
def test_reruns_add_up_for_contacts_and_demographics_as_well(warehouse, first, second, said):
    publish_night(warehouse, 0, families(0, 0))
    publish_night(warehouse, 1, families(*first), gate=gate_of(demographics=40))
    held = hold_night(warehouse, 1, families(*second), gate_of(demographics=40))
    (reason,) = held.verdict.reasons
    assert reason.startswith(BEFORE + said)


def test_what_is_no_comparison_is_told_once(warehouse):
    publish_night(warehouse, 0, school(1000))
    publish_night(warehouse, 1, school(999), gate=gate_of())
    held = hold_night(warehouse, 1, school(998), gate_of(quarantined=9, enrollment_rows=100))
    (reason,) = held.verdict.reasons
    assert reason.startswith("9 of 100 enrollment rows")


def test_a_rerun_that_undoes_the_nights_loss_passes(warehouse):
    publish_night(warehouse, 0, school(1000))
    publish_night(warehouse, 1, school(930), gate=gate_of())
    back = publish_night(warehouse, 1, school(1000), gate=gate_of())
    assert (back.added, back.removed, back.dropped) == (70, 0, 0)


def test_a_rerun_is_not_held_again_for_what_was_released_but_later_reruns_add_up(warehouse):
    """Of what a release was followed by, nobody has seen more than one run's worth."""
    publish_night(warehouse, 0, school(1000))
    hold_night(warehouse, 1, school(600), gate_of())
    release_night(warehouse, 1, school(600))
    publish_night(warehouse, 1, school(600), gate=gate_of())  # nothing has changed
    again = publish_night(warehouse, 1, school(560), gate=gate_of())
    assert (again.removed, again.dropped) == (40, 440)
    held = hold_night(warehouse, 1, school(520), gate_of())
    (reason,) = held.verdict.reasons
    assert reason.startswith(BEFORE + "480 of 1,000 students (48.0%)")
    release_night(warehouse, 1, school(520))
    assert publish_night(warehouse, 1, school(500), gate=gate_of()).removed == 20


def test_a_release_of_one_night_lets_no_other_pass(warehouse):
    publish_night(warehouse, 0, school(1000))
    hold_night(warehouse, 1, school(600), gate_of())
    release_night(warehouse, 1, school(600))
    publish_night(warehouse, 2, school(600), gate=gate_of())
    publish_night(warehouse, 2, school(560), gate=gate_of())
    held = hold_night(warehouse, 2, school(520), gate_of())
    (reason,) = held.verdict.reasons
    assert "the night 2026-09-02, the last one published before" in reason
    assert "80 of 600 students (13.3%)" in reason


def test_the_first_night_of_a_district_run_again_has_its_first_run_alone_to_compare_with(warehouse):
    publish_night(warehouse, 0, school(1000))
    for remaining, removed in ((930, 70), (865, 65), (804, 61)):
        published = publish_night(warehouse, 0, school(remaining), gate=gate_of())
        assert (published.students, published.removed) == (remaining, removed)
    assert try_night(warehouse, 0, school(600), gate=gate_of()).held


def test_a_held_rerun_names_the_run_in_whose_place_it_may_be_released(warehouse):
    publish_night(warehouse, 0, school(1000))
    publish_night(warehouse, 1, school(930), gate=gate_of(), run_id="current")
    hold_night(warehouse, 1, school(899), gate_of())
    compared = "select c.run_id from samegoal.snapshots as s join samegoal.snapshots as c"
    compared += " on c.snapshot_id = s.compared_with where s.state = 'held'"
    assert rows(warehouse, compared) == [("current",)]
    release_night(warehouse, 1, school(899))
    assert rows(warehouse, "select count(*) from samegoal.student_status") == [(899,)]


def test_a_rerun_of_the_first_date_counts_its_changes_against_what_was_published_before_it(warehouse):
    first = snapshot(*(student(n, parents={n: {"email": "x@example.org"}}) for n in range(1, 41)))
    again = snapshot(
        *(student(n, status="INACTIVE", parents={n: {"email": "x@example.org"}}) for n in range(1, 31)),
        *(student(n, parents={n: {"email": "y@example.org"}}) for n in range(31, 39)),
        student(50),
    )
    changes = "added", "changed", "removed"
    publish_night(warehouse, 0, first)
    held = hold_night(warehouse, 0, again, gate_of())
    assert [getattr(held, name) for name in changes] == [1, 38, 2]
    released = release_night(warehouse, 0, again)
    assert [getattr(released, name) for name in changes] == [1, 38, 2]
    assert attempts(warehouse, *changes) == [(40, 0, 0), (1, 38, 2), (1, 38, 2)]
    same = publish_night(warehouse, 0, again)  # tells again what the night says already
    assert [getattr(same, name) for name in changes] == [1, 38, 2]
