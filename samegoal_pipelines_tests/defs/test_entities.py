"""Nights of a district whose Integration Access includes two of five entities."""

from datetime import timedelta

import dagster as dg
import pytest

from samegoal_pipelines.cli.nights import line
from samegoal_pipelines.sandbox import SandboxDistrict
from samegoal_pipelines_tests.mass_changes import check_outcomes, enrolled
from samegoal_pipelines_tests.pipeline import TODAY

HERE = enrolled(4, EntityID=101)
ELSEWHERE = [row | {"EntityID": 102 + row["StudentID"] % 3} for row in enrolled(13)[10:]]
ENTITIES = [
    {"EntityID": 1, "Name": "Grand Bend ISD"},
    {"EntityID": 101, "Name": "Prairie Elementary School"},
    {"EntityID": 102, "Name": "Prairie High School"},
    {"EntityID": 103, "Name": "Career Center"},
    {"EntityID": 104, "Name": "Learning Center"},
]


@pytest.fixture
def made(district) -> SandboxDistrict:
    made = district([*HERE, *ELSEWHERE], rows={"District/Entity": ENTITIES})
    made.grant_entities(1, 101)
    return made


def test_by_default_all_count_and_a_check_warns_about_those_not_granted(pipeline, made, instance):
    pipeline.add(made)
    assert pipeline.run().published
    assert len(pipeline.statuses()) == 7
    ((_, check),) = check_outcomes("raw_enrollments", "entity_grants")
    (event,) = instance.fetch_materializations(dg.AssetKey("raw_enrollments"), limit=1).records
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    missing = "not granted: 102 Prairie High School (1, counted), 103 Career Center (1, counted)"
    assert missing in check.description
    shown = [row.data for row in event.asset_materialization.metadata["entities"].records]
    names = ("entity", "granted", "enrollments")
    assert [[row[name] for name in names] for row in shown[:3]] == [
        ["1 Grand Bend ISD", "yes", 0],
        ["101 Prairie Elementary School", "yes", 4],
        ["102 Prairie High School", "no", 1],
    ]


def test_only_granted_entities_count_if_the_district_wants_it(pipeline, made):
    pipeline.add(made, entities="granted")
    assert pipeline.run().published
    assert set(pipeline.statuses()) == {1, 2, 3, 4}


def test_students_of_an_entity_that_is_chosen_no_longer_depart_for_that(pipeline, made):
    made.denied_entities = set()
    pipeline.add(made)
    pipeline.deployment.registry.set("grand-bend", gate_limits={"dropped": 100})
    assert pipeline.run().published
    pipeline.deployment.registry.set("grand-bend", entities="101,103,104")
    assert pipeline.run(today=TODAY + timedelta(days=1)).published
    assert pipeline.rows("select student_id, why from samegoal.departures") == [(12, "entity not included")]


def test_a_chosen_entity_that_is_no_longer_granted_fails_the_night_by_name(pipeline, made):
    pipeline.add(made, entities="101,102")
    made.denied_entities = set()
    assert pipeline.run().published
    before = pipeline.published()
    made.grant_entities(1, 101)
    pipeline.source.traffic.clear()

    said = line(pipeline.run())

    assert said.startswith("error: grand-bend: ")
    assert "102 Prairie High School" in said
    assert "Custom API Entities" in said
    assert "districts set grand-bend --entities" in said
    assert not pipeline.source.traffic.requests(kind="list", object="Student/Student")
    assert pipeline.published() == before
