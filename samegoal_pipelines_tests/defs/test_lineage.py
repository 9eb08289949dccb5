"""What Dagster is told of columns: valid, complete, and readable without Dagster's API."""

from functools import cache

import pytest
from dagster._core.definitions.metadata import TableMetadataSet

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.tables.catalog import PUBLISHED, RAW_TABLES
from samegoal_pipelines.tables.lineage import LINEAGE

ASSETS = list(LINEAGE)
WITHOUT_SOURCE = {
    "parent_demographics": {"home_language"},
    "published_snapshot": {
        "parent_demographics.home_language",
        *(f"{view}.{column}" for view in PUBLISHED for column in ("district_id", "snapshot_date")),
    },
}
"""The columns that do not come from Qmlativ."""


@cache
def metadata() -> dict[str, TableMetadataSet]:
    return {
        spec.key.to_user_string(): TableMetadataSet.extract(spec.metadata)
        for spec in build_defs().resolve_all_asset_specs()
    }


def descriptions(asset: str) -> dict[str, str]:
    """What the UI says of each column."""
    schema = metadata()[asset].column_schema
    assert schema is not None
    return {column.name: column.description or "" for column in schema.columns}


@pytest.mark.parametrize("asset", ASSETS)
def test_every_column_of_every_asset_has_lineage_that_dagster_takes(asset):
    """So that one can walk from a published column to Qmlativ's fields."""
    lineage = metadata()[asset].column_lineage
    assert lineage is not None
    assert set(lineage.deps_by_column) == set(LINEAGE[asset])
    assert set(descriptions(asset)) - set(LINEAGE[asset]) == WITHOUT_SOURCE.get(asset, set())
    known = {one: set(descriptions(one)) for one in (*RAW_TABLES, *ASSETS)}
    for deps in lineage.deps_by_column.values():
        assert deps
        for dep in deps:
            assert dep.column_name in known[dep.asset_key.to_user_string()], dep


def test_people_read_what_a_column_is_made_of():
    students = descriptions("student_demographics")
    assert students["gender"].endswith(" Made of: Name.Gender or Name.GenderCode")
    assert students["city"].endswith(" Made of: Zip.City")
    status = descriptions("published_snapshot")["student_status.status"]
    assert " Made of: the rules, from EntryWithdrawal.StartDate, WithdrawalCode.Code, " in status
    assert "EntryWithdrawal.EndDate or EntryWithdrawal.WithdrawalDate" in status
    assert descriptions("parent_demographics")["home_language"].startswith("Always null")
