"""What Dagster is told of columns: valid, complete, and readable without Dagster's API."""

from __future__ import annotations

import pytest
from dagster._core.definitions.metadata import TableMetadataSet

from samegoal_pipelines.defs.lineage import (
    FOR_PEOPLE,
    column_lineage,
    published_columns,
    raw_columns,
)
from samegoal_pipelines.tables.catalog import PUBLISHED, RAW_TABLES
from samegoal_pipelines.tables.lineage import CONSTANT, LINEAGE

ASSETS = list(LINEAGE)


def names(metadata: dict) -> list[str]:
    schema = TableMetadataSet.extract(metadata).column_schema
    assert schema is not None
    return [column.name for column in schema.columns]


@pytest.mark.parametrize("asset", ASSETS)
def test_every_column_of_every_asset_has_lineage_that_dagster_takes(asset):
    lineage = TableMetadataSet.extract(column_lineage(asset)).column_lineage
    assert lineage is not None
    assert set(lineage.deps_by_column) == set(LINEAGE[asset])
    assert all(lineage.deps_by_column.values())


@pytest.mark.parametrize("asset", ASSETS)
def test_every_column_that_another_comes_from_is_in_the_schema_of_its_asset(asset):
    """So that one can walk from a published column to Qmlativ's fields."""
    known = {raw: set(names(raw_columns(raw))) for raw in RAW_TABLES} | {
        ours: set(columns) for ours, columns in LINEAGE.items()
    }
    lineage = column_lineage(asset)["dagster/column_lineage"]
    for deps in lineage.deps_by_column.values():
        for dep in deps:
            assert dep.column_name in known[dep.asset_key.to_user_string()], dep


def test_published_columns_are_those_that_have_lineage_or_are_constant():
    found = names(published_columns())
    assert len(found) == len(set(found))
    assert set(found) == set(LINEAGE["published_snapshot"]) | set(CONSTANT["published_snapshot"])
    assert {name.partition(".")[0] for name in found} == set(PUBLISHED)


def test_people_read_where_a_column_comes_from():
    text = column_lineage("student_demographics")[FOR_PEOPLE].value
    assert "| gender | Name.Gender or Name.GenderCode |" in text
    (city,) = (line for line in text.splitlines() if line.startswith("| city |"))
    assert city.startswith("| city | Zip.City | ")
    assert "NameAddress.IsPhysical" in city
    assert "| building | School.Name |" in text

    text = column_lineage("published_snapshot")[FOR_PEOPLE].value
    (status,) = (line for line in text.splitlines() if line.startswith("| student_status.status |"))
    assert "the rules, out of EntryWithdrawal.StartDate, WithdrawalCode.Code, " in status
    assert "EntryWithdrawal.EndDate or EntryWithdrawal.WithdrawalDate" in status

    text = column_lineage("parent_demographics")[FOR_PEOPLE].value
    assert "| home_language | Always null" in text
