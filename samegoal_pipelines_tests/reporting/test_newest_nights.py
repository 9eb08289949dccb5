"""A report that is told no night hides no district's trouble, wherever the districts lie."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from samegoal_pipelines.reporting.nightly_status import Board, read_newest
from samegoal_pipelines.reporting.report import make_report
from samegoal_pipelines_tests.reporting.factories import NIGHT, at, attempt, register

NEXT = NIGHT + timedelta(days=1)
NINE_IN_CHICAGO = at("14:05")


def put_all_over_the_world(engine: sa.Engine) -> None:
    """Guam is there and well, one of Chicago failed, and of all the others nothing has come."""
    for district_id, zone in (
        ("guam", "Pacific/Guam"),
        ("honolulu", "Pacific/Honolulu"),
        *((f"chicago-{n}", "America/Chicago") for n in range(5)),
    ):
        register(engine, district_id, zone)
        attempt(engine, district_id, "published", NIGHT - timedelta(days=1))
    attempt(engine, "guam", "published")
    attempt(engine, "chicago-0", "failed", reason="no luck")


def trouble(board: Board) -> dict[str, str]:
    return {one.district_id: f"{one.state} {one.night}" for one in board.trouble}


def test_a_night_that_begins_in_guam_hides_nothing_of_chicago(warehouse: sa.Engine) -> None:
    put_all_over_the_world(warehouse)
    begun_in_guam = at("15:05")
    before, after = read_newest(warehouse, NINE_IN_CHICAGO), read_newest(warehouse, begun_in_guam)
    assert trouble(before) == {
        "chicago-0": "failed 2026-10-12",
        **{f"chicago-{n}": "late 2026-10-12" for n in range(1, 5)},
    }
    assert trouble(after) == trouble(before)
    assert before.night == after.night == NIGHT
    assert after.summary == "1 failed, 4 late of 7"
    (guam,) = after.of({"guam"}).districts
    assert (guam.state, guam.night, guam.reason) == ("pending", NEXT, "night 2026-10-13")


def test_the_trouble_of_every_hour_is_that_of_each_districts_last_deadline(warehouse: sa.Engine) -> None:
    """Nobody runs anything any more: whoever is in trouble stays so until the next deadline, and after."""
    put_all_over_the_world(warehouse)
    for hours in range(48):
        now = NINE_IN_CHICAGO + timedelta(hours=hours)
        assert {f"chicago-{n}" for n in range(5)} <= set(trouble(read_newest(warehouse, now))), now
    assert "honolulu" not in trouble(read_newest(warehouse, at("15:59")))
    assert trouble(read_newest(warehouse, at("16:00")))["honolulu"] == "late 2026-10-12"
    assert trouble(read_newest(warehouse, at("20:00")))["guam"] == "late 2026-10-13"


def test_trouble_of_last_night_is_over_once_something_has_come_of_tonight(warehouse: sa.Engine) -> None:
    register(warehouse, "alpha")
    register(warehouse, "beta")
    attempt(warehouse, "alpha", "failed", reason="no luck")
    attempt(warehouse, "beta", "published")
    two_in_chicago = at("07:00", NEXT)
    board = read_newest(warehouse, two_in_chicago)
    assert [(one.district_id, one.state, one.night) for one in board.districts] == [
        ("alpha", "failed", NIGHT),
        ("beta", "pending", NEXT),
    ]
    attempt(warehouse, "alpha", "published", NEXT)
    board = read_newest(warehouse, two_in_chicago)
    assert (board.night, board.summary) == (NEXT, "1 of 2 published, 1 not due yet")


def test_what_is_said_of_another_night_names_it(warehouse: sa.Engine) -> None:
    for district_id in ("alpha", "beta", "gamma"):
        register(warehouse, district_id)
        attempt(warehouse, district_id, "published")
    register(warehouse, "guam", "Pacific/Guam")
    attempt(warehouse, "guam", "failed", NEXT, "no luck")
    board = make_report(warehouse, at("17:00")).board
    assert board.night == NIGHT
    assert [one.reason for one in board.districts] == ["night 2026-10-13: no luck", None, None, None]


def test_where_no_district_is_registered_there_is_still_a_report(warehouse: sa.Engine) -> None:
    board = read_newest(warehouse, NINE_IN_CHICAGO)
    assert (board.night, board.summary) == (NIGHT, "no district is due")


def test_a_district_set_up_between_midnight_and_the_first_night_is_shown(warehouse: sa.Engine) -> None:
    register(warehouse, "old")
    register(warehouse, "early", registered_at=at("05:10", NEXT))
    register(warehouse, "waiting", registered_at=at("05:10", NEXT), secret_set_at=None)
    attempt(warehouse, "old", "published")
    attempt(warehouse, "early", "published", NEXT)
    half_past_midnight = read_newest(warehouse, at("05:30", NEXT))
    assert {one.district_id: (one.state, one.night) for one in half_past_midnight.districts} == {
        "early": ("published", NEXT),
        "old": ("published", NIGHT),
        "waiting": ("awaiting secret", NEXT),
    }
