"""What a night learns from landed rows of the last one."""

import json
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd

from samegoal_pipelines.landing import LandedAsset, Landing
from samegoal_pipelines.landing.runs import LandedEvidence, RunLanding
from samegoal_pipelines.warehouse.snapshots import RunIdentity
from samegoal_pipelines_tests.landing.forging import with_declared_columns
from samegoal_pipelines_tests.transforms.builders import enrollments, entry

NIGHT, TONIGHT = date(2026, 10, 12), date(2026, 10, 13)
BEGAN = datetime(2026, 10, 12, 7, tzinfo=UTC)
PUBLISHED = cast(
    Any,
    SimpleNamespace(
        district_id="grand-bend", snapshot_date=NIGHT, run_id="run-1", landed_run_id="run-1", started_at=BEGAN
    ),
)


def tonight(landing: Landing) -> RunLanding:
    return RunLanding(landing, RunIdentity("grand-bend", TONIGHT, "run-2", BEGAN + timedelta(days=1)))


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
    staying = LandedEvidence(tonight(landing), reads=[]).staying(PUBLISHED)
    assert staying is not None
    assert sorted(staying.tolist()) == [1, 2, 4]


def reads(**arrived: int) -> pd.DataFrame:
    listings = [json.dumps({name: rows}) for name, rows in arrived.items()]
    return with_declared_columns("raw_students", "Reads", {"Object": [*arrived], "Arrived": listings})


def test_an_object_is_emptied_if_it_had_rows_and_tonight_has_none(tmp_path):
    landing = Landing(str(tmp_path))
    landed = LandedAsset("grand-bend", NIGHT, "run-1", "raw_students", BEGAN)
    landing.write(landed, {"Reads": reads(Name=9, Student=9, NamePhone=0, NameEmail=9)})
    evidence = LandedEvidence(tonight(landing), [reads(Name=0, Student=1, NamePhone=0)])
    assert evidence.emptied(PUBLISHED) == {"Name": 9}


def test_a_damaged_table_of_reads_is_as_good_as_none_and_fails_no_night(tmp_path):
    landing = Landing(str(tmp_path))
    landing.write(LandedAsset("grand-bend", NIGHT, "run-1", "raw_students", BEGAN), {"Reads": reads(Name=9)})
    last = tonight(landing).last_reads("raw_students")
    assert last is not None
    assert len(last) == 1
    next(tmp_path.rglob("Reads.parquet")).write_bytes(b"damaged")
    assert tonight(landing).last_reads("raw_students") is None
    assert LandedEvidence(tonight(landing), [reads(Name=0)]).emptied(PUBLISHED) == {}
