"""A night computed at once from its landed rows is the night that the assets published."""

from __future__ import annotations

from datetime import UTC, date, datetime

from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines.transforms.snapshot import compute_night, statuses_of
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse.publish import publish
from samegoal_pipelines_tests.pipeline import TODAY, deployment, environment, pipeline, source
from samegoal_pipelines_tests.transforms import builders

__all__ = ["deployment", "environment", "pipeline", "source"]


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


def test_rows_in_doubt_are_counted_and_never_effective_ones_are_not():
    rows = [
        builders.entry(1, "2026-08-12", student=1),
        builders.entry(2, None, student=2),
        builders.entry(3, "2026-09-01", "2026-08-31", student=3),
        builders.entry(4, "2026-08-12", "2026-09-30", "CECS", student=4),
        builders.entry(4, "2026-08-12", "2026-09-30", "CECS", student=4),
    ]
    reads = builders.reads("StudentGuardian", ["HasActiveRestrictedAccess"])

    computed = compute_night(
        builders.enrollments(rows, TODAY),
        builders.raw("raw_students", {}),
        builders.raw("raw_parents", {}) | {"Reads": reads},
        TODAY,
        withholding=Withholding(),
    )

    assert (computed.enrollment_rows, computed.set_aside) == (4, 1)


def test_the_statuses_of_the_same_rows_move_with_the_day():
    raw = builders.enrollments([builders.entry(1, "2026-08-12", "2026-10-12", student=7)], TODAY)

    def status(today: date) -> list[tuple[int, str]]:
        statuses = statuses_of(raw, today).statuses
        return list(zip(statuses["student_id"], statuses["status"], strict=True))

    assert status(date(2026, 10, 12)) == [(7, "ENROLLED")]
    assert status(date(2026, 10, 13)) == [(7, "INACTIVE")]
