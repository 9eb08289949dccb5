"""The check `on_time`, materialized by hand for a partition that has no night to judge."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from samegoal_pipelines.defs.alerts import once_published
from samegoal_pipelines.defs.district_run import DistrictRun
from samegoal_pipelines_tests.reporting.factories import NIGHT, at, register


def night_of(deployment, district_id: str, today: str) -> DistrictRun:
    tags = {"dagster/partition": district_id, "samegoal/today": today}
    return DistrictRun(
        deployment, dg.DagsterRun(job_name="nightly_snapshot", tags=tags), dg.DagsterInstance.ephemeral()
    )


def test_a_district_that_is_not_registered_is_named_in_one_line(deployment):
    with pytest.raises(dg.Failure) as caught:
        next(once_published(district_run=night_of(deployment, "nowhere", NIGHT.isoformat())))
    assert (caught.value.description or "").startswith("nowhere: on_time: ")
    assert "unforeseen" not in (caught.value.description or "")


def test_a_night_before_the_district_was_registered_is_not_waited_for(deployment):
    register(deployment.warehouse, "alpha", registered_at=at("12:00"))
    before = (NIGHT - timedelta(days=3)).isoformat()
    found = next(once_published(district_run=night_of(deployment, "alpha", before)))
    assert found.passed
    assert found.description == f"the district was registered after the night of {before}"
