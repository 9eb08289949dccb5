"""The ageing-out ledger: who has left the published tables, and why."""

from datetime import date, timedelta

import sqlalchemy as sa

from samegoal_pipelines.tables.vocabulary import DEPARTURES
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    absences,
    publish_night,
    rows,
    snapshot,
    student,
)

EVERYBODY = [
    student(1),
    student(2, status="INACTIVE"),
    student(3, status="GRADUATED"),
    student(4, status="PRE-ENROLLED"),
    student(5),
    student(6, student_number=None),
]


def ledger(engine: sa.Engine) -> list[tuple]:
    return rows(
        engine,
        "select snapshot_date, student_id, student_number, last_status, why from samegoal.departures"
        " order by 1, 2",
    )


def night(number: int) -> date:
    return NIGHT + timedelta(days=number)


def test_each_departed_student_is_in_the_ledger_with_status_day_and_reason(warehouse):
    publish_night(warehouse, 0, snapshot(*EVERYBODY))
    assert ledger(warehouse) == []
    why = dict(enumerate(DEPARTURES, start=1))
    assert why[4] == "no rows in Qmlativ"
    del why[4]  # who is not mentioned has none
    publish_night(warehouse, 1, snapshot(student(7)), absent=absences(why | {99: "CECS only"}))
    assert ledger(warehouse) == [
        (night(1), 1, "00001", "ENROLLED", "left the import window"),
        (night(1), 2, "00002", "INACTIVE", "CECS only"),
        (night(1), 3, "00003", "GRADUATED", "rows unreadable"),
        (night(1), 4, "00004", "PRE-ENROLLED", "no rows in Qmlativ"),
        (night(1), 5, "00005", "ENROLLED", "never effective only"),
        (night(1), 6, None, "ENROLLED", "entity not included"),
    ]


def test_a_student_who_is_kept_or_only_changes_has_not_departed(warehouse):
    publish_night(warehouse, 0, snapshot(*EVERYBODY))
    tonight = snapshot({**EVERYBODY[0], "status": "INACTIVE"}, *EVERYBODY[2:], carried_over=frozenset({2}))
    publish_night(warehouse, 1, tonight, absent=absences({2: "rows unreadable", 1: "CECS only"}))
    assert ledger(warehouse) == []
