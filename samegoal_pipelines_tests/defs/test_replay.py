"""Replaying a district's nights from the landing, as a Dagster run."""

from __future__ import annotations

from datetime import UTC, datetime

from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines.transforms.snapshot import compute_night
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse.publish import publish
from samegoal_pipelines_tests.pipeline import TODAY


def test_a_night_computed_at_once_is_what_the_assets_published(pipeline, deployment):
    sandbox = Sandbox.generate(districts=1, students=250, seed=8, today=TODAY)
    (generated,) = sandbox.districts
    pipeline.add(generated)
    assert pipeline.run(generated.id).published

    landed = [
        deployment.landing.read(asset, district_id=generated.id, night=TODAY)
        for asset in ("raw_enrollments", "raw_students", "raw_parents")
    ]
    computed = compute_night(*landed, TODAY, withholding=Withholding())
    publish(
        deployment.warehouse,
        district_id="computed",
        snapshot_date=TODAY,
        snapshot=computed.snapshot,
        run_id="computed",
        started_at=datetime.now(UTC),
    )

    by_assets, at_once = pipeline.published(generated.id), pipeline.published("computed")
    assert len(by_assets["student_status"]) > 200
    assert len(by_assets["parent_demographics"]) > 200
    for view, rows in by_assets.items():
        assert [row[1:] for row in at_once[view]] == [row[1:] for row in rows], view
