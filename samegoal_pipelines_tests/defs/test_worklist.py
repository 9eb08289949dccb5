"""The registrar's worklist after a night: in the warehouse by school, in the UI by number."""

from datetime import date, timedelta

import pytest

from samegoal_pipelines.cli.nights import line
from samegoal_pipelines.defs import worklist
from samegoal_pipelines.defs.district_run import DistrictRun
from samegoal_pipelines.defs.worklist import registrar_worklist
from samegoal_pipelines.tables.worklist import FIX, NEVER_CLOSED, THE_PAST_MOVED, TIE
from samegoal_pipelines_tests.mass_changes import TOMORROW, change, check_outcomes, enrolled
from samegoal_pipelines_tests.pipeline import TODAY, log_of
from samegoal_pipelines_tests.warehouse.factories import read_worklist

PROBLEMATIC = [
    {"EntryWithdrawalID": 1, "StudentID": 1, "StartDate": "2025-08-12", "SchoolYearID": 26},
    {"EntryWithdrawalID": 2, "StudentID": 2, "StartDate": "2026-08-12"},
    {"EntryWithdrawalID": 3, "StudentID": 2, "StartDate": "2026-08-12"},
    {"EntryWithdrawalID": 4, "StudentID": 3, "StartDate": "2026-08-12"},
]


def findings() -> list[tuple[bool, str]]:
    """The outcomes of the worklist's check, oldest first."""
    outcomes = check_outcomes("registrar_worklist", "enrollments_in_order")
    return [(found.passed, found.description) for _, found in outcomes]


def test_after_a_night_the_list_is_in_the_warehouse_and_its_numbers_are_in_the_checks(good_night, deployment):
    good_night(PROBLEMATIC)

    found = read_worklist(deployment.warehouse, "grand-bend")
    problems = [(item.problem, item.student_id, item.enrollment_id) for item in found]
    assert problems == [(NEVER_CLOSED, 1, 1), (TIE, 2, 2)]
    assert {item.snapshot_date for item in found} == {TODAY}
    assert all(item.student_number and item.building and item.fix == FIX[item.problem] for item in found)

    ((passed, description),) = findings()
    assert not passed
    assert description.startswith("2 enrollments of 2 students at 1 school: 1 never closed; 1 tie; the table")


def test_a_past_that_moved_since_the_last_published_night_is_listed(pipeline, deployment, district, instance):
    past = {"StartDate": "2025-08-12", "EndDate": "2026-05-28", "SchoolYearID": 26}
    one, two, *others = enrolled(5)
    source = district([one | past, two | past, *others])
    pipeline.add(source)
    pipeline.run()
    assert compared_with(instance) == "nothing: no earlier published night has usable landed files"
    source.edit("Enrollment/EntryWithdrawal", 1, EndDate="2026-05-20")
    for _ in range(2):  # a rerun is compared with the night before, too
        assert pipeline.run(today=TOMORROW).published
        (row,) = read_worklist(deployment.warehouse, "grand-bend")
        assert (row.problem, row.enrollment_id) == (THE_PAST_MOVED, 1)
        assert row.detail.endswith("to 2026-05-28; changed since the last published night: last day")
        assert compared_with(instance) == str(TODAY)
        passed, description = findings()[-1]
        assert not passed
        assert "1 the past moved" in description
    assert pipeline.run(today=TOMORROW + timedelta(days=1)).published
    assert read_worklist(deployment.warehouse, "grand-bend") == []

    source.edit("Enrollment/EntryWithdrawal", 1, EndDate="2026-05-19")
    deployment.landing.erase("grand-bend")
    assert pipeline.run(today=TOMORROW + timedelta(days=2)).published
    assert read_worklist(deployment.warehouse, "grand-bend") == []
    assert compared_with(instance).startswith("nothing")


def compared_with(instance) -> str:
    newest = instance.fetch_materializations(registrar_worklist.key, limit=1).records[0]
    return newest.asset_materialization.metadata["past compared with"].value


def test_a_failed_night_leaves_the_list_and_the_next_one_shortens_it(pipeline, deployment, good_night):
    source = good_night(PROBLEMATIC)
    before = read_worklist(deployment.warehouse, "grand-bend")
    source.edit("Enrollment/EntryWithdrawal", 1, EndDate="2026-05-28")
    source.remove_row("Enrollment/EntryWithdrawal", 2)
    expires, source.expires = source.expires, date(2020, 1, 1)
    assert not pipeline.run(today=TOMORROW).published
    assert read_worklist(deployment.warehouse, "grand-bend") == before
    source.expires = expires
    assert pipeline.run(today=TOMORROW).published
    assert read_worklist(deployment.warehouse, "grand-bend") == []


@pytest.fixture
def quarantined(pipeline, deployment, good_night, monkeypatch, prepared):
    """A district with a good night. Its next one quarantines two enrollments and will be held for it."""
    monkeypatch.setattr(DistrictRun, "local_date", TOMORROW)

    def night():
        source = good_night(PROBLEMATIC)
        change(source, {2}, WithdrawalCodeID=424242)
        return source

    return prepared("a night of many problems", night)


def test_a_held_night_lists_what_holds_it(pipeline, deployment, quarantined, instance):
    held = pipeline.run(today=TOMORROW)

    assert held.held
    assert "quarantined" in held.reason
    found = read_worklist(deployment.warehouse, "grand-bend")
    assert {item.snapshot_date for item in found} == {TOMORROW}
    assert {item.enrollment_id for item in found if item.problem.startswith("quarantined: ")} == {2, 3}
    (_, description_before), (passed, description) = findings()
    assert not passed
    assert "2 quarantined: unknown withdrawal code" in description
    assert "quarantined" not in description_before
    newest, _ = instance.fetch_materializations(registrar_worklist.key, limit=5).records
    assert newest.run_id == held.run_id
    assert newest.partition_key == "grand-bend"
    assert newest.asset_materialization.metadata["snapshot date"].value == str(TOMORROW)

    change(quarantined, {2}, WithdrawalCodeID=None)
    assert pipeline.run(today=TOMORROW).published
    assert pipeline.states() == [("published",), ("superseded",), ("published",)]
    found = read_worklist(deployment.warehouse, "grand-bend")
    problems = {(item.problem, item.snapshot_date) for item in found}
    assert problems == {(NEVER_CLOSED, TOMORROW), (TIE, TOMORROW)}


def test_a_list_that_cannot_be_made_hides_no_hold(pipeline, deployment, quarantined, instance, monkeypatch):
    before = read_worklist(deployment.warehouse, "grand-bend")

    def fail(*_: object) -> None:
        raise RuntimeError("Ana")

    monkeypatch.setattr(worklist, "list_problems", fail)
    held = pipeline.run(today=TOMORROW)
    assert held.held
    assert "quarantined" in line(held)
    assert read_worklist(deployment.warehouse, "grand-bend") == before
    log = log_of(instance, held.run_id)
    assert "registrar_worklist: unforeseen RuntimeError" in log
    assert "Ana" not in log
