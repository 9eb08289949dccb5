"""Synthetic districts: the same seed gives the same district, and it resembles a real one."""

import hashlib
import re
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta

import pandas as pd
import pytest

from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict
from samegoal_pipelines.sandbox.generate import town_name
from samegoal_pipelines.sandbox.objects import SCHEMAS
from samegoal_pipelines_tests.sandbox.caller import ENROLLMENTS

TODAY = date(2026, 10, 5)
STUDENTS = 3000
AUTUMN, SPRING, SUMMER, AUGUST = date(2026, 10, 5), date(2027, 4, 1), date(2027, 6, 15), date(2026, 7, 20)


def digest(sandbox: Sandbox) -> str:
    """A fingerprint of all districts and their rows."""
    rows = [[each.to_pylist() for each in district.tables.values()] for district in sandbox.districts]
    return hashlib.sha256(repr((sandbox.districts, rows)).encode()).hexdigest()


@pytest.fixture(scope="module")
def town() -> SandboxDistrict:
    return Sandbox.generate(1, STUDENTS, seed=7, today=TODAY).districts[0]


def frame(district: SandboxDistrict, name: str) -> pd.DataFrame:
    return district.tables[name].to_pandas(types_mapper=pd.ArrowDtype)


def enrollments(today: date, students: int = STUDENTS) -> pd.DataFrame:
    """Enrollments with their codes, as of a day."""
    district = Sandbox.generate(1, students, seed=7, today=today).districts[0]
    codes = frame(district, "Enrollment/WithdrawalCode")[["WithdrawalCodeID", "Code"]]
    return frame(district, ENROLLMENTS).merge(codes, how="left", validate="many_to_one")


def test_the_same_seed_day_and_night_give_the_same_districts_in_another_process():
    arguments = "3, [300, 40, 7], seed=5, today=date(2026, 10, 5), night=2"
    script = f"from {__name__} import *; print(digest(Sandbox.generate({arguments})))"
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert there.strip() == digest(Sandbox.generate(3, [300, 40, 7], seed=5, today=TODAY, night=2))
    assert digest(Sandbox.generate(1, 50, 1, TODAY)) != digest(Sandbox.generate(1, 50, 2, TODAY))


def test_there_may_be_any_number_of_districts_and_they_differ():
    districts = Sandbox.generate(30, 0, today=TODAY).districts
    for trait in ("id", "name", "code", "base_path", "client_key", "client_secret"):
        assert len({getattr(district, trait) for district in districts}) == 30, trait
    assert len({town_name(number) for number in range(5000)}) == 5000


@pytest.mark.parametrize("students", [0, 1, 2, 9, 60])
@pytest.mark.parametrize("today", [AUTUMN, SUMMER, date(2028, 2, 29)])
def test_a_district_of_any_size_on_any_day_can_be_served(students, today):
    (district,) = Sandbox.generate(1, students, today=today, night=3).districts
    assert district.tables["Student/Student"].num_rows >= students
    for name, schema in SCHEMAS.items():
        assert district.tables[name].schema == schema, name


def test_keys_are_unique_and_references_lead_somewhere(town):
    for name, schema in SCHEMAS.items():
        year = ["SchoolYearID"] if name == "Enrollment/School" else []
        assert not frame(town, name).duplicated([schema.names[0], *year]).any(), name
    keys = {schema.names[0]: name for name, schema in SCHEMAS.items()}
    for name, schema in SCHEMAS.items():
        for column in schema.names[1:]:
            target = keys.get(re.sub("(Primary|Native|Guardian)$", "", column))
            if target:
                key = SCHEMAS[target].names[0]
                values = set(frame(town, name)[column].dropna())
                assert values, f"{name}.{column}"
                assert values <= set(frame(town, target)[key]), f"{name}.{column}"
    codes = frame(town, "Enrollment/WithdrawalCode")[["WithdrawalCodeID", "SchoolYearID"]]
    both = frame(town, ENROLLMENTS).merge(codes, on="WithdrawalCodeID", suffixes=("", "OfCode"))
    assert (both["SchoolYearID"] == both["SchoolYearIDOfCode"]).all()


def test_siblings_share_guardians_and_homes(town):
    links = frame(town, "Family/StudentGuardian")
    by_guardian = links.groupby("NameIDGuardian")["StudentID"].nunique()
    assert (by_guardian > 1).mean() > 0.2
    per_student = links.groupby("StudentID").size()
    assert set(per_student) >= {1, 2, 3}
    assert len(per_student) == STUDENTS
    name = frame(town, "Student/Student").set_index("StudentID")["NameID"]
    home = frame(town, "Demographics/NameAddress").query("IsPhysical").set_index("NameID")["AddressID"]
    mothers = links[links["RelationshipID"] == 1]
    assert (mothers["StudentID"].map(name).map(home) == mothers["NameIDGuardian"].map(home)).all()
    fathers = links[(links["RelationshipID"] == 2)]
    elsewhere = fathers["StudentID"].map(name).map(home) != fathers["NameIDGuardian"].map(home)
    assert 0.05 < elsewhere.mean() < 0.5, "some parents have another household"


def test_people_are_as_varied_and_their_data_as_patchy_as_real_ones(town):
    names, phones = frame(town, "Demographics/Name"), frame(town, "Demographics/NamePhone")
    students, guardians = names[names["IsStudentName"]], names[names["IsGuardianName"]]
    others = names[~names["IsStudentName"] & ~names["IsGuardianName"]]
    mails, addresses = frame(town, "Demographics/NameEmail"), frame(town, "Demographics/Address")
    street = addresses["StreetNumberAndNameIncludeSecondaryUnit"]
    records = frame(town, "Student/Student")
    restricted = frame(town, "Family/StudentGuardian")["HasActiveRestrictedAccess"]
    shares = {
        "guardians with an e-mail address": (guardians["NameID"].isin(mails["NameID"]), 0.7, 0.95),
        "persons with several phones": (phones.groupby("NameID").size() > 1, 0.05, 0.6),
        "confidential phones": (phones["IsConfidential"], 0.005, 0.1),
        "phones with an extension": (phones["Extension"].notna(), 0.001, 0.3),
        "addresses with ZIP+4": (addresses["ZipCodeAddOn"].notna(), 0.1, 0.9),
        "PO boxes": (addresses["POBox"].notna(), 0.001, 0.3),
        "students without a middle name": (students["MiddleName"].isna(), 0.1, 0.4),
        "another legal first name": (students["FirstName"] != students["FirstNameLegal"], 0.005, 0.1),
        "several races": (students["Race"] == "Two or More Races", 0.01, 0.3),
        "suffixes": (students["NameSuffixID"].notna(), 0.005, 0.1),
        "staff with a phone": (others["NameID"].isin(phones["NameID"]), 0.3, 1),
        "restricted guardians": (restricted, 0.0001, 0.02),
        "guardians of unknown restriction": (restricted.isna(), 0.0001, 0.01),
        "students without a state id": (records["CalculatedStudentStateID"].isna(), 0, 0.02),
    }
    for kind, (mask, low, high) in shares.items():
        assert low <= mask.mean() <= high, kind
    for pattern in ("'", "-", " ", "[áéíóúñ]", "^de "):
        assert students["LastName"].str.contains(pattern).any(), pattern
    assert set(students["Gender"]) == {"Male", "Female"}
    flags = students[["IsHispanic", "IsWhite", "IsBlack", "IsAsian", "IsAlaskan", "IsHawaiian"]]
    assert flags.any().all()
    age = 2026 - students.set_index("NameID")["BirthDate"].dt.year
    assert (age - records.set_index("NameID")["GradeNumeric"]).between(5, 6).all()
    ranks = phones.groupby("NameID")["Rank"].agg(["min", "max", "nunique"])
    assert (ranks["min"] == 1).all()
    assert (ranks["max"] == ranks["nunique"]).all()
    assert (street.isna() == addresses["POBox"].notna()).all()
    assert records["StudentNumber"].str.fullmatch(r"\d{6}").all()
    assert records["StudentNumber"].str.startswith("0").any()
    assert records["StudentNumber"].is_unique
    assert phones["PhoneNumber"].str.slice(3, 6).eq("555").all(), "fictional"
    assert mails["EmailAddress"].str.contains(r"@(?:example\.(?:com|net|org)|[a-z.-]+\.example)$").all()


def test_every_kind_of_enrollment_that_the_rules_name_is_there_in_autumn(town):
    rows = enrollments(AUTUMN)
    today = pd.Timestamp(AUTUMN).date()
    year_ago = today - timedelta(days=365)
    ended = rows["EndDate"].notna()
    cecs, code = (rows["Code"] == "CECS").fillna(False), rows["Code"]
    open_ended = rows["EndDate"].isna() & rows["WithdrawalDate"].isna()
    days = (pd.to_datetime(rows["EndDate"]) - pd.to_datetime(rows["StartDate"])).dt.days
    kinds = {
        "current": open_ended & (rows["SchoolYearID"] == 27) & (rows["StartDate"] <= today) & ~cecs,
        "upcoming": rows["StartDate"] > today,
        "graduated": ended & (code == "01") & (rows["EndDate"] >= year_ago),
        "withdrawn within the year": ended & code.notna() & ~cecs & (rows["EndDate"] >= year_ago),
        "withdrawn this year": ended & code.notna() & (rows["EndDate"] >= date(2026, 8, 12)),
        "withdrawn long ago": ended & (rows["EndDate"] < year_ago),
        "never closed": open_ended & (rows["SchoolYearID"] < 27) & ~cecs,
        "course elsewhere": cecs & rows["IsCrossEntityCourseEnrollment"] & ~rows["IsDefaultEntity"],
        "course without the code": rows["IsCrossEntityCourseEnrollment"] & code.isna(),
        "planned withdrawal": ended & (rows["EndDate"] > today),
        "never effective": ended & (rows["EndDate"] < rows["StartDate"]),
        "no-show": rows["EndDate"] == rows["StartDate"],
        "withdrawal date only": rows["EndDate"].isna() & rows["WithdrawalDate"].notna(),
        "beside the home campus": ~rows["IsDefaultEntity"] & ~cecs,
        "moved to another campus": (code == "33") & rows["IsDefaultEntity"] & (days > 30),
        "left without a code": ended & code.isna() & (rows["SchoolYearID"] == 26),
    }
    counts = {kind: int(mask.fillna(False).sum()) for kind, mask in kinds.items()}
    assert min(counts.values()) > 0, counts
    assert counts["current"] > 0.75 * STUDENTS
    assert set(frame(town, "Student/Student")["StudentID"]) == set(rows["StudentID"])
    assert counts["never effective"] < 0.01 * len(rows)
    by_student = rows.assign(cecs=cecs).groupby("StudentID")["cecs"].all()
    assert by_student.any(), "some have nothing but a course"
    assert by_student.mean() < 0.01


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (AUTUMN, {"current": (0.8, 0.95), "between": (0, 0.02)}),
        (SPRING, {"current": (0.8, 0.95), "next year": (0.5, 0.95)}),
        (SUMMER, {"current": (0, 0.01), "between": (0.6, 0.9), "graduated": (0.04, 0.09)}),
        (AUGUST, {"current": (0, 0.01), "between": (0.6, 0.9), "first": (0.08, 0.25)}),
    ],
)
def test_proportions_follow_the_season(today, expected):
    """In summer students are between two enrollments; next year's exist from spring on."""
    rows = enrollments(today)
    rows = rows[(rows["Code"] != "CECS").fillna(True)]
    start, end = rows["StartDate"], rows["EndDate"].fillna(date(2999, 1, 1))
    year = rows["SchoolYearID"]
    flags = pd.DataFrame(
        {
            "StudentID": rows["StudentID"],
            "current": (start <= today) & (end >= today) & (year >= (27 if today < SUMMER else 28)),
            "upcoming": start > today,
            "past": (end < today) & (end >= start),
            "next year": year == 28,
            "graduated": (rows["Code"] == "01") & (end > today - timedelta(days=60)),
        }
    )
    by = flags.groupby("StudentID").any()
    by["between"] = ~by["current"] & by["upcoming"] & by["past"]
    by["first"] = ~by["current"] & by["upcoming"] & ~by["past"]
    if today in (SUMMER, AUGUST):
        by["current"] &= False
    for kind, (low, high) in expected.items():
        assert low <= by[kind].sum() / STUDENTS <= high, kind


def test_a_week_later_only_that_weeks_changes_show():
    """Only what happened in the week differs, and ids keep their meaning."""
    first, second = (
        Sandbox.generate(1, STUDENTS, seed=7, today=TODAY + timedelta(days=days)).districts[0]
        for days in (0, 7)
    )
    for name in SCHEMAS:
        if name != ENROLLMENTS:
            assert first.tables[name].equals(second.tables[name]), name
    rows = [Counter(map(tuple, frame(each, ENROLLMENTS).astype(str).to_numpy())) for each in (first, second)]
    changed = sum((rows[1] - rows[0]).values())
    assert 0 < changed < 0.02 * STUDENTS


def test_the_same_students_can_be_had_on_both_sides_of_1_july():
    before, after = (
        Sandbox.generate(1, 200, today=day, school_year=26).districts[0]
        for day in (date(2026, 6, 30), date(2026, 7, 1))
    )
    assert before.tables["Demographics/Name"].equals(after.tables["Demographics/Name"])
    assert before.current_year_id() == 26
    assert after.current_year_id() == 27
    grades = [frame(each, "Student/Student")["GradeNumeric"] for each in (before, after)]
    assert (grades[0] + 1 == grades[1]).all()
