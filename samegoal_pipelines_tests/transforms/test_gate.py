"""The gate's arithmetic on either side of each limit. What it counts is tested in `warehouse`."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from samegoal_pipelines.tables import limits
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.transforms import gate
from samegoal_pipelines.transforms.gate import Measured

NOBODY = np.array([], dtype=np.int64)
SAME = dict.fromkeys(("students", "published_students", "published_active", "demographics_published"), 1000)
"""The numbers of a night like the last one."""


def reasons(numbers: dict[str, int], **emptied: int) -> tuple[str, ...]:
    """Why a night is held that differs from the last in these numbers, or in objects without a row."""
    return gate.judge(
        Limits(), Measured(SAME | numbers, NOBODY, NOBODY.astype(bool)), emptied=emptied
    ).reasons


def judged(name: str, part: int, whole: int, **changed: float) -> gate.Verdict:
    """The verdict on a night that differs from the last only in so many of the rows that a limit counts."""
    limit = limits.BY_NAME[name]
    dropped = np.arange(part) if name in ("dropped", "expired") else NOBODY
    numbers = SAME | {limit.numerator: part, limit.denominator: whole}
    measured = Measured(numbers, dropped, graduated=dropped < 0)
    return gate.judge(Limits(**changed), measured, staying=NOBODY if name == "expired" else None)


ALLOWED = {
    "dropped": [(1000, 100), (200, 24), (26, 5), (12, 2)],  # a tenth, 24 students, a fifth, 2 students
    "expired": [(100, 50), (6, 4)],
    "demographics": [(20, 15), (5, 4)],
    "contacts": [(50, 5), (9, 4)],
    "quarantined": [(200, 2), (10, 1)],
    "added": [(100, 30), (50, 15), (6, 2)],
    "reassigned": [(100, 0)],
    "carried_over": [(250, 25), (26, 5)],
}
"""By limit: a number of rows, and how many of them may differ."""


@pytest.mark.parametrize(
    ("name", "whole", "passes"), [(name, *pair) for name, pairs in ALLOWED.items() for pair in pairs]
)
def test_a_night_up_to_the_limit_passes_and_one_above_it_is_held(name, whole, passes):
    assert judged(name, passes, whole).reasons == ()
    assert judged(name, passes + 1, whole).kind == name


def test_both_sides_of_every_limit_are_tested():
    assert ALLOWED.keys() == {limit.name for limit in limits.SHARES}


def test_a_whole_class_may_graduate_by_time():
    class_of = Measured(SAME, dropped=np.arange(900), graduated=np.ones(900, dtype=bool))
    assert gate.judge(Limits(), class_of, staying=NOBODY).reasons == ()
    assert gate.judge(Limits(), class_of).kind == "dropped"


def test_nobody_left_is_held_whatever_the_size():
    numbers = {"students": 0, "published_students": 1, "published_active": 1}
    for unread, said in ((0, ""), (3, " (3 who could not be read would be carried over)")):
        assert reasons(numbers | {"carried_over": unread}) == (
            f"the snapshot has no students{said}, but the published one has 1 student",
        )


def test_an_object_that_comes_without_a_row_is_held_if_it_had_five():
    assert reasons({}, NamePhone=4) == ()
    assert reasons({}, NamePhone=5) == (
        "NamePhone came without a single row, but with 5 for the published snapshot",
    )


@pytest.mark.parametrize(
    ("held", "passes"),
    [
        ({"dropped": 3, "dropped_least": 0}, {"dropped": 3, "dropped_least": 5}),
        ({"dropped": 3.9, "dropped_least": 4}, {"dropped": 4, "dropped_least": 4}),
        ({"reassigned": 3.9}, {"reassigned": 4}),
    ],
)
def test_a_districts_own_limits_decide(held, passes):
    (name, *_) = held
    assert judged(name, 4, 100, **held).kind == name
    assert judged(name, 4, 100, **passes).reasons == ()


@pytest.mark.parametrize(
    ("name", "part", "whole", "reason", "to_check"),
    [
        (
            *("added", 3, 6, "3 students would be new, beside 6 published ones (50.0%); the limit is 30%"),
            "check in Qmlativ whether the Integration Access was granted one entity too many",
        ),
        (
            *("reassigned", 2, 100, "2 of 100 student numbers (2.0%) would now belong to another student, "),
            "check in Qmlativ whether these student numbers were reused or swapped by mistake; look at the ",
        ),
        pytest.param(
            *("quarantined", 1001, 100_000),
            "1,001 of 100,000 enrollment rows (1.001%) were quarantined; the limit is 1%",
            "see the reasons in the Dagster UI",
            id="a share just above the limit does not read like the limit",
        ),
    ],
)
def test_a_hold_says_how_much_would_change_and_what_to_check(name, part, whole, reason, to_check):
    held = judged(name, part, whole)
    assert held.reasons[0].startswith(reason)
    assert held.next_step(date(2026, 9, 1)).startswith(to_check)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"losses": 5}, "the gate has no limit named losses; its limits are dropped, dropped_least, expired"),
        ({"dropped": 100.1}, "the limit dropped is a percentage: a number from 0 to 100"),
        ({"contacts": -1}, "the limit contacts is a percentage"),
        ({"quarantined": float("nan")}, "the limit quarantined is a percentage"),
        ({"dropped_least": float("inf")}, "the limit dropped_least is a number of students"),
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
    promoted = replace(
        limits.BY_NAME["contacts"],
        name="promoted",
        default=20.0,
        label="students promoted",
        numerator="promoted",
        sentence="{of} would change their grade",
    )
    for module in (limits, gate):
        monkeypatch.setattr(module, "SHARES", (promoted,))
    monkeypatch.setattr(limits, "LIMITS", (*limits.LIMITS, promoted))
    monkeypatch.setitem(limits.BY_NAME, "promoted", promoted)
    assert judged("promoted", 21, 100).reasons == (
        "21 of 100 students (21.0%) would change their grade; the limit is 20%",
    )
    verdict = judged("promoted", 21, 100, promoted=21)
    assert verdict.reasons == ()
    shares = [("students promoted", "21", "100", "21.0%", "21%")]
    assert list(gate.shares(Limits(promoted=21), verdict.numbers)) == shares
    assert reasons({}) == ()  # a forecast cannot count it, and goes on without
