"""What `districts verify` tells a person, asked of a sandbox Qmlativ over a real socket."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.registry import District, Registry
from samegoal_pipelines.districts.verify import Step, Verification, landed_rows, verify
from samegoal_pipelines.landing import LandedAsset, Landing, LandingError
from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict, SandboxServer, serve
from samegoal_pipelines_tests.landing.forging import with_declared_columns
from samegoal_pipelines_tests.literal_district import OPTIONAL_FIELDS

TODAY = date(2026, 10, 1)
CODES = {"District/Entity", "District/SchoolYear"}


@dataclass
class Source:
    """A sandbox district, registered."""

    registry: Registry
    qmlativ: SandboxDistrict
    server: SandboxServer
    landing: Landing

    def register(self, **facts: Any) -> District:
        facts = {"client_secret": self.qmlativ.client_secret, "expires": date(2027, 7, 1)} | facts
        return self.registry.add(
            id="grand-bend",
            name="Grand Bend ISD",
            base_url=self.server.base_url(self.qmlativ),
            client_key=self.qmlativ.client_key,
            **facts,
        )

    def verify(self, district: District | None = None, **how: Any) -> tuple[Verification, dict[str, Step]]:
        how = {"today": TODAY, "landing": self.landing} | how
        found = verify(self.registry, district or self.register(), **how)
        assert found.ok == all(step.state != "failed" for step in found.steps)
        return found, {step.name: step for step in found.steps}

    def failure(self, **registration: Any) -> tuple[str, str, str]:
        """The name, outcome and next step of the failed step, which is the last one."""
        found, _ = self.verify(self.register(**registration))
        (failed,) = (step for step in found.steps if step.state == "failed")
        assert failed == found.steps[-1]
        return failed.name, failed.outcome, failed.next_step

    def names(self) -> dict[int, str]:
        return {each["EntityID"]: each["Name"] for each in self.qmlativ.rows("District/Entity")}


@pytest.fixture
def source(warehouse: sa.Engine, tmp_path: Path) -> Iterator[Source]:
    sandbox = Sandbox.generate(districts=1, students=30, seed=3, today=TODAY)
    with serve(sandbox) as server:
        qmlativ = sandbox.districts[0]
        registry = Registry(warehouse, SecretCipher(tmp_path, None), allow_local=True)
        yield Source(registry, qmlativ, server, Landing(str(tmp_path / "landing")))


def rows_of(found: Verification) -> dict[str, int | None]:
    return {each.name: each.rows for each in found.objects}


def test_a_district_that_is_in_order_is_said_to_be(source):
    found, steps = source.verify()
    assert (found.ok, found.state, found.missing) == (True, "ok", [])
    assert {step.state for step in found.steps} == {"ok"}
    assert {name: step.outcome for name, step in steps.items()} == {
        "expiry": "2027-07-01, in 273 days",
        "token": "accepted in the form",
        "identity": f"{source.qmlativ.code} {source.qmlativ.name}",
        "entities": steps["entities"].outcome,
        "school years": "2026-2027 current; 2027-2028 upcoming; 2025-2026 before",
        "fields": "all 105 granted",
        "objects": "all 20 answer",
        "rows": "counted just now",
    }
    assert [step["name"] for step in found.facts()["steps"]] == list(steps)
    assert rows_of(found)["Demographics/Name (IsStudentName)"] == 30
    assert rows_of(found)["Student/Student"] == 90  # of three school years
    assert source.registry.get("grand-bend").qmlativ_code == source.qmlativ.code


def test_no_student_is_read(source):
    """Only keys where rows are counted, and one row of each object. Enrollments are counted per entity."""
    source.verify()
    lists = source.server.traffic.requests(kind="list")
    counted = ["EntryWithdrawalID", "StudentID", "EntityID"]
    named = [entry for entry in lists if len(entry.fields) > 1 and list(entry.fields) != counted]
    assert named
    assert all(asked.size == 1 for asked in named if asked.object not in CODES)


def test_what_answers_in_the_place_of_qmlativ_is_told_apart_from_the_token(source):
    source.server.faults.add(kind="metadata", status=404)
    name, outcome, next_step = source.failure()
    assert (name, outcome) == ("identity", "not found (HTTP 404)")
    assert next_step.startswith("check the API Base URL; ")


def test_the_districts_own_entity_must_be_granted(source):
    source.qmlativ.denied_entities.add(1)
    name, outcome, next_step = source.failure()
    assert name == "entities"
    assert outcome.endswith("the district's entity is not granted")
    assert "Custom API Entities" in next_step


def test_a_district_without_a_secret_is_not_ready_and_says_what_to_do(source):
    _, outcome, next_step = source.failure(client_secret=None)
    assert outcome == "awaiting secret"
    assert next_step.endswith("samegoal-pipelines districts set-secret grand-bend")


def test_an_object_that_does_not_answer_tonight_is_named(source):
    source.server.faults.add(object="Demographics/NamePhone", kind="list", status=400)
    _, steps = source.verify()
    assert steps["objects"].state == "failed"
    assert steps["objects"].outcome.startswith("Demographics/NamePhone, page 1: ")


def test_the_entity_that_is_read_and_the_others_are_told_apart(source):
    source.qmlativ.denied_entities.add(3)
    found, steps = source.verify()
    names = source.names()
    assert steps["entities"].outcome.startswith(f"read as 1 {names[1]}; also granted: 2 {names[2]}, 4 ")
    assert steps["entities"].outcome.endswith(f"; not granted: 3 {names[3]}")
    assert found.ok


def test_enrollments_and_students_are_counted_per_entity(source):
    source.qmlativ.grant_entities(1, 2)
    found, steps = source.verify(source.register(entities="granted"))
    years = sorted(each["SchoolYearID"] for each in source.qmlativ.rows("District/SchoolYear"))
    rows = source.qmlativ.rows("Enrollment/EntryWithdrawal")
    rows = [row for row in rows if row["SchoolYearID"] in years[-3:]]
    for entity in range(1, 7):
        students = [row["StudentID"] for row in rows if row["EntityID"] == entity]
        (each,) = (each for each in found.entities if each.entity_id == entity)
        assert (each.enrollments, each.students) == (len(students), len({*students}))
    assert [each.entity_id for each in found.entities if each.granted and each.included] == [1, 2]
    assert steps["rows"].state == "warning"
    assert "entities that are not granted: 3 " in steps["rows"].outcome
    assert "--entities" in steps["rows"].next_step
    assert found.facts()["entities"][0]["name"] == source.qmlativ.name


def test_a_chosen_entity_that_is_not_granted_is_named(source):
    source.qmlativ.grant_entities(1, 2)
    found, steps = source.verify(source.register(entities="2,3"))
    assert steps["entities"].state == "failed"
    assert steps["entities"].outcome.endswith(f"not granted (any more): 3 {source.names()[3]}")
    assert "Custom API Entities" in steps["entities"].next_step
    assert [each.entity_id for each in found.entities if each.included] == [2, 3]


def test_a_required_field_that_is_not_granted_is_named(source):
    source.qmlativ.denied_fields |= {"Student/Student.StudentNumber", "Student/Student.Grade"}
    source.qmlativ.denied_fields |= {"Demographics/Name.IsHispanic"}
    found, steps = source.verify()
    assert steps["fields"].state == "failed"
    assert steps["fields"].outcome == "Student/Student.StudentNumber, Student/Student.Grade not granted"
    assert steps["fields"].next_step == "grant it in the Integration Access in Qmlativ"
    assert [(each.field, each.required) for each in found.missing] == [
        ("Student/Student.StudentNumber", True),
        ("Student/Student.Grade", True),
        ("Demographics/Name.IsHispanic", False),
    ]
    assert not {"objects", "rows"} & steps.keys()


def test_what_each_missing_field_costs_is_told(source):
    source.qmlativ.denied_fields |= OPTIONAL_FIELDS
    found, steps = source.verify()
    assert (found.ok, found.state) == (True, "warning")
    assert (steps["fields"].state, steps["fields"].outcome) == ("warning", "10 of 105 not granted")
    costs = {each.field: each.cost for each in found.missing}
    assert costs["Demographics/Name.IsHispanic"] == "empty: student_demographics.is_hispanic"
    assert costs["Student/Student.LanguageIDPrimary"] == "empty: student_demographics.home_language"
    cost = costs["Family/StudentGuardian.HasActiveRestrictedAccess"]
    assert "which parents are under active restricted access" in cost
    granted = {each.name: (each.granted, each.fields) for each in found.objects}
    assert granted["Student/Student"] == (5, 7)
    assert granted["Demographics/Zip"] == (4, 4)


def flag(source: Source, *current: str, without: str = "") -> None:
    years = [year for year in source.qmlativ.rows("District/SchoolYear") if year["Description"] != without]
    for year in years:
        year["IsCurrentYearForProvidedEntity"] = year["Description"] in current
    source.qmlativ.replace_rows("District/SchoolYear", years)


@pytest.mark.parametrize("current", [["2025-2026", "2026-2027"], []])
def test_two_or_no_current_school_years_are_a_failure(source, current):
    flag(source, *current)
    _, steps = source.verify()
    assert (steps["school years"].state, steps["school years"].outcome) == (
        "failed",
        "District/SchoolYear: not exactly one school year is flagged as current",
    )
    assert "in Qmlativ" in steps["school years"].next_step
    assert "fields" in steps
    assert "rows" not in steps


def test_a_year_before_that_is_missing_is_a_warning(source):
    flag(source, "2026-2027", without="2025-2026")
    _, steps = source.verify()
    assert steps["school years"].state == "warning"
    assert steps["school years"].outcome == "2026-2027 current; 2027-2028 upcoming; none before"


def test_an_entity_without_students_is_a_warning(source):
    source.qmlativ.replace_rows("Student/Student", [])
    _, steps = source.verify()
    assert steps["objects"].state == "warning"
    assert steps["objects"].outcome == "all 20 answer; no rows yet of Student/Student"


def landing_with(folder: Path, night: date, **arrived: dict[str, int]) -> Landing:
    """A landing in which this came."""
    landing = Landing(str(folder))
    for asset, listings in arrived.items():
        reads = with_declared_columns(asset, "Reads", {"Object": ["all"], "Arrived": [json.dumps(listings)]})
        landed_at = datetime(2026, 10, 1, tzinfo=UTC)
        landing.write(LandedAsset("grand-bend", night, "run", asset, landed_at), {"Reads": reads})
    return landing


def test_after_a_night_its_rows_are_told_and_none_is_counted(source, tmp_path):
    years = {"Student/Student?SchoolYearID=26": 5, "Student/Student?SchoolYearID=27": 6}
    landing = landing_with(
        tmp_path,
        date(2026, 9, 30),
        raw_students={**years, "Demographics/Zip": 3},
        raw_parents={"Demographics/Zip": 3, "Demographics/Name (IsGuardianName)": 9},
    )
    district = source.register()
    found, steps = source.verify(district, landing=landing)
    assert steps["rows"].outcome == "as they came on the night of 2026-09-30"
    rows = rows_of(found)
    assert rows["Student/Student"] == 11
    assert rows["Demographics/Zip"] == 3
    assert rows["Demographics/Name (IsGuardianName)"] == 9
    assert rows["Enrollment/School"] is None
    sizes = {entry.size for entry in source.server.traffic.requests(object="Student/Student", kind="list")}
    assert sizes == {1}

    found, _ = source.verify(district, landing=landing, count_rows=True)
    assert rows_of(found)["Student/Student"] == 90


def test_the_newest_night_that_landed_counts(tmp_path):
    for day in (28, 29, 30):
        landing_with(tmp_path, date(2026, 9, day), raw_students={"Demographics/Zip": day})
    landing = Landing(str(tmp_path))
    assert landed_rows(landing, "grand-bend", TODAY) == (date(2026, 9, 30), {"Demographics/Zip": 30})
    assert landed_rows(landing, "grand-bend", date(2026, 9, 29)) == (
        date(2026, 9, 29),
        {"Demographics/Zip": 29},
    )
    assert landed_rows(landing, "riverside", TODAY) is None


def test_landed_rows_that_are_damaged_are_the_outcome(source, tmp_path):
    class Damaged(Landing):
        def nights(self, *_: Any, **__: Any) -> Any:
            raise LandingError(
                "landed file Reads of raw_students is damaged", next_step="run the district again"
            )

    _, steps = source.verify(landing=Damaged(str(tmp_path / "landing")))
    assert (steps["rows"].outcome, steps["rows"].next_step) == (
        "landed file Reads of raw_students is damaged",
        "run the district again",
    )


def test_an_address_that_is_refused_says_what_to_do(source, warehouse, tmp_path):
    district = source.register()
    source.registry = Registry(warehouse, SecretCipher(tmp_path, None))
    found, _ = source.verify(district)
    assert found.steps[-1] == Step(
        "the API Base URL must start with https://",
        "check the API Base URL; to correct it: samegoal-pipelines districts set grand-bend --base-url …; "
        "a sandbox on this machine needs SAMEGOAL_ALLOW_LOCAL_SOURCES=1",
        "failed",
        "credentials",
    )


def test_the_expiry_is_told_in_time(source):
    source.server.faults.add(kind="token", status=400)  # so that nothing else is asked
    source.register()
    for expires, outcome, next_step in (
        ("unknown", "unknown", "samegoal-pipelines districts set grand-bend --expires"),
        (date(2026, 9, 30), "expired on 2026-09-30", "districts set grand-bend --expires"),
        (date(2026, 10, 1), "2026-10-01, today", "today"),
        (date(2026, 10, 2), "2026-10-02, in 1 day", "today"),
        (date(2026, 10, 8), "2026-10-08, in 7 days", "today"),
        (date(2026, 10, 9), "2026-10-09, in 8 days", "this week"),
        (date(2026, 10, 31), "2026-10-31, in 30 days", "this week"),
        (date(2026, 11, 30), "2026-11-30, in 60 days", "plan to have the district extend"),
        (date(2026, 12, 1), "2026-12-01, in 61 days", ""),
        ("never", "never", ""),
    ):
        district = source.registry.set("grand-bend", expires=expires)
        _, steps = source.verify(district)
        assert (steps["expiry"].state, steps["expiry"].outcome) == ("warning" if next_step else "ok", outcome)
        assert next_step in steps["expiry"].next_step
        assert bool(steps["expiry"].next_step) == bool(next_step)

    assumed = replace(district, expires=date(2026, 10, 21), expiration="assumed")
    _, steps = source.verify(assumed)
    assert steps["expiry"].outcome == "2026-10-21 (assumed), in 20 days"
    assert steps["expiry"].next_step.startswith(
        "the date is assumed: record the expiration that Qmlativ shows: samegoal-pipelines districts set "
        "grand-bend --expires DATE (or never, if the district deleted it); ask the district this week"
    )
