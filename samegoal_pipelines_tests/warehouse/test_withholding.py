"""A restriction that comes on a night on which its student cannot be read."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from samegoal_pipelines.warehouse.publish import Published, publish
from samegoal_pipelines_tests.warehouse.snapshots_at_hand import (
    NIGHT,
    STARTED,
    publish_night,
    rows,
    snapshot,
    student,
)

PAT, KIM = {"has_restricted_access": False, "email": "pat@x.org"}, {"has_restricted_access": False}
ANA = student(1, parents={10: PAT, 11: KIM})
BEN = student(2)


def publish_ana_unreadable(engine: sa.Engine, *restricted: int) -> Published:
    """The second night: Ana keeps her rows, and these parents of hers are under restriction."""
    published = publish(
        engine,
        district_id="grand-bend",
        snapshot_date=NIGHT + timedelta(days=1),
        snapshot=snapshot(BEN, kept=frozenset({1})),
        restricted=pd.DataFrame({"student_id": [1] * len(restricted), "parent_id": list(restricted)}),
        run_id=f"restricting {restricted}",
        started_at=STARTED,
    )
    assert isinstance(published, Published)
    return published


@pytest.fixture
def ana(warehouse: sa.Engine) -> sa.Engine:
    publish_night(warehouse, 0, snapshot(ANA, BEN))
    return warehouse


def emails(engine: sa.Engine) -> list[tuple[Any, ...]]:
    return rows(
        engine,
        "select valid_from, valid_to, has_restricted_access, email "
        "from samegoal.parent_demographics_history where parent_id = 10 order by 1",
    )


def test_it_holds_as_of_its_night(ana: sa.Engine) -> None:
    assert publish_ana_unreadable(ana, 10).changed == 1
    tonight = date(2026, 9, 2)
    assert emails(ana) == [(NIGHT, tonight, False, "pat@x.org"), (tonight, None, True, None)]
    assert rows(ana, "select student_id, change, changed_columns from samegoal.student_changes") == [
        (1, "added", []),
        (2, "added", []),
        (1, "parents", ["parents.has_restricted_access"]),
    ]


def test_a_rerun_of_the_night_takes_it_back(ana: sa.Engine) -> None:
    publish_ana_unreadable(ana, 10)
    assert publish_night(ana, 1, snapshot(ANA, BEN)).changed == 0
    assert emails(ana) == [(NIGHT, None, False, "pat@x.org")]


def test_a_rerun_of_the_night_may_restrict_another_parent_of_the_student(ana: sa.Engine) -> None:
    publish_ana_unreadable(ana, 10)
    assert publish_ana_unreadable(ana, 10, 11).changed == 1
    restricted = "select parent_id from samegoal.parent_demographics where has_restricted_access"
    assert sorted(rows(ana, restricted)) == [(10,), (11,)]
