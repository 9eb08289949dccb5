"""Two runs of one night at once: the one that was quicker is not reported as an error."""

import pytest

from samegoal_pipelines.operations import runs
from samegoal_pipelines_tests.mass_changes import TOMORROW, change, enrolled
from samegoal_pipelines_tests.pipeline import TODAY


@pytest.fixture
def overtaken(pipeline, monkeypatch):
    """After this, the next run has ended, and another one of its night ends before it is looked at."""

    def prepare(another) -> None:
        find = runs.find_attempt

        def late(engine, run_id):
            monkeypatch.setattr(runs, "find_attempt", find)
            another()
            return find(engine, run_id)

        monkeypatch.setattr(runs, "find_attempt", late)

    return prepare


def test_a_night_that_a_later_run_has_replaced_is_well(pipeline, district, overtaken, ask):
    made = district(enrolled(3))
    pipeline.add(made)

    def another() -> None:
        change(made, [1], EndDate="2026-10-09")
        assert pipeline.run().published

    overtaken(another)

    result = ask("sync", "grand-bend", "--today", TODAY.isoformat())

    assert result.returncode == 0
    assert result.stderr == "grand-bend: published, and replaced by a later run of the same night\n"
    assert result.stdout.split()[-7:] == ["ISD", "superseded", "3", "3", "0", "0", "0"]


def test_a_held_night_that_a_later_run_has_published_waits_for_nobody(pipeline, good_night, overtaken, ask):
    made = good_night(enrolled(300))
    change(made, range(1, 32), EndDate="2026-10-09")

    def another() -> None:
        change(made, range(1, 32), EndDate=None)
        assert pipeline.run(today=TOMORROW).published

    overtaken(another)

    result = ask("sync", "grand-bend", "--today", TOMORROW.isoformat())

    assert result.returncode == 0
    assert result.stderr == "grand-bend: held, and replaced by a later run of the same night\n"
