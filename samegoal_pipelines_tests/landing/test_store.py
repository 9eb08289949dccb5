"""Landed files survive what nights do to them."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samegoal_pipelines.landing import Landing, LandingError

NIGHT = date(2026, 10, 12)
EARLY, LATE = datetime(2026, 10, 12, 6, tzinfo=UTC), datetime(2026, 10, 12, 7, tzinfo=UTC)


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(str(tmp_path / "landing"))


def frame(**columns: list) -> pd.DataFrame:
    return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)


def land(
    landing: Landing, tables, run_id="run-1", landed_at=EARLY, asset="raw_enrollments", night=NIGHT, **more
):
    return landing.write(
        tables, district_id="alpha", night=night, run_id=run_id, asset=asset, landed_at=landed_at, **more
    )


def test_a_landed_asset_comes_back_as_it_was_with_its_types(landing):
    codes = frame(
        WithdrawalCodeID=[1, 2**53 + 1], Code=["01", None], StartDate=[date(1, 1, 1), date(9999, 12, 31)]
    )
    land(landing, {"WithdrawalCode": codes, "School": frame(SchoolID=pa.array([], pa.int64()))})

    back = landing.read("raw_enrollments", district_id="alpha", night=NIGHT)

    pd.testing.assert_frame_equal(back["WithdrawalCode"], codes)
    assert back["WithdrawalCode"]["Code"][0] == "01"
    assert len(back["School"]) == 0


def test_each_file_tells_what_was_asked_when_and_how_many_rows(landing, tmp_path):
    land(landing, {"School": frame(SchoolID=[1, 2])}, about={"School": {"fields": ["SchoolID"], "pages": 1}})

    (file,) = tmp_path.glob("landing/alpha/2026-10-12/run-1/raw_enrollments/School.parquet")
    facts = json.loads(pq.read_schema(file).metadata[b"samegoal"])

    assert facts["fields"] == ["SchoolID"]
    assert facts["pages"] == 1
    assert facts["rows"] == 2
    assert facts["landed_at"] == EARLY.isoformat()


def test_the_last_run_of_a_night_wins_and_an_earlier_one_can_still_be_asked_for(landing):
    land(landing, {"School": frame(SchoolID=[1])}, run_id="zz-first", landed_at=EARLY)
    land(landing, {"School": frame(SchoolID=[2])}, run_id="aa-second", landed_at=LATE)

    assert landing.read("raw_enrollments", district_id="alpha", night=NIGHT)["School"][
        "SchoolID"
    ].tolist() == [2]
    first = landing.read("raw_enrollments", district_id="alpha", night=NIGHT, run_id="zz-first")
    assert first["School"]["SchoolID"].tolist() == [1]


def test_a_run_that_was_killed_while_landing_is_not_read(landing, tmp_path):
    land(landing, {"School": frame(SchoolID=[1])}, run_id="whole", landed_at=EARLY)
    land(landing, {"School": frame(SchoolID=[2])}, run_id="killed", landed_at=LATE)
    manifest = tmp_path / "landing/alpha/2026-10-12/killed/raw_enrollments/landed.json"
    manifest.write_text(manifest.read_text()[:20])

    assert landing.read("raw_enrollments", district_id="alpha", night=NIGHT)["School"][
        "SchoolID"
    ].tolist() == [1]


@pytest.mark.parametrize(
    "content", ["[]", "null", "7", '{"landed_at": 7, "rows": {}}', '{"landed_at": "2026-10-12", "rows": 7}']
)
def test_a_manifest_of_another_form_counts_as_none(landing, tmp_path, content):
    land(landing, {"School": frame(SchoolID=[1])}, run_id="whole", landed_at=EARLY)
    land(landing, {"School": frame(SchoolID=[2])}, run_id="odd", landed_at=LATE)
    (tmp_path / "landing/alpha/2026-10-12/odd/raw_enrollments/landed.json").write_text(content)

    (landed,) = landing.landed("raw_enrollments", district_id="alpha", night=NIGHT)

    assert landed.run_id == "whole"


def test_manifests_with_and_without_a_time_zone_are_put_in_one_order(landing, tmp_path):
    land(landing, {"School": frame(SchoolID=[1])}, run_id="odd", landed_at=datetime(2026, 10, 10))
    land(landing, {"School": frame(SchoolID=[2])}, run_id="whole", landed_at=LATE)

    found = landing.landed("raw_enrollments", district_id="alpha", night=NIGHT)

    assert [one.run_id for one in found] == ["odd", "whole"]


def test_a_damaged_file_is_named_with_its_remedy(landing, tmp_path):
    land(landing, {"School": frame(SchoolID=[1])})
    file = tmp_path / "landing/alpha/2026-10-12/run-1/raw_enrollments/School.parquet"
    file.write_bytes(file.read_bytes()[:30])

    with pytest.raises(
        LandingError, match="landed file School of raw_enrollments for alpha on 2026-10-12 is damaged"
    ):
        landing.read("raw_enrollments", district_id="alpha", night=NIGHT)


def test_a_night_without_landing_says_what_to_materialize(landing):
    with pytest.raises(
        LandingError, match="nothing has landed as raw_parents for alpha on 2026-10-12: materialize"
    ):
        landing.read("raw_parents", district_id="alpha", night=NIGHT)


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "landing").write_text("a file where the folder should be")

    with pytest.raises(LandingError, match=r"cannot write [(]storage at"):
        land(Landing(str(tmp_path / "landing")), {"School": frame(SchoolID=[1])})


def test_a_folder_that_the_landing_makes_is_closed_to_other_accounts(tmp_path):
    land(Landing(f"file://{tmp_path}/new/landing"), {"School": frame(SchoolID=[1])})

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
        land(Landing("http://127.0.0.1:9/landing"), {"School": frame(SchoolID=[1])})


def test_the_last_landed_table_is_found_on_the_newest_night_that_has_it(landing):
    land(landing, {"School": frame(SchoolID=[1, 2, 3])}, night=date(2026, 10, 10))
    land(landing, {"Name": frame(NameID=[1])}, night=date(2026, 10, 11), asset="raw_students")

    def last(**where) -> pd.DataFrame | None:
        return landing.read_last(
            "raw_enrollments", "School", **{"district_id": "alpha", "up_to": NIGHT, **where}
        )

    assert len(last()) == 3
    assert last(up_to=date(2026, 10, 9)) is None
    assert last(district_id="beta") is None


def test_landing_works_on_any_fsspec_url():
    memory = Landing("memory://landing")
    land(memory, {"School": frame(SchoolID=[7])})

    assert memory.read("raw_enrollments", district_id="alpha", night=NIGHT)["School"][
        "SchoolID"
    ].tolist() == [7]
    assert memory.nights("alpha") == [NIGHT]
