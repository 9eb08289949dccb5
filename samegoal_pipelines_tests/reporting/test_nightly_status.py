"""The board says what became of a night in every district, and nothing that it cannot know."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.reporting.nightly_status import (
    Board,
    DistrictNight,
    active_timezones,
    deadline_of,
    night_judged,
    night_now,
    read_board,
)
from samegoal_pipelines.tables.warehouse import releases, snapshots
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines_tests.reporting.factories import NIGHT, REFUSED, UNREACHABLE, at, attempt, register

SEVEN_IN_CHICAGO = at("12:00")
FIVE_IN_CHICAGO = at("10:00")


def one(engine: sa.Engine, now: datetime = SEVEN_IN_CHICAGO, night: date = NIGHT) -> DistrictNight:
    (found,) = read_board(engine, night, now).districts
    return found


def states(board: Board) -> dict[str, str]:
    return {one.district_id: one.state for one in board.districts}


def test_a_published_night_says_how_many_students_and_what_changed(warehouse: sa.Engine) -> None:
    register(warehouse, "grand-bend")
    run_id = attempt(warehouse, "grand-bend", "published", students=1200, notes=["fields not granted: Phone"])
    found = one(warehouse)
    assert (found.state, found.name) == ("published", "Grand Bend ISD")
    assert list(found.counts.values()) == [1200, 1190, 2, 5, 1, 0]
    assert (found.last_published, found.tonight and found.tonight.run_id) == (NIGHT, run_id)
    assert found.notes == ("fields not granted: Phone",)
    assert (found.reason, found.next_step, found.nights_in_trouble) == (None, None, 0)


def test_a_failed_night_says_why_and_what_to_do_and_what_is_still_read(warehouse: sa.Engine) -> None:
    register(warehouse, "grand-bend")
    attempt(warehouse, "grand-bend", "published", NIGHT - timedelta(days=3), students=1200)
    for days in (2, 1, 0):
        attempt(warehouse, "grand-bend", "failed", NIGHT - timedelta(days=days), REFUSED)
    found = one(warehouse)
    assert found.state == "failed"
    assert found.reason == "reading Qmlativ: Qmlativ does not accept the credentials (HTTP 400)"
    assert "samegoal-pipelines districts rotate-secret grand-bend" in (found.next_step or "")
    assert found.last_published == NIGHT - timedelta(days=3)
    assert (found.counts["students"], found.counts["added"]) == (1200, None)
    assert found.nights_in_trouble == 3


def test_a_held_night_says_what_would_change_and_how_to_release_it(warehouse: sa.Engine) -> None:
    register(warehouse, "grand-bend")
    attempt(warehouse, "grand-bend", "published", NIGHT - timedelta(days=1), students=1200)
    attempt(
        warehouse,
        "grand-bend",
        "held",
        NIGHT,
        "200 of 1,190 students would be gone",
        students=1000,
        removed=200,
    )
    found = one(warehouse)
    assert (found.state, found.reason) == ("held", "200 of 1,190 students would be gone")
    assert found.counts["students"] == 1200  # SameGoal still reads last night's
    assert found.counts["removed"] == 200
    assert (found.next_step or "").endswith("sync grand-bend --release --today 2026-10-12 --why REASON")


def test_a_district_is_late_from_six_in_the_morning_of_its_own_clock(warehouse: sa.Engine) -> None:
    register(warehouse, "honolulu", "Pacific/Honolulu")
    register(warehouse, "new-york", "America/New_York")
    six_in_new_york, six_in_honolulu = at("10:00"), at("16:00")

    before = read_board(warehouse, NIGHT, six_in_new_york - timedelta(seconds=1))
    assert states(before) == {"honolulu": "pending", "new-york": "pending"}
    assert states(read_board(warehouse, NIGHT, six_in_new_york)) == {
        "new-york": "late",
        "honolulu": "pending",
    }
    late = read_board(warehouse, NIGHT, six_in_honolulu)
    assert states(late) == {"honolulu": "late", "new-york": "late"}
    assert "nightly_by_district is on" in (late.districts[0].next_step or "")


def test_a_night_that_failed_or_is_held_stays_so_after_the_deadline(warehouse: sa.Engine) -> None:
    register(warehouse, "alpha")
    register(warehouse, "beta")
    attempt(warehouse, "alpha", "failed", reason="no luck")
    attempt(warehouse, "beta", "held", reason="too many")
    assert states(read_board(warehouse, NIGHT, at("23:00"))) == {"alpha": "failed", "beta": "held"}


def test_the_last_attempt_counts_and_one_that_is_superseded_does_not(warehouse: sa.Engine) -> None:
    register(warehouse, "grand-bend")
    attempt(warehouse, "grand-bend", "failed", reason="no luck")
    attempt(warehouse, "grand-bend", "superseded", reason="too many")
    attempt(warehouse, "grand-bend", "published", students=7)
    assert (one(warehouse).state, one(warehouse).counts["students"]) == ("published", 7)


def test_what_is_published_stays_so_when_a_later_run_fails_and_the_failure_is_told(
    warehouse: sa.Engine,
) -> None:
    register(warehouse, "grand-bend")
    attempt(warehouse, "grand-bend", "published")
    attempt(warehouse, "grand-bend", "failed", reason=UNREACHABLE)
    assert (one(warehouse).state, one(warehouse).reason) == (
        "published",
        "published; a later run failed: publishing: no connection to Postgres; to do: check that the server "
        "is up; to run the night again: samegoal-pipelines sync grand-bend",
    )


@pytest.mark.parametrize("state", ["held", "failed"])
def test_nothing_is_to_be_done_about_a_night_once_a_later_one_is_published(
    warehouse: sa.Engine, state: str
) -> None:
    """A release would be refused: the district has moved on."""
    register(warehouse, "grand-bend")
    attempt(warehouse, "grand-bend", state, reason="too many")
    assert "nothing: the night" not in (one(warehouse).next_step or "")
    attempt(warehouse, "grand-bend", "published", NIGHT + timedelta(days=1))
    assert (one(warehouse).state, one(warehouse).next_step) == (
        state,
        "nothing: the night 2026-10-13 has been published since",
    )


def test_a_released_night_says_who_released_it_and_why(warehouse: sa.Engine) -> None:
    register(warehouse, "grand-bend")
    held = attempt(warehouse, "grand-bend", "superseded", reason="200 of 1,190 students would be gone")
    published = attempt(warehouse, "grand-bend", "published")
    with as_writer(warehouse, "grand-bend", "releasing") as connection:
        ids = dict(connection.execute(sa.select(snapshots.c.run_id, snapshots.c.snapshot_id)).all())
        connection.execute(
            sa.insert(releases).values(
                district_id="grand-bend",
                held_snapshot_id=ids[held],
                published_snapshot_id=ids[published],
                snapshot_date=NIGHT,
                released_by="pat",
                reason="the campus has closed",
            )
        )
    assert one(warehouse).notes == (
        "released by pat: the campus has closed (held because: 200 of 1,190 students would be gone)",
    )


def test_a_rerun_that_is_held_waits_for_a_person_though_the_night_was_published(warehouse: sa.Engine) -> None:
    register(warehouse, "grand-bend")
    attempt(warehouse, "grand-bend", "published")
    attempt(warehouse, "grand-bend", "held", reason="too many")
    assert (one(warehouse).state, one(warehouse).nights_in_trouble) == ("held", 1)


def test_paused_and_disabled_districts_are_shown_as_such_and_never_late(warehouse: sa.Engine) -> None:
    register(warehouse, "alpha")
    register(warehouse, "beta", active=False)
    register(warehouse, "gamma")
    pause(warehouse, "alpha", paused_from=NIGHT, paused_to=NIGHT, set_by="pat", reason="autumn break")
    pause(warehouse, "gamma", paused_from=NIGHT, paused_to=NIGHT, set_by="pat")
    attempt(warehouse, "beta", "failed", reason="the server is gone")
    attempt(warehouse, "gamma", "published")

    board = read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO)
    assert states(board) == {"gamma": "published", "alpha": "paused", "beta": "disabled"}  # gamma ran by hand
    assert board.of({"alpha"}).districts[0].reason == "paused until 2026-10-12: autumn break"
    assert states(
        read_board(warehouse, NIGHT + timedelta(days=1), at("23:00", NIGHT + timedelta(days=1)))
    ) == {
        "alpha": "late",
        "gamma": "late",
        "beta": "disabled",
    }


def test_nights_of_a_pause_are_not_counted_as_nights_in_trouble(warehouse: sa.Engine) -> None:
    register(warehouse, "grand-bend")
    attempt(warehouse, "grand-bend", "published", NIGHT - timedelta(days=10))
    pause(
        warehouse,
        "grand-bend",
        paused_from=NIGHT - timedelta(days=30),
        paused_to=NIGHT - timedelta(days=2),
        set_by="pat",
    )
    assert one(warehouse).nights_in_trouble == 2


def test_a_district_that_was_never_published_is_in_trouble_since_it_was_registered(
    warehouse: sa.Engine,
) -> None:
    register(warehouse, "grand-bend", registered_at=at("15:00", NIGHT - timedelta(days=2)))
    assert (one(warehouse).nights_in_trouble, one(warehouse).last_published) == (3, None)


def test_a_district_that_came_after_the_deadline_is_not_late_and_not_in_the_nights_before(
    warehouse: sa.Engine,
) -> None:
    register(warehouse, "grand-bend", registered_at=at("15:00"))
    assert one(warehouse, at("23:00")).state == "pending"
    assert read_board(warehouse, NIGHT - timedelta(days=1), at("23:00")).districts == ()


@pytest.mark.parametrize("facts", ["registered_at", "due_since"])
def test_a_district_that_came_or_came_back_in_the_night_is_late_from_the_next_one_on(
    warehouse: sa.Engine, facts: str
) -> None:
    """A run takes time: five to six is no fair chance for a snapshot by six."""
    one_in_chicago = at("06:00")
    register(warehouse, "before", **{facts: one_in_chicago})
    register(warehouse, "after", **{facts: one_in_chicago + timedelta(seconds=1)})
    register(warehouse, "close", **{facts: at("10:55")})
    register(warehouse, "failing", **{facts: at("10:55")})
    attempt(warehouse, "failing", "failed", reason="no luck")

    tonight = states(read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO))
    assert tonight == {"failing": "failed", "before": "late", "after": "pending", "close": "pending"}
    next_day = timedelta(days=1)
    tomorrow = states(read_board(warehouse, NIGHT + next_day, SEVEN_IN_CHICAGO + next_day))
    assert set(tomorrow.values()) == {"late"}


def test_trouble_stands_first_the_oldest_at_the_top(warehouse: sa.Engine) -> None:
    for district_id in ("alpha", "beta", "gamma", "delta", "epsilon"):
        register(warehouse, district_id)
        if district_id != "beta":
            attempt(warehouse, district_id, "published", NIGHT - timedelta(days=1))
    attempt(warehouse, "alpha", "failed", reason="no luck")
    attempt(warehouse, "beta", "failed", reason="no luck")
    attempt(warehouse, "gamma", "held", reason="too many")
    attempt(warehouse, "epsilon", "published")
    board = read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO)
    assert [one.district_id for one in board.districts] == ["beta", "alpha", "delta", "gamma", "epsilon"]
    assert board.totals == {
        "published": 1,
        "held": 1,
        "failed": 2,
        "late": 1,
        "pending": 0,
        "awaiting secret": 0,
        "paused": 0,
        "disabled": 0,
    }
    assert [one.district_id for one in board.rest] == ["epsilon"]


@pytest.mark.parametrize(
    ("days", "warning"), [(61, None), (60, 60), (31, 60), (30, 30), (8, 30), (7, 7), (0, 7), (-1, 0)]
)
def test_an_access_that_expires_is_told_sixty_thirty_and_seven_days_before(
    warehouse: sa.Engine, days: int, warning: int | None
) -> None:
    register(warehouse, "grand-bend", expires=NIGHT + timedelta(days=days))
    found = one(warehouse)
    assert (found.days_to_expiry, found.expiry_warning) == (days, warning)
    listed = read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO).expiring
    assert [one.district_id for one in listed] == ([] if warning is None else ["grand-bend"])


def test_a_warning_says_whether_the_date_is_assumed(warehouse: sa.Engine) -> None:
    register(warehouse, "grand-bend", expires=NIGHT + timedelta(days=7), expiration="assumed")
    assert one(warehouse).expiry == (
        "expires on 2026-10-19 (assumed), in 7 days; record the expiration that Qmlativ shows: "
        "samegoal-pipelines districts set grand-bend --expires DATE (or never, if the district deleted it)"
    )


@pytest.mark.parametrize("expiration", ["never", "unknown"])
def test_an_access_without_a_date_gives_no_warning(warehouse: sa.Engine, expiration: str) -> None:
    register(warehouse, "grand-bend", expiration=expiration)
    assert one(warehouse).expiry == f"expires: {expiration}"
    assert read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO).expiring == ()


def test_a_district_that_awaits_its_secret_is_not_due_and_says_what_to_do(warehouse: sa.Engine) -> None:
    register(warehouse, "grand-bend", secret_set_at=None)
    board = read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO)
    (waiting,) = board.rest
    assert (waiting.state, waiting.schedule, board.due) == ("awaiting secret", "awaiting secret", 0)
    assert waiting.remarks.endswith("samegoal-pipelines districts set-secret grand-bend")
    assert active_timezones(warehouse) == set()


@pytest.mark.parametrize(
    ("night", "six_in_chicago"),
    [("2026-10-31", "11:00"), ("2026-11-01", "12:00"), ("2027-03-13", "12:00"), ("2027-03-14", "11:00")],
)
def test_the_deadline_is_at_six_also_when_the_clocks_have_just_changed(
    night: str, six_in_chicago: str
) -> None:
    day = date.fromisoformat(night)
    deadline = at(six_in_chicago, day)
    assert deadline_of(day, "America/Chicago") == deadline
    assert night_judged("America/Chicago", deadline) == day
    assert night_judged("America/Chicago", deadline - timedelta(seconds=1)) == day - timedelta(days=1)


def test_no_night_of_a_year_is_judged_twice_or_left_out() -> None:
    for zone in ("America/New_York", "America/Chicago", "Pacific/Honolulu"):
        moment, nights = datetime(2026, 1, 1, 12, tzinfo=UTC), []
        while moment.year == 2026:
            nights.append(night_judged(zone, moment))
            moment += timedelta(minutes=30)
        assert {later - night for night, later in pairwise(nights)} == {timedelta(0), timedelta(days=1)}


def test_a_report_is_about_the_newest_night_that_has_begun_anywhere(warehouse: sa.Engine) -> None:
    register(warehouse, "honolulu", "Pacific/Honolulu")
    register(warehouse, "new-york", "America/New_York")
    register(warehouse, "guam", "Pacific/Guam", active=False)
    zones = active_timezones(warehouse)
    one_in_new_york = at("05:00")
    assert night_now(zones, one_in_new_york) == NIGHT
    assert night_now(zones, one_in_new_york - timedelta(seconds=1)) == NIGHT - timedelta(days=1)
    assert night_now([], one_in_new_york) == NIGHT


def test_the_board_takes_one_query_however_many_districts(warehouse: sa.Engine) -> None:
    statements: list[str] = []

    def note(*event: Any) -> None:
        statements.append(event[2].lower())

    for number in range(30):
        register(warehouse, f"district-{number}")
    sa.event.listen(warehouse, "before_cursor_execute", note)
    assert len(read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO).districts) == 30
    sa.event.remove(warehouse, "before_cursor_execute", note)
    assert len([one for one in statements if "from samegoal." in one]) == 1
