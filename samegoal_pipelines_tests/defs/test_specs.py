"""What Dagster loads, as one text: a change of an asset, check, job, schedule or sensor shows in a diff.

Renew it with: python -m samegoal_pipelines_tests.defs.test_specs
And what it is told of columns: valid, complete, and readable without Dagster's API.
"""

from difflib import unified_diff
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.metadata import TableMetadataSet

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.tables.catalog import PUBLISHED, RAW_TABLES
from samegoal_pipelines.tables.lineage import LINEAGE

SPECS = Path(__file__).with_name("specs.yaml")


def test_everything_that_dagster_loads_is_as_checked_in():
    checked_in, now = SPECS.read_text().splitlines(), specs().splitlines()
    diff = "\n".join(unified_diff(checked_in, now, "checked in", "now", lineterm=""))
    assert not diff, f"if this is meant, run: python -m samegoal_pipelines_tests.defs.test_specs\n{diff}"


def specs() -> str:
    definitions = build_defs()
    repository = definitions.get_repository_def()
    graph = repository.asset_graph
    found: dict[str, dict[str, Any]] = {
        "assets": {spec.key.to_user_string(): _asset(spec) for spec in definitions.resolve_all_asset_specs()},
        "checks": {
            f"{key.asset_key.to_user_string()}: {key.name}": _check(graph.get_check_spec(key))
            for key in graph.asset_check_keys
        },
        "jobs": {job.name: _job(job) for job in repository.get_all_jobs() if not job.name.startswith("__")},
        "schedules": {
            one.name: {
                "job": one.job_name,
                "cron": one.cron_schedule,
                "timezone": one.execution_timezone,
                "default status": one.default_status.value,
                "tags": dict(one.tags),
            }
            for one in repository.schedule_defs
        },
        "sensors": {
            one.name: {
                "jobs": sorted(target.job_name for target in one.targets),
                "type": one.sensor_type.value,
                "seconds between ticks": one.minimum_interval_seconds,
                "default status": one.default_status.value,
            }
            for one in repository.sensor_defs
        },
        "resources": {name: {} for name in repository.get_top_level_resources()},
    }
    shown = {
        kind: {
            name: {what: value for what, value in spec.items() if value} for name, spec in sorted(of.items())
        }
        for kind, of in found.items()
    }
    return yaml.safe_dump(shown, sort_keys=False, default_flow_style=None, width=200)


def _asset(spec: dg.AssetSpec) -> dict[str, Any]:
    return {
        "group": spec.group_name,
        "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        "kinds": sorted(spec.kinds),
        "owners": [*spec.owners],
        "partitions": _text(spec.partitions_def),
        "automation": _text(spec.automation_condition),
        "skippable": spec.skippable,
        "tags": {name: value for name, value in spec.tags.items() if not name.startswith("dagster/kind/")},
        "metadata": sorted(spec.metadata),
    }


def _check(spec: dg.AssetCheckSpec) -> dict[str, Any]:
    return {
        "blocking": spec.blocking,
        "partitions": _text(spec.partitions_def),
        "automation": _text(spec.automation_condition),
        "deps": sorted(dep.asset_key.to_user_string() for dep in spec.additional_deps),
    }


def _job(job: dg.JobDefinition) -> dict[str, Any]:
    return {
        "steps": sorted(node.name for node in job.nodes),
        "assets": sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys),
        "partitions": _text(job.partitions_def),
        "executor": job.executor_def.name,
        "tags": dict(job.tags),
    }


def _text(definition: object) -> str | None:
    return str(definition) if definition else None


# -- columns --

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


@pytest.mark.parametrize("asset", list(LINEAGE))
def test_every_column_of_every_asset_has_lineage_that_dagster_takes(asset):
    """So that one can walk from a published column to Qmlativ's fields."""
    lineage = metadata()[asset].column_lineage
    assert lineage is not None
    assert set(lineage.deps_by_column) == set(LINEAGE[asset])
    assert set(descriptions(asset)) - set(LINEAGE[asset]) == WITHOUT_SOURCE.get(asset, set())
    known = {one: set(descriptions(one)) for one in (*RAW_TABLES, *LINEAGE)}
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


if __name__ == "__main__":
    SPECS.write_text(specs())
