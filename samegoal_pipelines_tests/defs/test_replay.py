"""Replaying a district's nights from the landing, as a Dagster run."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from samegoal_pipelines.defs.errors import RunFailedError
from samegoal_pipelines.landing.runs import read_landed_for
from samegoal_pipelines.landing.store import METADATA_KEY
from samegoal_pipelines.operations.runs import execute, run_replay
from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict
from samegoal_pipelines.tables.catalog import RAW_TABLES
from samegoal_pipelines.transforms.snapshot import compute_night
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.replay import Replayed, find_nights
from samegoal_pipelines_tests.landing.forging import replace_file
from samegoal_pipelines_tests.pipeline import TODAY
from samegoal_pipelines_tests.warehouse.factories import every_byte, publish_night
from samegoal_pipelines_tests.warehouse.test_replay import everything

ENROLLMENTS, GUARDIANS = "Enrollment/EntryWithdrawal", "Family/StudentGuardian"
LAST_YEAR, STAYS = {"StartDate": "2025-08-13", "EndDate": "2026-05-28"}, {"StartDate": "2026-08-12"}


def night(n: int) -> date:
    return TODAY + timedelta(days=n)


def replay(pipeline, first: date = TODAY, dry_run: bool = False) -> Replayed:
    return run_replay(pipeline.deployment, "grand-bend", first=first, dry_run=dry_run)


def refusal(pipeline) -> str:
    with pytest.raises(RunFailedError) as caught:
        replay(pipeline)
    return str(caught.value)


def publish_computed(pipeline, district_id: str, landed: Any, night: date, started_at: datetime) -> None:
    """Publish what landed, computed at once, as of a district of its own."""
    computed = compute_night(*landed, night, withholding=Withholding())
    run = {"district_id": district_id, "run_id": f"computed at once {night}", "started_at": started_at}
    publish_night(pipeline.deployment.warehouse, night, computed, **run)


def test_a_night_computed_at_once_is_what_the_assets_published(pipeline, deployment):
    (generated,) = Sandbox.generate(districts=1, students=250, seed=8, today=TODAY).districts
    pipeline.add(generated)
    assert pipeline.run(generated.id).published

    landed = [deployment.landing.read(asset, district_id=generated.id, night=TODAY) for asset in RAW_TABLES]
    publish_computed(pipeline, "computed", landed, TODAY, datetime.now(UTC))

    by_assets, at_once = pipeline.published(generated.id), pipeline.published("computed")
    assert len(by_assets["student_status"]) > 200
    assert len(by_assets["parent_demographics"]) > 200
    for view, rows in by_assets.items():
        assert [row[1:] for row in at_once[view]] == [row[1:] for row in rows], view


# -- ten nights under a changed rule --


def a_district(district: Callable[..., SandboxDistrict]) -> SandboxDistrict:
    """Twelve students: enrolled, gone in spring with 77, with 01 and with 82, and gone in winter."""
    gone = {12: "77", 13: "01", 14: "82"}
    enrollments: list[dict[str, Any]] = [
        {"StudentID": n, **LAST_YEAR, "WithdrawalCode": gone[n]} if n in gone else {"StudentID": n, **STAYS}
        for n in range(11, 22)
    ]
    left_in_winter = {"StudentID": 22, "StartDate": "2025-08-13", "EndDate": "2026-01-09"}
    names = [
        {"NameID": 1_000_000 + n, "FirstName": f"Sam{n}", "IsStudentName": True, "IsGuardianName": False}
        for n in range(11, 23)
    ]
    guardian = {"NameID": 77, "FirstName": "Pat", "IsStudentName": False, "IsGuardianName": True}
    email = {"NameEmailID": 1, "NameID": 77, "EmailAddress": "pat@example.org", "Rank": 1}
    link = {"NameIDGuardian": 77, "HasActiveRestrictedAccess": False}
    rows = {
        "Demographics/Name": [*names, guardian],
        "Demographics/NameEmail": [email],
        GUARDIANS: [{"StudentGuardianID": n, "StudentID": n, **link} for n in (11, 16)],
    }
    return district([*enrollments, left_in_winter], rows=rows)


def edit(key: int, **fields: Any) -> Callable[[SandboxDistrict], None]:
    """An edit of an enrollment; its id counts from 1, for student 11."""
    return lambda made: made.edit(ENROLLMENTS, key, **fields)


NIGHTS: list[tuple[int, Callable[[SandboxDistrict], None]]] = [
    (0, edit(1, StartDate="2026-08-13")),
    (1, edit(5, EndDate="2026-10-12")),
    (2, edit(6, WithdrawalCodeID=424242)),  # student 16 cannot be read
    (3, lambda made: made.edit(GUARDIANS, 16, HasActiveRestrictedAccess=True)),
    (4, lambda made: made.remove_row(ENROLLMENTS, 7)),
    (5, edit(8, SchoolID=1001)),
    (5, edit(8, SchoolID=1101, EntityID=102)),  # the same night again
    (6, lambda made: made.add_row(ENROLLMENTS, **RETURNING)),
    (8, edit(6, WithdrawalCodeID=None)),
    (9, lambda made: made.edit("Demographics/Name", 1_000_012, FirstName="Another")),
    (10, lambda made: made.remove_row(ENROLLMENTS, 3)),
]
BUILDING = {"EntityID": 101, "SchoolID": 1101, "IsDefaultEntity": True}
RETURNING = {"EntryWithdrawalID": 70, "StudentID": 17, **STAYS, "SchoolYearID": 2027, **BUILDING}


def another_rule(patch: pytest.MonkeyPatch) -> None:
    """Code 77 means graduation, and what ended before the summer is not imported."""
    for module in ("transforms.status", "tables.vocabulary"):
        patch.setattr(f"samegoal_pipelines.{module}.GRADUATED_CODE", "77")
    patch.setattr("samegoal_pipelines.transforms.enrollments.window_start", lambda _: date(2026, 2, 1))


def published_from_the_start(pipeline) -> None:
    """What the ten nights landed, published one by one as of a district of its own."""
    for published in find_nights(pipeline.deployment.warehouse, "grand-bend", TODAY)[0]:
        landed = tuple(read_landed_for(pipeline.deployment.landing, published, asset) for asset in RAW_TABLES)
        publish_computed(pipeline, "from-the-start", landed, published.snapshot_date, published.started_at)


@pytest.mark.slow
def test_a_replay_over_ten_nights_is_publishing_them_with_the_changed_rule(pipeline, district, monkeypatch):
    """And the replay back, with the rule as it was, is what the assets had published."""
    made = a_district(district)
    pipeline.add(made)
    for n, change in NIGHTS:
        change(made)
        run = pipeline.run(today=night(n))
        assert run.published, run.reason
    engine = pipeline.deployment.warehouse
    before = everything(engine)

    with monkeypatch.context() as patch:
        another_rule(patch)
        published_from_the_start(pipeline)
        dry = replay(pipeline, dry_run=True)
        assert everything(engine) == before != everything(engine, "from-the-start")
        replayed = replay(pipeline)

    assert everything(engine) == everything(engine, "from-the-start")
    assert len(replayed.nights) == 10
    assert replayed.nights == dry.nights
    changes = {json.loads(row)["change"] for (row,) in everything(engine)["student_changes"]}
    assert changes == {"added", "status", "demographics", "parents", "removed"}
    assert replay(pipeline).differing
    assert everything(engine) == before


# -- one night and the next --


@pytest.fixture
def two_nights(pipeline, district, prepared) -> Any:
    """A graduate among three, twice."""

    def nights() -> None:
        gone = {"StudentID": 13, **LAST_YEAR, "WithdrawalCode": "77"}
        pipeline.add(district([*({"StudentID": n, "StartDate": "2026-08-12"} for n in (11, 12)), gone]))
        for n in (0, 1):
            assert pipeline.run(today=night(n)).published

    prepared("two nights with a graduate", nights)
    return pipeline


def landed(pipeline, n: int) -> Path:
    return Path(pipeline.deployment.landing.root) / "grand-bend" / night(n).isoformat()


def test_the_job_in_the_ui_only_tells_unless_it_is_told_to_write(two_nights, monkeypatch, instance):
    another_rule(monkeypatch)
    before = every_byte(two_nights.deployment.warehouse)

    def run(**config: Any) -> Any:
        """Replay the second night, and return what the run shows."""
        config = {"replay_landed_nights": {"from_date": "2026-10-13", **config}}
        result = two_nights.execute("replay_nights", config=config)
        (output,) = [event for event in result.all_events if event.is_successful_output]
        return result.run_id, output.step_output_data.metadata

    _, metadata = run()
    assert every_byte(two_nights.deployment.warehouse) == before
    shown = [metadata[name].value for name in ("nights", "nights that differ", "dry run")]
    assert shown == [1, 1, True]
    (record,) = metadata["differences"].records
    none = dict.fromkeys(("added", "removed", "demographics", "parents", "departures"), 0)
    assert record.data == {"night": "2026-10-13", "students": 3, "status": 1, "changes": 1, **none}
    (moved,) = metadata["another status"].records
    assert moved.data == {"night": "2026-10-13", "was": "INACTIVE", "is": "GRADUATED", "students": 1}

    run_id, _ = run(dry_run=False)
    assert two_nights.statuses()[13] == ("GRADUATED", "graduated")
    as_of = "select student_id, status from samegoal.student_status_as_of(:night) order by 1"
    assert two_nights.rows(as_of, night=TODAY)[2] == (13, "INACTIVE")
    (event,) = instance.fetch_observations(dg.AssetKey("published_snapshot"), limit=5).records
    assert event.asset_observation.partition == "grand-bend"
    assert event.asset_observation.metadata["nights that differ"].value == 1
    (_, (notes,)) = two_nights.rows("select notes[1] from samegoal.snapshots order by snapshot_date")
    assert run_id in notes


def test_nights_whose_landed_rows_cannot_be_used_are_named_with_the_earliest_date_that_works(two_nights):
    """Before anything is computed; rows of another run never stand in for those that were published."""
    before = every_byte(two_nights.deployment.warehouse)
    (folder,) = landed(two_nights, 0).glob("*/raw_enrollments")
    elsewhere = folder.parent.with_name("another-run") / "raw_enrollments"
    shutil.move(folder, elsewhere)
    assert refusal(two_nights) == (
        "grand-bend: replay: the landed rows of the night 2026-10-12 are missing; "
        "the earliest date to replay from is 2026-10-13"
    )
    replay(two_nights, first=night(1))

    shutil.move(elsewhere, folder)
    (file,) = landed(two_nights, 1).glob("*/raw_students/Name.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    assert refusal(two_nights).endswith(
        "the landed rows of the night 2026-10-13 cannot be used: file Name of raw_students "
        "is damaged or was replaced; no later night can be replayed"
    )

    (other,) = landed(two_nights, 0).glob("*/raw_parents/landed.json")
    other.write_text(other.read_text().replace("Relationship", "Kinship"))
    other_file = other.parent / "Kinship.parquet"
    shutil.copy(other.parent / "Relationship.parquet", other_file)
    found = pq.read_table(other_file)
    facts = json.loads(found.schema.metadata[METADATA_KEY]) | {"table": "Kinship"}
    replace_file(other_file, found.replace_schema_metadata({METADATA_KEY: json.dumps(facts)}))
    refused = refusal(two_nights)
    assert "2026-10-12 are from an older version" in refused
    assert "and 1 later night cannot be replayed either" in refused
    assert every_byte(two_nights.deployment.warehouse) == before, "a failed replay is no failed night"


def test_rows_that_break_their_schema_are_not_written(two_nights, monkeypatch):
    """A rule that was changed in one place only: what follows from it is no published status."""
    monkeypatch.setattr("samegoal_pipelines.transforms.status.GRADUATED_CODE", "77")
    before = every_byte(two_nights.deployment.warehouse)
    failed = refusal(two_nights)
    assert "the night 2026-10-12: " in failed
    assert "graduated means code 01 (1); nothing was changed" in failed
    assert every_byte(two_nights.deployment.warehouse) == before


def test_a_night_is_replayed_from_the_rows_of_the_run_that_published_it(two_nights):
    """A later run of the night landed other rows, and was not published."""
    served = two_nights.source.sandbox.districts[0]
    served.edit(ENROLLMENTS, 1, WithdrawalCodeID=424242)
    served.edit(ENROLLMENTS, 2, WithdrawalCodeID=424242)
    assert two_nights.run(today=night(1)).held
    assert not replay(two_nights).differing


@pytest.mark.parametrize("first", ["2026-13-01", ""])
def test_a_rubbish_date_is_one_line(deployment, first):
    config = {"replay_landed_nights": {"from_date": first}}
    error = execute(deployment, "grand-bend", "replay_nights", config).error
    assert error.reason == "replay: the first night to replay is no valid date"
    assert error.next_step == "give a date from 2000-01-01 to 2199-12-31, as YYYY-MM-DD"


def test_a_replay_reads_the_landing_while_the_district_is_not_locked(two_nights, monkeypatch):
    """Reading object storage may take minutes; nobody waits for that."""
    landing, warehouse = two_nights.deployment.landing, two_nights.deployment.warehouse
    monkeypatch.setattr(warehouse_engine, "LOCK_SECONDS", 1)
    read, looked = landing.open, []

    def lock_and_read(landed: Any) -> Any:
        with as_writer(warehouse, "grand-bend", "looking whether it is locked") as connection:
            warehouse_engine.lock(connection, "grand-bend")
        looked.append(landed.asset)
        return read(landed)

    monkeypatch.setattr(landing, "open", lock_and_read)
    replay(two_nights)
    assert set(looked) == {*RAW_TABLES}
