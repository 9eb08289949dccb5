"""A paused district is left out of the schedule, by its own calendar, and nothing else changes for it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from samegoal_pipelines.districts.errors import DistrictError, UnknownDistrictError
from samegoal_pipelines.districts.pauses import Pause, all_pauses, pause, resume
from samegoal_pipelines_tests.reporting.factories import register
from samegoal_pipelines_tests.warehouse.factories import rows

JUNE, AUGUST = date(2027, 6, 1), date(2027, 8, 15)


def paused_on(engine: sa.Engine, night: date) -> dict[str, Pause]:
    return {district_id: one for district_id, one in all_pauses(engine).items() if one.covers(night)}


def test_a_pause_holds_from_its_first_night_to_its_last(warehouse):
    register(warehouse, "grand-bend")
    pause(warehouse, "grand-bend", paused_from=JUNE, paused_to=AUGUST, set_by="pat", reason=" no\nschool ")

    assert paused_on(warehouse, date(2027, 5, 31)) == {}
    assert paused_on(warehouse, AUGUST)["grand-bend"].reason == "no school"
    assert paused_on(warehouse, JUNE)["grand-bend"].set_by == "pat"
    assert paused_on(warehouse, date(2027, 8, 16)) == {}

    pause(warehouse, "grand-bend", paused_from=AUGUST, paused_to=AUGUST, set_by="sam")  # replaces it
    assert paused_on(warehouse, JUNE) == {}
    found = paused_on(warehouse, AUGUST)["grand-bend"]
    assert (found.set_by, found.reason) == ("sam", None)


def test_a_pause_that_is_under_way_is_not_ended_by_setting_the_next_one(warehouse):
    register(warehouse, "grand-bend")
    today = datetime.now(ZoneInfo("America/Chicago")).date()
    week, month = timedelta(days=7), timedelta(days=30)
    pause(warehouse, "grand-bend", paused_from=today - week, paused_to=today + week, set_by="pat")
    with pytest.raises(DistrictError, match=f"is paused until {today + week}, and has one pause at a time"):
        pause(warehouse, "grand-bend", paused_from=today + month, paused_to=today + 2 * month, set_by="pat")
    assert "grand-bend" in paused_on(warehouse, today)
    pause(warehouse, "grand-bend", paused_from=today, paused_to=today + month, set_by="pat")  # longer
    assert "grand-bend" in paused_on(warehouse, today + month)


def test_a_district_is_waited_for_anew_only_where_it_was_paused_by_now(warehouse):
    """Calling off next summer's pause is no reason to wait for tonight's snapshot any less."""
    began = datetime.now(UTC)
    today = began.date()
    week, year = timedelta(days=7), timedelta(days=365)
    for name, first, last in (
        ("paused", today - week, today + week),
        ("to-come", today + week, today + year),
        ("over", today - year, today - week),
    ):
        register(warehouse, name)
        pause(warehouse, name, paused_from=first, paused_to=last, set_by="pat")
        assert resume(warehouse, name).paused_to == last
        assert resume(warehouse, name) is None
    assert all_pauses(warehouse) == {}
    since = "select district_id, due_since from samegoal.districts where due_since is not null"
    ((district_id, moment),) = rows(warehouse, since)
    assert district_id == "paused"
    assert began <= moment <= datetime.now(UTC)


def test_a_pause_that_ends_before_it_begins_and_a_district_that_nobody_knows_are_refused(warehouse):
    with pytest.raises(DistrictError, match="would end on 2027-06-01, before it begins on 2027-08-15"):
        pause(warehouse, "grand-bend", paused_from=AUGUST, paused_to=JUNE, set_by="pat")
    with pytest.raises(UnknownDistrictError, match="nowhere: no such district is registered"):
        pause(warehouse, "nowhere", paused_from=JUNE, paused_to=AUGUST, set_by="pat")
    with pytest.raises(UnknownDistrictError, match="nowhere"):
        resume(warehouse, "nowhere")
