"""The clock is wrong: nothing older takes the place of what is published."""

import datetime as dt

from samegoal_pipelines.cli.nights import line
from samegoal_pipelines.defs import district_run
from samegoal_pipelines_tests.mass_changes import TOMORROW
from samegoal_pipelines_tests.pipeline import deployment, district, environment, pipeline, served, source

__all__ = ["deployment", "district", "environment", "pipeline", "served", "source"]


class HourBack(dt.datetime):
    """A clock that was set back by an hour since the last run."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
        return super().now(tz) - dt.timedelta(hours=1)


def test_a_run_by_a_clock_that_was_set_back_is_refused_and_the_next_night_publishes(
    pipeline, district, monkeypatch
):
    made = district([{"StudentID": student, "StartDate": "2026-08-12"} for student in (11, 12)])
    pipeline.add(made)
    assert pipeline.run().published
    before = pipeline.published()
    monkeypatch.setattr(district_run, "datetime", HourBack)
    made.edit("Student/Student", 12, StudentNumber="another")

    again = pipeline.run()

    assert again.failed
    assert "which began later, has published the night 2026-10-12 already" in line(again)
    assert pipeline.published() == before
    assert pipeline.run(today=TOMORROW).published
    assert pipeline.published() != before
