"""The board says what became of a night in every district, and nothing that it cannot know."""

from datetime import date, datetime, timedelta

import pytest
import sqlalchemy as sa

from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.reporting.nightly_status import (
    DEADLINE,
    Board,
    DistrictNight,
    moment_of,
    newest_night,
    night_since,
    read_board,
    read_newest,
)
from samegoal_pipelines.tables.warehouse import releases, snapshots
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines_tests.reporting.factories import NIGHT, UNREACHABLE, at, attempt, put, register

SEVEN_IN_CHICAGO = at("12:00")
NEXT = NIGHT + timedelta(days=1)


def one(engine: sa.Engine, now: datetime = SEVEN_IN_CHICAGO, night: date = NIGHT) -> DistrictNight:
    (found,) = read_board(engine, night, now).districts
    return found


def states(board: Board) -> dict[str, str]:
    return {one.district_id: one.state for one in board.districts}


def test_a_held_night_says_what_would_change_and_how_to_release_it(warehouse):
    register(warehouse, "grand-bend")
    attempt(warehouse, "grand-bend", "published", NIGHT - timedelta(days=3), students=1200)
    attempt(warehouse, "grand-bend", "failed", NIGHT - timedelta(days=1), "no luck")
    attempt(warehouse, "grand-bend", "held", reason="too many", students=1000, removed=200)
    found = one(warehouse)
    assert (found.last_published, found.nights_in_trouble) == (NIGHT - timedelta(days=3), 3)
    assert (found.state, found.reason) == ("held", "too many")
    assert found.counts["students"] == 1200  # SameGoal still reads last night's
    assert found.counts["removed"] == 200
    assert (found.next_step or "").endswith("sync grand-bend --release --today 2026-10-12 --why REASON")


def test_the_last_attempt_counts_but_what_is_published_stays_so_when_a_later_run_fails(warehouse):
    register(warehouse, "grand-bend")
    attempt(warehouse, "grand-bend", "failed", reason="no luck")
    attempt(warehouse, "grand-bend", "superseded", reason="too many")
    attempt(warehouse, "grand-bend", "published", students=7)
    assert (one(warehouse).state, one(warehouse).counts["students"]) == ("published", 7)
    attempt(warehouse, "grand-bend", "failed", reason=UNREACHABLE)
    assert one(warehouse).state == "published"
    assert one(warehouse).reason == (
        "published; a later run failed: publishing: no connection to Postgres; to do: check that the server "
        "is up; to run the night again: samegoal-pipelines sync grand-bend"
    )
    attempt(warehouse, "grand-bend", "held", reason="too many")  # a rerun waits for a person
    assert (one(warehouse).state, one(warehouse).nights_in_trouble) == ("held", 1)
    assert one(warehouse).since == "since a rerun of the night"


@pytest.mark.parametrize("state", ["held", "failed"])
def test_nothing_is_to_be_done_about_a_night_once_a_later_one_is_published(warehouse, state):
    """A release would be refused: the district has moved on."""
    register(warehouse, "grand-bend")
    attempt(warehouse, "grand-bend", state, reason="too many")
    assert "nothing: the night" not in (one(warehouse).next_step or "")
    attempt(warehouse, "grand-bend", "published", NEXT)
    assert one(warehouse).state == state
    assert one(warehouse).next_step == "nothing: the night 2026-10-13 has been published since"


def test_a_released_night_says_who_released_it_and_why(warehouse):
    register(warehouse, "grand-bend")
    held = attempt(warehouse, "grand-bend", "superseded", reason="200 of 1,190 students would be gone")
    published = attempt(warehouse, "grand-bend", "published")
    with as_writer(warehouse, "grand-bend", "releasing") as connection:
        ids = dict(connection.execute(sa.select(snapshots.c.run_id, snapshots.c.snapshot_id)).all())
        release = {"held_snapshot_id": ids[held], "published_snapshot_id": ids[published]}
        release |= {"district_id": "grand-bend", "snapshot_date": NIGHT, "released_by": "pat"}
        connection.execute(sa.insert(releases).values(**release, reason="the campus has closed"))
    assert one(warehouse).notes == (
        "released by pat: the campus has closed (held because: 200 of 1,190 students would be gone)",
    )


def test_paused_and_disabled_districts_are_shown_as_such_and_never_late(warehouse):
    register(warehouse, "alpha")
    register(warehouse, "beta", active=False)
    register(warehouse, "gamma")
    pause(warehouse, "alpha", NIGHT, NIGHT, set_by="pat", reason="autumn break")
    pause(warehouse, "gamma", NIGHT, NIGHT, set_by="pat")
    attempt(warehouse, "beta", "failed", reason="the server is gone")
    attempt(warehouse, "gamma", "published")

    board = read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO)
    assert states(board) == {"gamma": "published", "alpha": "paused", "beta": "disabled"}  # gamma ran by hand
    assert board.districts[1].reason == "paused until 2026-10-12: autumn break"
    assert board.districts[1].pause_to_come is not None  # on its last night, too
    next_evening = read_board(warehouse, NEXT, at("23:00", NEXT))
    assert states(next_evening) == {"alpha": "late", "gamma": "late", "beta": "disabled"}


def test_nights_of_a_pause_are_not_counted_as_nights_in_trouble(warehouse):
    register(warehouse, "grand-bend")
    attempt(warehouse, "grand-bend", "published", NIGHT - timedelta(days=10))
    pause(warehouse, "grand-bend", NIGHT - timedelta(days=30), NIGHT - timedelta(days=2), set_by="pat")
    assert one(warehouse).nights_in_trouble == 2
    pause(warehouse, "grand-bend", NIGHT + timedelta(days=4), NIGHT + timedelta(days=8), set_by="pat")
    assert one(warehouse).nights_in_trouble == 10


def test_a_district_is_waited_for_since_it_was_registered_and_is_not_late_that_day(warehouse):
    first = NIGHT - timedelta(days=2)
    register(warehouse, "grand-bend", registered_at=at("15:00", first))
    assert (one(warehouse).nights_in_trouble, one(warehouse).last_published) == (3, None)
    assert one(warehouse, at("23:00", first), first).state == "pending"
    assert read_board(warehouse, first - timedelta(days=1), at("23:00", first)).districts == ()


@pytest.mark.parametrize("facts", ["registered_at", "due_since"])
def test_a_district_that_came_or_came_back_in_the_night_is_late_from_the_next_one_on(warehouse, facts):
    """A run takes time: five to six is no fair chance for a snapshot by six."""
    one_in_chicago = at("06:00")
    register(warehouse, "before", **{facts: one_in_chicago})
    register(warehouse, "after", **{facts: one_in_chicago + timedelta(seconds=1)})
    register(warehouse, "close", **{facts: at("10:55")})
    register(warehouse, "failing", **{facts: at("10:55")})
    attempt(warehouse, "failing", "failed", reason="no luck")

    tonight = states(read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO))
    assert tonight == {"failing": "failed", "before": "late", "after": "pending", "close": "pending"}
    assert set(states(read_board(warehouse, NEXT, at("12:00", NEXT))).values()) == {"late"}


def test_trouble_stands_first_the_oldest_at_the_top(warehouse):
    others = {"alpha": "failed", "gamma": "held", "delta": None, "epsilon": "published"}
    for district_id, state in others.items():
        put(warehouse, district_id, state)
    register(warehouse, "beta")
    attempt(warehouse, "beta", "failed", reason="no luck")
    board = read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO)
    assert [one.district_id for one in board.districts] == ["beta", "alpha", "delta", "gamma", "epsilon"]
    counts = {"published": 1, "held": 1, "failed": 2, "late": 1}
    assert board.totals == {**counts, "pending": 0, "awaiting secret": 0, "paused": 0, "disabled": 0}
    assert [one.district_id for one in board.rest] == ["epsilon"]


def test_an_access_that_expires_is_told_sixty_thirty_and_seven_days_before(warehouse):
    warnings = {61: None, 60: 60, 31: 60, 30: 30, 8: 30, 7: 7, 0: 7, -1: 0}
    for days in warnings:
        register(warehouse, f"in{days}", expires=NIGHT + timedelta(days=days))
    warnings[None] = None
    for expiration in ("never", "unknown"):
        register(warehouse, expiration, expiration=expiration)
    register(warehouse, "grand-bend", expires=NIGHT + timedelta(days=7), expiration="assumed")
    board = read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO)
    assert {one.days_to_expiry: one.expiry_warning for one in board.districts} == warnings
    assert [one.days_to_expiry for one in board.expiring] == [-1, 0, 7, 7, 8, 30, 31, 60]
    assert board.expiring[0].expiry.startswith("expired on 2026-10-11; once it is renewed, record the ")
    assert board.expiring[1].expiry == "expires on 2026-10-12, today"
    (assumed,) = [one.expiry for one in board.expiring if one.id == "grand-bend"]
    assert assumed == (
        "expires on 2026-10-19 (assumed), in 7 days; record the expiration that Qmlativ shows: "
        "samegoal-pipelines districts set grand-bend --expires DATE (or never, if the district deleted it)"
    )


def test_a_district_that_awaits_its_secret_is_not_due_and_says_what_to_do(warehouse):
    register(warehouse, "grand-bend", secret_set_at=None)
    board = read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO)
    (waiting,) = board.rest
    assert (waiting.state, waiting.schedule, board.due) == ("awaiting secret", "awaiting secret", 0)
    assert waiting.remarks.endswith("samegoal-pipelines districts set-secret grand-bend")


@pytest.mark.parametrize(
    ("night", "six_in_chicago"),
    [("2026-10-31", "11:00"), ("2026-11-01", "12:00"), ("2027-03-13", "12:00"), ("2027-03-14", "11:00")],
)
def test_the_deadline_is_at_six_also_when_the_clocks_have_just_changed(night, six_in_chicago):
    day = date.fromisoformat(night)
    deadline = at(six_in_chicago, day)
    assert moment_of(day, DEADLINE, "America/Chicago") == deadline
    assert night_since(DEADLINE, "America/Chicago", deadline) == day
    before = deadline - timedelta(seconds=1)
    assert night_since(DEADLINE, "America/Chicago", before) == day - timedelta(days=1)


def test_a_report_is_about_the_newest_night_that_has_begun_anywhere(warehouse):
    register(warehouse, "honolulu", "Pacific/Honolulu")
    register(warehouse, "new-york", "America/New_York")
    register(warehouse, "guam", "Pacific/Guam", active=False)
    register(warehouse, "saipan", "Pacific/Saipan", secret_set_at=None)
    one_in_new_york = at("05:00")
    assert newest_night(warehouse, one_in_new_york) == NIGHT
    assert newest_night(warehouse, one_in_new_york - timedelta(seconds=1)) == NIGHT - timedelta(days=1)


def test_the_board_takes_one_query_however_many_districts(warehouse):
    statements: list[str] = []
    for number in range(30):
        register(warehouse, f"district-{number}")
    sa.event.listen(warehouse, "before_cursor_execute", lambda *event: statements.append(event[2].lower()))
    assert len(read_board(warehouse, NIGHT, SEVEN_IN_CHICAGO).districts) == 30
    assert len([one for one in statements if "from samegoal." in one]) == 1


# -- a report that is told no night hides no district's trouble, wherever the districts are --


NINE_IN_CHICAGO = at("14:05")


def put_all_over_the_world(engine: sa.Engine) -> None:
    """Guam is there and well, one of Chicago failed, and of all the others nothing has come."""
    put(engine, "guam", "published", timezone="Pacific/Guam")
    put(engine, "honolulu", None, timezone="Pacific/Honolulu")
    for n in range(5):
        put(engine, f"chicago-{n}", None if n else "failed")


def trouble(board: Board) -> dict[str, str]:
    return {one.district_id: f"{one.state} {one.night}" for one in board.trouble}


def test_a_night_that_begins_in_guam_hides_nothing_of_chicago(warehouse):
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
    (guam,) = [one for one in after.districts if one.district_id == "guam"]
    assert (guam.state, guam.night, guam.reason) == ("pending", NEXT, "night 2026-10-13")
    attempt(warehouse, "guam", "failed", NEXT, "no luck")
    reasons = {one.district_id: one.reason for one in read_newest(warehouse, begun_in_guam).trouble}
    assert (reasons["guam"], reasons["chicago-0"]) == ("night 2026-10-13: no luck", "no luck")


def test_the_trouble_of_every_hour_is_that_of_each_districts_last_deadline(warehouse):
    """Nobody runs anything any more: whoever is in trouble stays so until the next deadline, and after."""
    put_all_over_the_world(warehouse)
    for hours in range(0, 48, 5):
        now = NINE_IN_CHICAGO + timedelta(hours=hours)
        assert {f"chicago-{n}" for n in range(5)} <= set(trouble(read_newest(warehouse, now))), now
    assert "honolulu" not in trouble(read_newest(warehouse, at("15:59")))
    assert trouble(read_newest(warehouse, at("16:00")))["honolulu"] == "late 2026-10-12"
    assert trouble(read_newest(warehouse, at("20:00")))["guam"] == "late 2026-10-13"


def test_trouble_of_last_night_is_over_once_something_has_come_of_tonight(warehouse):
    register(warehouse, "alpha")
    register(warehouse, "beta")
    attempt(warehouse, "alpha", "failed", reason="no luck")
    attempt(warehouse, "beta", "published")
    two_in_chicago = at("07:00", NEXT)
    districts = read_newest(warehouse, two_in_chicago).districts
    assert [(one.state, one.night) for one in districts] == [("failed", NIGHT), ("pending", NEXT)]
    attempt(warehouse, "alpha", "published", NEXT)
    board = read_newest(warehouse, two_in_chicago)
    assert (board.night, board.summary) == (NEXT, "1 of 2 published, 1 not due yet")


def test_a_district_set_up_between_midnight_and_the_first_night_is_shown(warehouse):
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
    attempt(warehouse, "old", "held", NEXT, "too many")  # by a person, before the schedule begins
    assert states(read_newest(warehouse, at("05:30", NEXT)))["old"] == "held"
