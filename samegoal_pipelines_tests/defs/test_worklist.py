"""The registrar's worklist after a night: in the warehouse by school, in the UI by number."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg

from samegoal_pipelines import runs
from samegoal_pipelines.defs.worklist import registrar_worklist
from samegoal_pipelines.schemas.worklist import FIX, NEVER_CLOSED, TIE
from samegoal_pipelines.warehouse.worklist import read_worklist
from samegoal_pipelines_tests.pipeline import TODAY

PROBLEMATIC = [
    {"EntryWithdrawalID": 1, "StudentID": 1, "StartDate": "2025-08-12", "SchoolYearID": 26},
    {"EntryWithdrawalID": 2, "StudentID": 2, "StartDate": "2026-08-12"},
    {"EntryWithdrawalID": 3, "StudentID": 2, "StartDate": "2026-08-12"},
    {"EntryWithdrawalID": 4, "StudentID": 3, "StartDate": "2026-08-12"},
]


def evaluations(deployment, name: str) -> list[tuple[bool, str]]:
    """The outcomes of a check of the worklist, newest first."""
    key = dg.AssetCheckKey(registrar_worklist.key, name)
    with runs.open_instance(deployment.settings) as instance:
        found = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
        return [
            (
                record.event.dagster_event.event_specific_data.passed,
                record.event.dagster_event.event_specific_data.description,
            )
            for record in found
        ]


def test_after_a_night_the_list_is_in_the_warehouse_and_its_numbers_are_in_the_checks(
    pipeline, deployment, district
):
    pipeline.add(district(PROBLEMATIC))
    assert pipeline.run().published

    found = read_worklist(deployment.warehouse, "grand-bend")
    assert [(item.problem, item.student_id, item.enrollment_id) for item in found] == [
        (NEVER_CLOSED, 1, 1),
        (TIE, 2, 2),
    ]
    assert {item.snapshot_date for item in found} == {TODAY}
    assert all(item.student_number and item.building and item.fix == FIX[item.problem] for item in found)

    ((passed, told),) = evaluations(deployment, "never_closed")
    assert not passed
    assert told.startswith("1 enrollment(s) of 1 student(s) at 1 school(s): still open in a school year")
    assert evaluations(deployment, "cecs_only")[0][0]


def test_what_the_registrar_has_put_right_is_gone_the_next_night(pipeline, deployment, district):
    source = district(PROBLEMATIC)
    pipeline.add(source)
    pipeline.run()
    source.edit("Enrollment/EntryWithdrawal", 1, EndDate="2026-05-28")
    source.remove_row("Enrollment/EntryWithdrawal", 2)
    assert pipeline.run(today=TODAY + timedelta(days=1)).published
    assert read_worklist(deployment.warehouse, "grand-bend") == []


def test_a_night_that_fails_leaves_the_list(pipeline, deployment, district):
    source = district(PROBLEMATIC)
    pipeline.add(source)
    pipeline.run()
    before = read_worklist(deployment.warehouse, "grand-bend")
    source.expires = date(2020, 1, 1)
    assert not pipeline.run(today=TODAY + timedelta(days=1)).published
    assert read_worklist(deployment.warehouse, "grand-bend") == before
