"""Landed files survive what nights do to them."""

import json
import shutil
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from samegoal_pipelines.landing import LandedAsset, LandedFileError, Landing, LandingError
from samegoal_pipelines_tests.landing.forging import replace_file

NIGHT = date(2026, 10, 12)
LATE = datetime(2026, 10, 12, 7, tzinfo=UTC)


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(str(tmp_path / "landing"))


def frame(**columns: list) -> pd.DataFrame:
    return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)


def land(landing: Landing, tables=(1,), *, night: date = NIGHT, **where) -> None:
    """Land tables at six in the morning, unless told otherwise. Instead of tables, give ids of schools."""
    tables = tables if isinstance(tables, dict) else {"School": frame(SchoolID=list(tables))}
    known = {"district_id": "alpha", "run_id": "run-1", "asset": "schools"}
    known["landed_at"] = datetime.combine(night, time(6), UTC)
    landing.write(LandedAsset(night=night, **known | where), tables)


def schools(landing: Landing, **where) -> list[int]:
    found = landing.read("schools", **{"district_id": "alpha", "night": NIGHT} | where)
    return found["School"]["SchoolID"].tolist()


def test_arrow_holds_no_python_object_that_its_threads_would_free_when_a_command_ends(landing, monkeypatch):
    land(landing)
    contents, sources = [], []
    cat_file, read_table = landing.files.cat_file, pq.read_table
    monkeypatch.setattr(
        landing.files, "cat_file", lambda path: contents.append(cat_file(path)) or contents[-1]
    )
    monkeypatch.setattr(
        pq, "read_table", lambda source, **k: sources.append(source) or read_table(source, **k)
    )

    assert schools(landing) == [1]
    assert landing.values("alpha", "schools", "School", "SchoolID") == {(1,)}

    assert len(sources) == 2  # they are still alive
    counts = {
        sys.getrefcount(content) for content in contents
    }  # manifests, which Arrow never gets, and tables
    assert len(counts) == 1


def test_a_landed_asset_comes_back_as_it_was_with_its_types(landing):
    codes = frame(
        WithdrawalCodeID=[1, 2**53 + 1], Code=["01", None], StartDate=[date(1, 1, 1), date(9999, 12, 31)]
    )
    land(landing, {"WithdrawalCode": codes, "School": frame(SchoolID=pa.array([], pa.int64()))})

    back = landing.read("schools", district_id="alpha", night=NIGHT)

    pd.testing.assert_frame_equal(back["WithdrawalCode"], codes)
    assert back["WithdrawalCode"]["Code"][0] == "01"
    assert len(back["School"]) == 0


def test_the_last_run_of_a_night_wins_and_an_earlier_one_can_still_be_asked_for(landing):
    land(landing, run_id="zz-first")
    land(landing, [2], run_id="aa-second", landed_at=LATE)

    assert schools(landing) == [2]
    assert schools(landing, run_id="zz-first") == [1]


def test_a_run_that_was_killed_while_landing_is_not_read(landing, tmp_path):
    land(landing, run_id="whole")
    land(landing, [2], run_id="killed", landed_at=LATE)
    manifest = tmp_path / "landing/alpha/2026-10-12/killed/schools/landed.json"
    manifest.write_text(manifest.read_text()[:20])

    assert schools(landing) == [1]


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        "7",
        '{"landed_at": 7, "rows": {}, "sha256": {}}',
        '{"landed_at": "2026-10-12", "rows": 7, "sha256": {}}',
        pytest.param('{"landed_at": "2026-10-12T07:00Z", "rows": {"School": 1}}', id="without sha256"),
        '{"landed_at": "0001-01-01T00:00+14:00", "rows": {}, "sha256": {}}',
        '{"landed_at": "9999-12-31T23:59-12:00", "rows": {}, "sha256": {}}',
        '{"landed_at": "9999-12-31T00:00Z", "rows": {}, "sha256": {}}',
        pytest.param("[" * 100_000, id="100,000 levels deep"),
    ],
)
def test_a_damaged_manifest_is_named_and_another_run_s_rows_never_stand_in_for_it(landing, tmp_path, content):
    land(landing, [2], run_id="odd", landed_at=LATE)
    (tmp_path / "landing/alpha/2026-10-12/odd/schools/landed.json").write_text(content)
    named = r"landed file landed.json of schools for alpha on 2026-10-12 is damaged \(run odd\)"
    with pytest.raises(LandedFileError, match=named):
        schools(landing)

    land(landing, run_id="whole")
    with pytest.raises(LandedFileError, match=named):
        schools(landing, run_id="odd")


def test_manifests_with_and_without_a_time_zone_are_put_in_one_order(landing, tmp_path):
    land(landing, run_id="odd", landed_at=datetime(2026, 10, 10))
    land(landing, [2], run_id="whole", landed_at=LATE)

    found = landing.landed("schools", district_id="alpha", night=NIGHT)

    assert [one.run_id for one in found] == ["odd", "whole"]


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:30])


def replace_the_rows(file: Path) -> None:
    """The same number of rows of the same columns, and it says the same of itself."""
    metadata = pq.read_schema(file).metadata
    pq.write_table(pa.table({"SchoolID": [2]}).replace_schema_metadata(metadata), file)


def forget_the_hash(file: Path) -> None:
    manifest = file.with_name("landed.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"sha256": {}}))


@pytest.mark.parametrize("damage", [truncate, replace_the_rows, forget_the_hash])
def test_a_file_that_is_not_as_it_landed_is_named_with_its_next_step(landing, tmp_path, damage):
    land(landing)
    damage(tmp_path / "landing/alpha/2026-10-12/run-1/schools/School.parquet")

    named = "landed file School of schools for alpha on 2026-10-12 is damaged or was replaced"
    with pytest.raises(LandingError, match=named) as caught:
        schools(landing)
    assert caught.value.next_step_of_night == "run the night again: samegoal-pipelines sync ID"


@pytest.mark.parametrize("other", ["district", "night", "run", "asset", "table"])
def test_a_file_that_was_landed_elsewhere_is_not_read(landing, tmp_path, other):
    """Copied over with its manifest, as a restored backup would leave it."""
    where = {"night": date(2026, 10, 11)} if other == "night" else {}
    where |= {"run_id": "run-2"} if other == "run" else {}
    where |= {"asset": "campuses"} if other == "asset" else {}
    land(landing, {"School": frame(SchoolID=[1]), "Campus": frame(SchoolID=[2])}, **where)
    (manifest,) = tmp_path.rglob("landed.json")
    place = tmp_path / "landing" / ("beta" if other == "district" else "alpha") / "2026-10-12/run-1/schools"
    if place != manifest.parent:
        shutil.copytree(manifest.parent, place)
    if other == "table":
        replace_file(place / "School.parquet", pq.read_table(place / "Campus.parquet"))

    with pytest.raises(LandingError) as caught:
        schools(landing, district_id=place.parts[-4], run_id="run-1")

    assert f"landed file School of schools for {place.parts[-4]} on 2026-10-12" in str(caught.value)
    assert "belongs to another district, night or run" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"student_id": [1.5], "reasons": ["x"]}, "student_id is not int64"),
        ({"student_id": [1]}, "reasons is missing"),
    ],
)
def test_a_file_with_other_columns_than_declared_is_named_with_them(landing, columns, fault):
    land(landing, {"uncertain": frame(**columns)}, asset="student_status")

    with pytest.raises(LandingError) as caught:
        landing.read("student_status", district_id="alpha", night=NIGHT)

    assert caught.value.reason == (
        f"landed file uncertain of student_status for alpha on 2026-10-12 is of another version: {fault}"
    )


def test_a_night_without_landing_says_what_to_materialize(landing):
    with pytest.raises(
        LandingError, match="nothing has landed as parents for alpha on 2026-10-12; materialize"
    ):
        landing.read("parents", district_id="alpha", night=NIGHT)


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "landing").write_text("a file where the folder should be")

    with pytest.raises(LandingError, match=r"cannot write [(]storage at"):
        land(Landing(str(tmp_path / "landing")))


def test_a_folder_that_the_landing_makes_is_closed_to_other_accounts(tmp_path):
    land(Landing(f"file://{tmp_path}/new/landing"))

    assert (tmp_path / "new/landing").stat().st_mode & 0o077 == 0


def test_a_password_in_the_landing_s_url_stands_in_no_error():
    with pytest.raises(LandingError) as caught:
        Landing("ftp://nightly:made-up@127.0.0.1:9/landing")

    assert str(caught.value) == (
        "the landing cannot be used (storage at ftp://127.0.0.1:9/landing: Connection refused); "
        "check SAMEGOAL_LANDING_URL"
    )
    assert caught.value.transient
    assert "made-up" not in Landing("http://nightly:made-up@127.0.0.1/landing").root


def test_a_storage_that_is_only_for_reading_is_said_in_one_line():
    with pytest.raises(
        LandingError, match=r"cannot write [(].*: this kind of storage is only for reading[)]"
    ):
        land(Landing("http://127.0.0.1:9/landing"))


def test_the_last_landed_table_is_found_on_the_newest_night_that_has_it(landing):
    land(landing, [1, 2, 3], night=date(2026, 10, 10))
    land(landing, {"Name": frame(NameID=[1])}, night=date(2026, 10, 11), asset="names")

    def last(**where) -> pd.DataFrame | None:
        return landing.read_last("schools", "School", **{"district_id": "alpha", "up_to": NIGHT, **where})

    assert len(last()) == 3
    assert last(up_to=date(2026, 10, 9)) is None
    assert last(district_id="beta") is None


def without_school_2(tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    return {name: table.filter(pc.field("SchoolID") != 2) for name, table in tables.items()}


def test_erasing_rows_deletes_what_nobody_can_read_but_not_what_a_run_is_landing(landing, tmp_path):
    for run_id in ("sound", "replaced", "landing", "left by a kill"):
        land(landing, [1, 2], run_id=run_id.replace(" ", "-"))
    night = tmp_path / "landing" / "alpha" / NIGHT.isoformat()
    replaced = night / "replaced" / "schools" / "School.parquet"
    pq.write_table(pq.read_table(replaced).slice(1), replaced)
    for run_id in ("landing", "left-by-a-kill"):
        (night / run_id / "schools" / "landed.json").unlink()

    done = landing.rewrite("alpha", without_school_2, in_progress=lambda: "landing", last="schools")

    assert (done.files, done.rows, done.deleted) == (1, 1, 3)
    assert schools(landing) == [1]
    assert {one.parts[-3] for one in night.glob("*/*/*")} == {"sound", "landing"}


def test_an_erasure_that_is_interrupted_leaves_a_damaged_asset_until_it_is_repeated(landing, monkeypatch):
    def erase(*, dry_run=False):
        return landing.rewrite(
            "alpha", without_school_2, in_progress=lambda: None, last="schools", dry_run=dry_run
        )

    def interrupt(_):
        raise KeyboardInterrupt

    land(landing, [1, 2])
    assert erase(dry_run=True).rows == 1
    assert schools(landing) == [1, 2]
    with monkeypatch.context() as patched:
        patched.setattr("samegoal_pipelines.landing.store._manifest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            erase()
    with pytest.raises(LandedFileError, match="is damaged or was replaced"):
        schools(landing)
    assert erase().deleted == 0
    assert schools(landing) == [1]
