"""The real daemon and webserver: a backfill as the UI launches it publishes what `sync` publishes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from samegoal_pipelines.defs.instance import add_partition
from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict
from samegoal_pipelines_tests.defs.dev_server_fixtures import dev_server
from samegoal_pipelines_tests.mass_changes import ENTRIES, TOMORROW
from samegoal_pipelines_tests.pipeline import TODAY

pytestmark = pytest.mark.slow

TWINS = ("alpha", "beta", "gamma")  # the same rows three times: two for the UI, one for `sync`
STUDENTS = 240
NIGHTS_BETWEEN = 15  # as much changes as in so many nights

LAUNCH_BACKFILL = """
mutation ($backfill: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfill) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
ASSETS_OF_JOB = """
{ assetNodes(pipeline: {
    pipelineName: "nightly_snapshot"
    repositoryName: "__repository__"
    repositoryLocationName: "samegoal_pipelines.definitions"
  }) { assetKey { path } } }
"""
PUBLISHED = [
    "student_status",
    "student_demographics",
    "parent_demographics",
    "student_details",
    "registrar_worklist",
    "student_status_history",
    "student_demographics_history",
    "parent_demographics_history",
    "student_changes",
    "departures",
    "snapshots",
]
ITS_OWN = ["district_id", "run_id", "landed_run_id", "snapshot_id", "started_at", "published_at"]
"""Columns in which even twins differ: who, by which run, and when."""


@pytest.fixture
def begin_night(pipeline):
    """The twins as Qmlativ shows them on one night: the same students, edited since."""

    def begin(today: date, night: int) -> None:
        (made,) = Sandbox.generate(1, STUDENTS, seed=7, today=today, night=night).districts
        if night:
            left = a_student(made)
            made.replace_rows(ENTRIES, [row for row in made.rows(ENTRIES) if row["StudentID"] != left])
        # each with its own address and district code, without which credentials would seem exchanged
        twins = [
            replace(
                made, id=name, code=f"90000{number}", base_path=f"/{name}StuAPI", client_key=f"key-{name}"
            )
            for number, name in enumerate(TWINS)
        ]
        if pipeline.source.sandbox.districts:
            pipeline.source.sandbox.districts[:] = twins
        else:
            pipeline.add(*twins)

    return begin


def test_a_backfill_in_the_ui_publishes_the_same_rows_as_sync(pipeline, begin_night, tmp_path):
    begin_night(TODAY, 0)
    for name in TWINS:
        assert pipeline.run(name).published
        add_partition(pipeline.deployment.settings, name)
    begin_night(TOMORROW, NIGHTS_BETWEEN)

    with dev_server(tmp_path) as server:
        nightly = [node["assetKey"] for node in server.ask(ASSETS_OF_JOB)["assetNodes"]]
        assert {"path": ["registrar_worklist"]} in nightly
        launched = server.ask(
            LAUNCH_BACKFILL,
            backfill={
                "partitionNames": ["alpha", "beta"],
                "assetSelection": nightly,
                "tags": [{"key": "samegoal/today", "value": TOMORROW.isoformat()}],
            },
        )["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        runs = server.wait(lambda: backfills(server.finished_runs()), "the runs of the backfill")
    assert pipeline.run("gamma", TOMORROW).published

    assert [run["status"] for run in runs] == ["SUCCESS", "SUCCESS"]
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in runs]
    assert {tag["dagster/partition"] for tag in tags} == {"alpha", "beta"}
    assert {tag["samegoal/source_host"] for tag in tags} == {"127.0.0.1"}
    by_sync = {table: rows(pipeline, table, "gamma") for table in PUBLISHED}
    assert all(by_sync.values()), {table: len(found) for table, found in by_sync.items()}
    for name in ("alpha", "beta"):
        for table in PUBLISHED:
            assert rows(pipeline, table, name) == by_sync[table], f"{table} of {name}"


def a_student(made: SandboxDistrict) -> int:
    """One with an open enrollment."""
    return min(row["StudentID"] for row in made.rows(ENTRIES) if row["StudentID"] and not row["EndDate"])


def backfills(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that a backfill has made, when both are there."""
    found = [run for run in runs if any(tag["key"] == "dagster/backfill" for tag in run["tags"])]
    return found if len(found) == 2 else []


def rows(pipeline, table: str, district_id: str) -> list[str]:
    """The district's rows of a table or view, but for what is its own."""
    return [
        row
        for (row,) in pipeline.rows(
            f"select (to_jsonb(t) - cast(:own as text[]))::text from samegoal.{table} t "
            "where district_id = :id order by 1",
            own=ITS_OWN,
            id=district_id,
        )
    ]
