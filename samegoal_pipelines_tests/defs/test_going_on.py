"""A run that goes on from where another one failed mixes no two readings and shows nothing withheld since."""

from typing import Any

import dagster as dg
import pytest

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines_tests.defs.test_old_runs import PUBLISHING, Runs
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


def refused(runs: Runs, failed: dg.DagsterRun, *words: str) -> None:
    """The run does not go on, and says why and what to do."""
    reason = runs.reason(runs.again(failed, from_failure=True)) or ""
    for word in (*words, "samegoal-pipelines sync grand-bend"):
        assert word in reason


def test_a_raw_assets_check_that_is_executed_alone_says_what_to_do_and_fails_no_night(pipeline, runs):
    alone = {dg.AssetCheckKey(dg.AssetKey("raw_students"), "field_grants")}
    everything = build_defs(pipeline.deployment).resolve_job_def("__ASSET_JOB")
    runs.job = everything.get_subset(asset_check_selection=alone)

    assert "materialize the asset instead" in (runs.reason(runs.launch()) or "")
    assert pipeline.states() == []


def test_a_run_goes_on_with_what_it_had_landed_and_no_longer_counts_as_failed(pipeline, runs):
    failed = runs.broken(PUBLISHING, **TONIGHT)
    again = runs.again(failed, from_failure=True)
    assert again.is_success
    assert [run.tags["samegoal/outcome"] for run in (failed, again)] == ["failed", "published"]
    assert pipeline.rows(PARENTS) == [(True, None)]


def test_a_run_does_not_go_on_once_another_one_has_read_qmlativ_again(pipeline, made, runs):
    """The parents of the first reading beside the students of the second: half of each."""
    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=False)
    failed = runs.broken(PUBLISHING, **TONIGHT)
    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=True)
    made.edit("Demographics/Name", 1_000_011, LastName="read by another run")
    runs.broken(PARENTS_BUILT, **TONIGHT)

    refused(runs, failed, "parent_demographics: raw_", "was read again after it was made")
    assert pipeline.rows(PARENTS) == []
    assert runs.launch(**TONIGHT).is_success
    assert pipeline.rows(PARENTS) == [(True, None)]


def test_confidential_phones_are_not_published_by_a_switch_that_was_taken_back(
    pipeline, deployment, made, runs
):
    for phone in (1, 3):
        made.edit("Demographics/NamePhone", phone, IsConfidential=True)
    deployment.registry.set("grand-bend", show_confidential_phones=True)
    failed = runs.broken(PUBLISHING, **TONIGHT)
    deployment.registry.set("grand-bend", show_confidential_phones=False)

    refused(runs, failed, "contacts that the district has been set to withhold since")
    assert pipeline.rows(PHONES) == []


def test_restricted_contacts_are_not_published_by_a_switch_that_was_taken_back(
    pipeline, deployment, made, runs
):
    assert pipeline.run().published
    deployment.registry.set("grand-bend", show_restricted_contacts=True)
    made.denied_fields.add(RESTRICTION)
    failed = runs.broken(PUBLISHING, **TOMORROWS)
    deployment.registry.set("grand-bend", show_restricted_contacts=False)

    refused(runs, failed, "nobody can tell which parents are under restriction")
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
