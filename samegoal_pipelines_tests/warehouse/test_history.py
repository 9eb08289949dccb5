"""Over random nights, the history says what full copies of each night would say."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from samegoal_pipelines_tests.warehouse.snapshots_at_hand import NIGHT, publish_night, rows, snapshot, student

Students = dict[int, dict[str, Any]]


def somebody(draw: random.Random, student_id: int) -> dict[str, Any]:
    return student(
        student_id,
        status=draw.choice(["ENROLLED", "INACTIVE"]),
        first_name=draw.choice(["Ana", "", None]),
        building=draw.choice(["Elm", "Oak"]),
        parents={n: {"rank": draw.choice([1, 2, None])} for n in range(10, 13) if draw.random() < 0.4},
    )


def everybody(students: Students) -> dict[int, tuple]:
    """What the three tables should say of each student."""
    return {
        one["student_id"]: (
            one["status"],
            one["first_name"],
            one["building"],
            sorted((parent_id, facts["rank"]) for parent_id, facts in one["parents"].items()),
        )
        for one in students.values()
    }


def as_of(engine: sa.Engine, night: int) -> dict[int, tuple]:
    """What the history says of each student as of a night."""
    found = rows(
        engine,
        """
        select s.student_id, s.status, d.first_name, s.building,
            (select array_agg(array[p.parent_id, p.rank] order by p.parent_id)
            from samegoal.parent_demographics_history p
            where (p.district_id, p.student_id) = (s.district_id, s.student_id)
                and p.valid_from <= :night and (p.valid_to is null or p.valid_to > :night))
        from samegoal.student_status_history s
        join samegoal.student_demographics_history d using (district_id, student_id)
        where s.valid_from <= :night and (s.valid_to is null or s.valid_to > :night)
            and d.valid_from <= :night and (d.valid_to is null or d.valid_to > :night)
        """,
        night=NIGHT + timedelta(days=night),
    )
    return {row[0]: (*row[1:4], [tuple(parent) for parent in row[4] or []]) for row in found}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_history_agrees_with_full_copies_of_every_night(warehouse: sa.Engine, seed: int) -> None:
    """Students come, go, return, change and are kept; every third night is run again with other content."""
    draw = random.Random(seed)
    copies: dict[int, Students] = {}
    before: Students = {}
    for night in range(12):
        for _ in range(2 if night % 3 == 2 else 1):
            tonight = {
                n: before[n] if n in before and draw.random() < 0.6 else somebody(draw, n)
                for n in range(1, 9)
                if draw.random() < 0.8
            }
            tonight = tonight or {1: somebody(draw, 1)}
            kept = frozenset(n for n in range(1, 10) if n not in tonight and draw.random() < 0.5)
            published = publish_night(warehouse, night, snapshot(*tonight.values(), kept=kept))
            copies[night] = tonight | {n: before[n] for n in kept if n in before}
        was, now = everybody(before), everybody(copies[night])
        assert published.students == len(now)
        assert published.added == len(now.keys() - was.keys())
        assert published.removed == len(was.keys() - now.keys())
        assert published.changed == sum(was[n] != now[n] for n in was.keys() & now.keys())
        before = copies[night]
    for night, students in copies.items():
        assert as_of(warehouse, night) == everybody(students)
