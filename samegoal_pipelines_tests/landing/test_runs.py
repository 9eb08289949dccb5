"""What the gate learns from landed rows."""

from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, cast

from samegoal_pipelines.landing import LandedAsset, Landing
from samegoal_pipelines.landing.runs import LandedEvidence, RunLanding
from samegoal_pipelines.warehouse.snapshots import RunIdentity
from samegoal_pipelines_tests.transforms.builders import enrollments, entry

NIGHT, TONIGHT = date(2026, 10, 12), date(2026, 10, 13)
BEGAN = datetime(2026, 10, 12, 7, tzinfo=UTC)


def test_only_students_whom_time_alone_makes_leave_do_not_stay(tmp_path):
    """Unreadable is not gone, so time does not explain it if an uncertain student is gone tonight."""
    landing = Landing(str(tmp_path))
    rows = [
        entry(1, "2026-08-12", student=1),
        entry(2, "2027-01-07", student=2),
        entry(3, "2026-08-12", "2026-10-12", "82", student=3),
        entry(4, "2026-08-12", student=4, Unreadable='{"EndDate": "soon"}'),
    ]
    raw = enrollments(rows, NIGHT)
    landing.write(LandedAsset("grand-bend", NIGHT, "run-1", "raw_enrollments", BEGAN), raw)
    published = SimpleNamespace(
        district_id="grand-bend", snapshot_date=NIGHT, run_id="run-1", landed_run_id="run-1", started_at=BEGAN
    )
    tonight = RunLanding(landing, RunIdentity("grand-bend", TONIGHT, "run-2", datetime.now(UTC)))
    staying = LandedEvidence(tonight, reads=[]).staying(cast(Any, published))
    assert staying is not None
    assert sorted(staying.tolist()) == [1, 2, 4]
