"""What a night learns from landed rows, its own and those of other runs and nights."""

import json
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from samegoal_pipelines.landing import LandedAsset, Landing
from samegoal_pipelines.landing.runs import LandedEvidence, NotLandedError, RunLanding, landed_for
from samegoal_pipelines.warehouse.snapshots import RunIdentity
from samegoal_pipelines_tests.landing.forging import with_declared_columns
from samegoal_pipelines_tests.transforms.builders import enrollments, entry

NIGHT, TONIGHT = date(2026, 10, 12), date(2026, 10, 13)
BEGAN, HOUR = datetime(2026, 10, 12, 7, tzinfo=UTC), timedelta(hours=1)


@pytest.fixture
def landing(tmp_path) -> Landing:
    return Landing(str(tmp_path))


def published(run_id: str = "run-1", landed_run_id: str | None = "run-1") -> Any:
    """A snapshot of the last night."""
    return SimpleNamespace(
        district_id="grand-bend",
        snapshot_date=NIGHT,
        run_id=run_id,
        landed_run_id=landed_run_id,
        started_at=BEGAN,
    )


def tonight(landing: Landing) -> RunLanding:
    return RunLanding(landing, RunIdentity("grand-bend", TONIGHT, "run-2", BEGAN + timedelta(days=1)))


def land(landing: Landing, asset: str, tables: dict[str, pd.DataFrame], **where: Any) -> None:
    """Land an asset as the published run did, unless told otherwise."""
    known = {"district_id": "grand-bend", "night": NIGHT, "run_id": "run-1", "landed_at": BEGAN}
    landing.write(LandedAsset(asset=asset, **known | where), tables)


def reads(**arrived: int) -> dict[str, pd.DataFrame]:
    """A table of reads: object → the rows that came."""
    listings = [json.dumps({name: rows}) for name, rows in arrived.items()]
    rows = {"Object": [*arrived], "Arrived": listings}
    return {"Reads": with_declared_columns("raw_students", "Reads", rows)}


def test_only_students_whom_time_alone_makes_leave_do_not_stay(landing):
    """Unreadable is not gone, so time does not explain it if an uncertain student is gone tonight."""
    rows = [
        entry(1, "2026-08-12", student=1),
        entry(2, "2027-01-07", student=2),
        entry(3, "2026-08-12", "2026-10-12", "82", student=3),
        entry(4, "2026-08-12", student=4, Unreadable='{"EndDate": "soon"}'),
    ]
    land(landing, "raw_enrollments", enrollments(rows, NIGHT))
    staying = LandedEvidence(tonight(landing), reads=[]).staying(published())
    assert staying is not None
    assert sorted(staying.tolist()) == [1, 2, 4]


def test_an_object_is_emptied_if_it_had_rows_and_tonight_has_none(landing):
    land(landing, "raw_students", reads(Name=9, Student=9, NamePhone=0, NameEmail=9))
    evidence = LandedEvidence(tonight(landing), [reads(Name=0, Student=1, NamePhone=0)["Reads"]])
    assert evidence.emptied(published()) == {"Name": 9}


def test_a_damaged_table_of_reads_is_as_good_as_none_and_fails_no_night(landing, tmp_path):
    land(landing, "raw_students", reads(Name=9))
    last = tonight(landing).last_reads("raw_students")
    assert last is not None
    assert len(last) == 1
    next(tmp_path.rglob("Reads.parquet")).write_bytes(b"damaged")
    assert tonight(landing).last_reads("raw_students") is None
    assert LandedEvidence(tonight(landing), [reads(Name=0)["Reads"]]).emptied(published()) == {}


@pytest.mark.parametrize(
    ("asset", "snapshot", "found"),
    [
        ("raw_students", published("run-1"), "run-1"),
        ("raw_students", published("run-from-the-ui", "run-0"), "run-0"),
        ("raw_students", published("run-from-the-ui", None), "run-1"),
        ("raw_enrollments", published("run-from-the-ui", "run-0"), "run-0"),
        ("raw_enrollments", published("run-from-the-ui", None), None),
        ("raw_students", published("run-of-the-morning-after", None), "run-1"),
    ],
)
def test_a_snapshot_was_made_from_what_had_landed_when_it_started(landing, asset, snapshot, found):
    """A rerun of that night lands later. Its rows are not those of the published snapshot."""
    for run_id, landed_at in [
        ("run-0", BEGAN - HOUR),
        ("run-1", BEGAN),
        ("run-of-the-morning-after", BEGAN + HOUR),
    ]:
        land(landing, asset, reads(), run_id=run_id, landed_at=landed_at)
    if found:
        assert landed_for(landing, snapshot, asset).run_id == found
    else:
        with pytest.raises(NotLandedError):
            landed_for(landing, snapshot, asset)


def test_tonights_reads_are_those_of_this_run_and_of_the_last_one_for_what_it_did_not_read(landing):
    for number, (asset, run_id) in enumerate(
        [
            *(("raw_students", "run-0"), ("raw_students", "run-2"), ("raw_students", "run-9")),
            *(("raw_parents", "run-0"), ("raw_parents", "run-9")),
        ],
        start=1,
    ):
        land(
            landing, asset, reads(Name=number), night=TONIGHT, run_id=run_id, landed_at=BEGAN + number * HOUR
        )
    arrived = [json.loads(table["Arrived"].item()) for table in tonight(landing).reads()]
    assert arrived == [{"Name": 2}, {"Name": 5}]


@pytest.mark.parametrize(
    ("run_id", "found"), [("run-from-the-ui", "run-0"), ("run-2", "run-2"), ("run-9", "run-0")]
)
def test_the_enrollments_of_a_night_are_those_that_had_landed_when_they_were_filtered(landing, run_id, found):
    """A rerun that stops before it filters lands later. The statuses are not made from its rows."""
    for number, (asset, lander) in enumerate(
        [
            *(("raw_enrollments", "run-2"), ("raw_enrollments", "run-0")),
            *(("cecs_filtered_enrollments", "run-0"), ("raw_enrollments", "run-9")),
        ]
    ):
        land(landing, asset, reads(), night=TONIGHT, run_id=lander, landed_at=BEGAN + number * HOUR)
    run = RunIdentity("grand-bend", TONIGHT, run_id, BEGAN + 9 * HOUR)
    assert RunLanding(landing, run).enrollments_run_id() == found
