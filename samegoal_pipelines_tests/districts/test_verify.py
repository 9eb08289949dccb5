"""What `districts verify` tells a person, asked of a sandbox Qmlativ over a real socket."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

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
    facts: dict[str, Any] = field(default_factory=dict)
    """How it is registered."""

    def register(self, **facts: Any) -> District:
        known = {"client_secret": self.qmlativ.client_secret, "expires": date(2027, 7, 1)} | self.facts
        return self.registry.add(
            id="grand-bend",
            name="Grand Bend ISD",
            base_url=self.server.base_url(self.qmlativ),
            client_key=self.qmlativ.client_key,
            **known | facts,
        )

    def verify(self, district: District | None = None, **how: Any) -> tuple[Verification, dict[str, Step]]:
        how = {"today": TODAY, "landing": self.landing} | how
        found = verify(self.registry, district or self.register(), **how)
        assert found.ok == all(step.state != "failed" for step in found.steps)
        return found, {step.name: step for step in found.steps}

    def fault(self, kind: str, status: int, **where: Any) -> None:
        self.server.faults.add(kind=kind, status=status, **where)

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


def flag_years(source: Source, *current: str, without: str = "") -> None:
    years = [year for year in source.qmlativ.rows("District/SchoolYear") if year["Description"] != without]
    for year in years:
        year["IsCurrentYearForProvidedEntity"] = year["Description"] in current
    source.qmlativ.replace_rows("District/SchoolYear", years)


def choose_entities(source: Source) -> None:
    source.qmlativ.grant_entities(1, 2)
    source.facts["entities"] = "2,3"


ONE_YEAR = "failed: District/SchoolYear: not exactly one school year is flagged as current"
WRONG: list[tuple[Callable[[Source], object], str, str, str]] = [
    (
        lambda one: one.facts.update(client_secret=None),
        "credentials",
        "failed: awaiting secret",
        "set-secret ",
    ),
    (
        lambda one: one.fault("metadata", 404),
        "identity",
        r"failed: not found \(HTTP 404\)",
        "^check the API Ba",
    ),
    (
        lambda one: one.qmlativ.denied_entities.add(1),
        *("entities", "failed: .*the district's entity is not granted", "Custom API Entities"),
    ),
    (choose_entities, "entities", r"failed: .*not granted \(any more\): 3 [^,;]+", "Custom API Entities"),
    (lambda one: flag_years(one, "2025-2026", "2026-2027"), "school years", ONE_YEAR, "in Qmlativ"),
    (flag_years, "school years", ONE_YEAR, "in Qmlativ"),
    (
        lambda one: flag_years(one, "2026-2027", without="2025-2026"),
        *("school years", "warning: 2026-2027 current; 2027-2028 upcoming; none before", "last year"),
    ),
    (
        lambda one: one.fault("list", 400, object="Demographics/NamePhone"),
        *("objects", "failed: Demographics/NamePhone, page 1: .*", ""),
    ),
    (
        lambda one: one.qmlativ.replace_rows("Student/Student", []),
        *("objects", "warning: all 20 answer; no rows yet of Student/Student", "the district's own"),
    ),
]


@pytest.mark.parametrize(("arrange", "name", "outcome", "next_step"), WRONG)
def test_what_is_wrong_is_named_with_what_to_do(source, arrange, name, outcome, next_step):
    arrange(source)
    found, steps = source.verify()
    assert re.fullmatch(outcome, f"{steps[name].state}: {steps[name].outcome}")
    assert re.search(next_step, steps[name].next_step)
    assert next(step for step in found.steps if step.state != "ok") is steps[name]
    if name in ("credentials", "identity", "entities"):  # nothing else can be asked
        assert found.steps[-1] is steps[name]
    if outcome is ONE_YEAR:
        assert "fields" in steps
        assert "rows" not in steps


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


def test_what_was_counted_before_an_object_failed_is_told(source):
    source.fault("list", 400, object="Family/StudentGuardian")
    found, steps = source.verify()
    assert steps["rows"].state == "failed"
    assert steps["rows"].outcome.startswith("Family/StudentGuardian")
    rows = rows_of(found)
    assert rows["Enrollment/EntryWithdrawal"]
    assert rows["Family/StudentGuardian"] is None


def test_the_newest_night_that_landed_counts(tmp_path):
    for day in (28, 29, 30):
        landing_with(tmp_path, date(2026, 9, day), raw_students={"Demographics/Zip": day})
    landing = Landing(str(tmp_path))
    for today, newest in ((TODAY, 30), (date(2026, 9, 29), 29)):
        rows = date(2026, 9, newest), {"Demographics/Zip": newest}
        assert landed_rows(landing, "grand-bend", today) == rows
    assert landed_rows(landing, "riverside", TODAY) is None


def test_landed_rows_that_are_damaged_are_the_outcome(source, monkeypatch):
    damage = LandingError("landed file Reads of raw_students is damaged", next_step="run the district again")
    monkeypatch.setattr(Landing, "nights", Mock(side_effect=damage))
    _, steps = source.verify()
    assert (steps["rows"].outcome, steps["rows"].next_step) == (damage.detail, damage.next_step)


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
