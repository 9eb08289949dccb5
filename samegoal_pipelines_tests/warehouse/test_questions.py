"""Whatever the commands ask about a district is answered from its rows, with other districts beside it.

They ask as the operator, who may read every district: no policy of Postgres would help.
"""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from samegoal_pipelines.operations.explain import students_of_hold
from samegoal_pipelines.warehouse import snapshots
from samegoal_pipelines.warehouse.changes import changes_by_night, student_as_of, students_with_number
from samegoal_pipelines.warehouse.export import published_students
from samegoal_pipelines.warehouse.worklist import publish_worklist, read_worklist
from samegoal_pipelines_tests.reporting.factories import register
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    absences,
    fail_night,
    gate_of,
    hold_night,
    publish_night,
    snapshot,
    student,
)
from samegoal_pipelines_tests.warehouse.test_worklist import item, worklist

TONIGHT = NIGHT + timedelta(days=3)
HELD = snapshot(student(1, student_number="00009"), student(3))


def answers(engine: sa.Engine, district_id: str) -> list[Any]:
    landing = SimpleNamespace(read=lambda *_, **__: HELD.to_land())
    deployment: Any = SimpleNamespace(landing=landing, warehouse=engine)
    published = snapshots.last_published(engine, district_id)
    assert published is not None
    return [
        published,
        snapshots.last_published(engine, district_id, NIGHT),
        snapshots.first_published_night(engine, district_id),
        snapshots.last_attempts(engine, district_id),
        snapshots.unpublished_since(engine, published, TONIGHT + timedelta(days=9)),
        changes_by_night(engine, district_id, students=True),
        *(students_with_number(engine, district_id, number) for number in ("00001", "00002", "00009")),
        students_with_number(engine, district_id, "00001", TONIGHT),
        *(student_as_of(engine, district_id, one, TONIGHT) for one in (1, 2, 3)),
        [row["student_id"] for row in published_students(engine, district_id)],
        published_students(engine, district_id, "00001"),
        read_worklist(engine, district_id),
        students_of_hold(deployment, district_id, TONIGHT, "held"),
    ]


def list_problem(engine: sa.Engine, district_id: str, night: int) -> None:
    """A worklist of one student, of so many days after the first night."""
    date = NIGHT + timedelta(days=night)
    publish_worklist(engine, worklist(item(night, night)), district_id=district_id, snapshot_date=date)


def test_no_answer_about_a_district_is_another_districts(warehouse):
    """The same students, numbers and nights are in both. The other one, whose id comes first, has more."""
    other = "a"
    register(warehouse, "grand-bend")
    publish_night(warehouse, 0, snapshot(student(1), student(2, status="INACTIVE")))
    publish_night(warehouse, 1, snapshot(student(1)), absent=absences({2: "CECS only"}))
    list_problem(warehouse, "grand-bend", 1)
    before = answers(warehouse, "grand-bend")

    register(warehouse, other)
    theirs = student(1, status="GRADUATED", building="Oak"), student(3), student(8, student_number="00001")
    publish_night(warehouse, -1, snapshot(student(9, student_number="00002")), district_id=other)
    publish_night(warehouse, 0, snapshot(*theirs, student(2)), district_id=other)
    absent = absences({2: "left the import window"})
    publish_night(warehouse, 1, snapshot(*theirs), district_id=other, absent=absent)
    publish_night(warehouse, 2, snapshot(*theirs, student(7, student_number="00009")), district_id=other)
    list_problem(warehouse, other, 2)
    hold_night(warehouse, 3, snapshot(), gate_of(), district_id=other)
    fail_night(warehouse, 3, "no luck", district_id=other, run_id="theirs")

    assert answers(warehouse, "grand-bend") == before
