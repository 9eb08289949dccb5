"""A run that goes on from where another one failed mixes no two readings and shows nothing withheld since."""

from typing import Any

import dagster as dg
import pytest

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines_tests.defs.test_old_runs import Runs
from samegoal_pipelines_tests.defs.test_withholding_nights import (
    ENROLLED,
    FAMILY,
    PARENTS,
    PHONES,
    RESTRICTION,
    TOMORROW,
)
from samegoal_pipelines_tests.pipeline import TODAY

TONIGHT = {"samegoal/today": TODAY.isoformat()}
TOMORROWS = {"samegoal/today": TOMORROW.isoformat()}
PUBLISHING = "samegoal_pipelines.defs.published.publish_or_hold"
PARENTS_BUILT = "samegoal_pipelines.defs.students.parent_tables"


@pytest.fixture
def made(pipeline, district):
    """A student whose only parent is under restriction; and another student."""
    made = district([ENROLLED, {**ENROLLED, "StudentID": 12}], rows=FAMILY)
    pipeline.add(made)
    return made


@pytest.fixture
def runs(pipeline, made, instance) -> Runs:
    return Runs(pipeline, instance)


@pytest.fixture
def broken(monkeypatch) -> Any:
    """Launches a run of which one function fails."""

    def launch(runs: Runs, function: str, tags: dict[str, str]) -> dg.DagsterRun:
        def fail(*_: Any, **__: Any) -> None:
            raise WarehouseError("Postgres ran out of disk")

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(function, fail)
            failed = runs.launch(**tags)
        assert failed.is_failure
        return failed

    return launch


def refused(runs: Runs, again: dg.DagsterRun, *words: str) -> None:
    assert again.is_failure
    reason = runs.reason(again) or ""
    for word in (*words, "samegoal-pipelines sync grand-bend"):
        assert word in reason


def test_a_raw_assets_check_that_is_executed_alone_says_what_to_do_and_fails_no_night(pipeline, runs):
    alone = {dg.AssetCheckKey(dg.AssetKey("raw_students"), "field_grants")}
    everything = build_defs(pipeline.deployment).resolve_job_def("__ASSET_JOB")
    runs.job = everything.get_subset(asset_check_selection=alone)

    assert "materialize the asset instead" in (runs.reason(runs.launch()) or "")
    assert pipeline.states() == []


def test_a_run_goes_on_with_what_it_had_landed_and_no_longer_counts_as_failed(pipeline, runs, broken):
    failed = broken(runs, PUBLISHING, TONIGHT)
    again = runs.again(failed, from_failure=True)
    assert again.is_success
    assert [run.tags["samegoal/outcome"] for run in (failed, again)] == ["failed", "published"]
    assert pipeline.rows(PARENTS) == [(True, None)]


def test_a_run_does_not_go_on_once_another_one_has_read_qmlativ_again(pipeline, made, runs, broken):
    """The parents of the first reading beside the students of the second: half of each."""
    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=False)
    failed = broken(runs, PUBLISHING, TONIGHT)
    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=True)
    made.edit("Demographics/Name", 1_000_011, LastName="read by another run")
    broken(runs, PARENTS_BUILT, TONIGHT)

    again = runs.again(failed, from_failure=True)

    refused(runs, again, "parent_demographics: raw_", "was read again after it was made")
    assert pipeline.rows(PARENTS) == []
    assert runs.launch(**TONIGHT).is_success
    assert pipeline.rows(PARENTS) == [(True, None)]


def test_confidential_phones_are_not_published_by_a_switch_that_was_taken_back(
    pipeline, deployment, made, runs, broken
):
    for phone in (1, 3):
        made.edit("Demographics/NamePhone", phone, IsConfidential=True)
    deployment.registry.set("grand-bend", show_confidential_phones=True)
    failed = broken(runs, PUBLISHING, TONIGHT)
    deployment.registry.set("grand-bend", show_confidential_phones=False)

    again = runs.again(failed, from_failure=True)
    refused(runs, again, "contacts that the district has been set to withhold since")
    assert pipeline.rows(PHONES) == []


def test_restricted_contacts_are_not_published_by_a_switch_that_was_taken_back(
    pipeline, deployment, made, runs, broken
):
    assert pipeline.run().published
    deployment.registry.set("grand-bend", show_restricted_contacts=True)
    made.denied_fields.add(RESTRICTION)
    failed = broken(runs, PUBLISHING, TOMORROWS)
    deployment.registry.set("grand-bend", show_restricted_contacts=False)

    again = runs.again(failed, from_failure=True)
    refused(runs, again, "nobody can tell which parents are under restriction")
    assert pipeline.rows(PARENTS) == [(True, None)]


def test_a_run_that_dagster_has_given_up_publishes_nothing(pipeline, source, runs):
    """Its worker's host could not be reached for a while, and its retry has the night now."""

    def give_up(_: Any) -> None:
        (run,) = runs.instance.get_runs()
        runs.instance.report_run_failed(run, "the worker of this run cannot be reached")

    source.faults.add(kind="list", nth=1, run=give_up)
    runs.launch(**TONIGHT)
    assert pipeline.states() == []
    again = runs.launch(**TONIGHT)
    assert again.is_success
    assert pipeline.states("run_id") == [("published", again.run_id)]
