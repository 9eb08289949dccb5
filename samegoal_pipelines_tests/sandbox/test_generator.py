"""Synthetic districts: a seed always gives the same one, it resembles a real one, and nights change it."""

import hashlib
import re
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from functools import cache

import pandas as pd
import pytest

from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict
from samegoal_pipelines.sandbox.district import FIELDS
from samegoal_pipelines.sandbox.generate import town_name

TODAY = AUTUMN = date(2026, 10, 5)
SPRING, SUMMER, AUGUST = date(2027, 4, 1), date(2027, 6, 15), date(2026, 7, 20)
STUDENTS = 3000
ENROLLMENTS, RECORDS, NAMES = "Enrollment/EntryWithdrawal", "Student/Student", "Demographics/Name"
PHONES, LINKS, GUARDIANS = "Demographics/NamePhone", "Demographics/NameAddress", "Family/StudentGuardian"


@cache
def town(today: date = TODAY, night: int = 0) -> SandboxDistrict:
    return Sandbox.generate(1, STUDENTS, seed=7, today=today, night=night).districts[0]


def frame(district: SandboxDistrict, name: str) -> pd.DataFrame:
    """The rows of an object, with dates as timestamps."""
    rows = pd.DataFrame(district.tables[name], columns=list(FIELDS[name]), dtype=object).convert_dtypes()
    days = [column for column, kind in FIELDS[name].items() if kind == "date"]
    return rows.assign(**{column: pd.to_datetime(rows[column]) for column in days})


def enrollments(district: SandboxDistrict) -> pd.DataFrame:
    codes = frame(district, "Enrollment/WithdrawalCode")
    rows = frame(district, ENROLLMENTS)
    return rows.merge(codes, how="left", on=["WithdrawalCodeID", "SchoolYearID"], validate="many_to_one")


def digest(sandbox: Sandbox) -> str:
    """A fingerprint of all districts and their rows."""
    tables = [district.tables for district in sandbox.districts]
    return hashlib.sha256(repr((sandbox.districts, tables)).encode()).hexdigest()


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
    assert len(district.tables[RECORDS]) >= students
    for name, fields in FIELDS.items():
        assert {tuple(row) for row in district.tables[name]} <= {tuple(fields)}, name


def test_keys_are_unique_and_references_lead_somewhere():
    keys = {next(iter(fields)): name for name, fields in FIELDS.items()}
    for name, (key, *columns) in FIELDS.items():
        rows = frame(town(), name)
        assert not rows.duplicated([key, *(["SchoolYearID"] if name == "Enrollment/School" else [])]).any()
        for column in columns:
            referred = re.sub("(Primary|Native|Guardian)$", "", column)
            if referred in keys:
                values = set(rows[column].dropna())
                assert values, f"{name}.{column}"
                assert values <= set(frame(town(), keys[referred])[referred]), f"{name}.{column}"
    rows = enrollments(town())
    assert (rows["Code"].isna() == rows["WithdrawalCodeID"].isna()).all(), "each code is of the row's year"


def test_siblings_share_guardians_and_homes():
    links = frame(town(), GUARDIANS)
    assert (links.groupby("NameIDGuardian")["StudentID"].nunique() > 1).mean() > 0.2
    per_student = links.groupby("StudentID").size()
    assert set(per_student) >= {1, 2, 3}
    assert len(per_student) == STUDENTS
    name = frame(town(), RECORDS).set_index("StudentID")["NameID"]
    home = frame(town(), LINKS).query("IsPhysical").set_index("NameID")["AddressID"]
    together = links["StudentID"].map(name).map(home) == links["NameIDGuardian"].map(home)
    assert together[links["RelationshipID"] == 1].all(), "mothers"
    assert 0.5 < together[links["RelationshipID"] == 2].mean() < 0.95, "some fathers live elsewhere"


def test_people_are_as_varied_and_their_data_as_patchy_as_real_ones():
    names, phones, records = (frame(town(), name) for name in (NAMES, PHONES, RECORDS))
    students, guardians = names[names["IsStudentName"]], names[names["IsGuardianName"]]
    others = names[~names["IsStudentName"] & ~names["IsGuardianName"]]
    mails, addresses = frame(town(), "Demographics/NameEmail"), frame(town(), "Demographics/Address")
    restricted = frame(town(), GUARDIANS)["HasActiveRestrictedAccess"]
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
    assert students[["IsHispanic", "IsWhite", "IsBlack", "IsAsian", "IsAlaskan", "IsHawaiian"]].any().all()
    age = 2026 - students.set_index("NameID")["BirthDate"].dt.year
    assert (age - records.set_index("NameID")["GradeNumeric"]).between(5, 6).all()
    ranks = phones.groupby("NameID")["Rank"].agg(["min", "max", "nunique"])
    assert (ranks["min"] == 1).all()
    assert (ranks["max"] == ranks["nunique"]).all()
    street = addresses["StreetNumberAndNameIncludeSecondaryUnit"]
    assert (street.isna() == addresses["POBox"].notna()).all()
    assert records["StudentNumber"].str.fullmatch(r"\d{6}").all()
    assert records["StudentNumber"].str.startswith("0").any()
    assert records["StudentNumber"].is_unique
    assert phones["PhoneNumber"].str.slice(3, 6).eq("555").all(), "fictional"
    assert mails["EmailAddress"].str.contains(r"@(?:example\.(?:com|net|org)|[a-z.-]+\.example)$").all()


def test_every_kind_of_enrollment_that_the_rules_name_is_there_in_autumn():
    rows, today = enrollments(town()), pd.Timestamp(TODAY)
    start, end, year, code = rows["StartDate"], rows["EndDate"], rows["SchoolYearID"], rows["Code"].fillna("")
    year_ago, cecs, coded = today - timedelta(days=365), code == "CECS", code != ""
    home, course = rows["IsDefaultEntity"], rows["IsCrossEntityCourseEnrollment"]
    is_open = end.isna() & rows["WithdrawalDate"].isna()
    kinds = {
        "current": is_open & (year == 27) & (start <= today) & ~cecs,
        "upcoming": start > today,
        "graduated": (code == "01") & (end >= year_ago),
        "withdrawn within the year": coded & ~cecs & (end >= year_ago),
        "withdrawn this year": coded & (end >= pd.Timestamp(2026, 8, 12)),
        "withdrawn long ago": end < year_ago,
        "never closed": is_open & (year < 27) & ~cecs,
        "course elsewhere": cecs & course & ~home,
        "course without the code": course & ~coded,
        "planned withdrawal": end > today,
        "never effective": end < start,
        "one day": end == start,
        "withdrawal date only": end.isna() & rows["WithdrawalDate"].notna(),
        "beside the home campus": ~home & ~cecs,
        "moved to another campus": (code == "33") & home & (end - start > timedelta(days=30)),
        "left without a code": end.notna() & ~coded & (year == 26),
    }
    counts = {kind: int(mask.sum()) for kind, mask in kinds.items()}
    assert min(counts.values()) > 0, counts
    assert counts["current"] > 0.75 * STUDENTS
    assert counts["never effective"] < 0.01 * len(rows)
    assert set(frame(town(), RECORDS)["StudentID"]) == set(rows["StudentID"])
    assert 0 < cecs.groupby(rows["StudentID"]).all().mean() < 0.01, "some have nothing but a course"


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
    rows, day = enrollments(town(today)), pd.Timestamp(today)
    rows = rows[(rows["Code"] != "CECS").fillna(True)]
    start, end, year = (
        rows["StartDate"],
        rows["EndDate"].fillna(pd.Timestamp(2999, 1, 1)),
        rows["SchoolYearID"],
    )
    old = year < (28 if today == SUMMER else 27)  # was never closed
    flags = {
        "current": (start <= day) & (end >= day) & ~old,
        "upcoming": start > day,
        "past": (end < day) & (end >= start),
        "next year": year == 28,
        "graduated": (rows["Code"] == "01") & (end > day - timedelta(days=60)),
    }
    by = pd.DataFrame(flags).fillna(False).groupby(rows["StudentID"]).any()
    by["between"] = ~by["current"] & by["upcoming"] & by["past"]
    by["first"] = ~by["current"] & by["upcoming"] & ~by["past"]
    for kind, (low, high) in expected.items():
        assert low <= by[kind].sum() / STUDENTS <= high, kind


def test_a_week_later_only_that_weeks_changes_show():
    """Only what happened in the week differs, and ids keep their meaning."""
    first, second = town(), town(TODAY + timedelta(days=7))
    for name in FIELDS.keys() - {ENROLLMENTS}:
        assert first.tables[name] == second.tables[name], name
    rows = [Counter(map(str, each.tables[ENROLLMENTS])) for each in (first, second)]
    assert 0 < sum((rows[1] - rows[0]).values()) < 0.02 * STUDENTS


def test_the_same_students_can_be_had_on_both_sides_of_1_july():
    before, after = (
        Sandbox.generate(1, 200, today=day, school_year=26).districts[0]
        for day in (date(2026, 6, 30), date(2026, 7, 1))
    )
    assert before.tables[NAMES] == after.tables[NAMES]
    assert [each.current_year_id() for each in (before, after)] == [26, 27]
    grades = [frame(each, RECORDS)["GradeNumeric"] for each in (before, after)]
    assert (grades[0] + 1 == grades[1]).all()


# -- from night to night --


def changes(before: SandboxDistrict, after: SandboxDistrict, name: str) -> list[set[str]]:
    """The columns that changed, for each row that did. Every row of `before` must still be there."""
    key = next(iter(FIELDS[name]))
    later = {row[key]: row for row in after.tables[name]}
    both = [(row, later[row[key]]) for row in before.tables[name]]
    return [{column for column in was if was[column] != now[column]} for was, now in both if was != now]


def newcomers(district: SandboxDistrict) -> list[dict[str, object]]:
    """The enrollments of students that a night added."""
    return [row for row in district.tables[ENROLLMENTS] if row["StudentID"] >= 50_000_000]


def test_a_night_keeps_every_row_and_changes_about_one_student_in_two_hundred():
    before, after = town(), town(night=1)
    objects = FIELDS.keys() - {"Enrollment/School"}  # its ids come once a year
    columns = {name: set().union(*changes(before, after, name)) for name in objects}
    assert {name: changed for name, changed in columns.items() if changed} == {
        ENROLLMENTS: {"EndDate", "WithdrawalDate", "WithdrawalCodeID"},
        RECORDS: {"Grade", "GradeNumeric"},
        PHONES: {"PhoneNumber", "FormattedPhoneNumber"},
        LINKS: {"AddressID"},
    }
    added = sum(
        len(after.tables[name]) - len(before.tables[name]) for name in (RECORDS, "Demographics/Address")
    )
    edited = sum(len(changes(before, after, name)) for name in (ENROLLMENTS, RECORDS, PHONES))
    assert 0.002 * STUDENTS < added + edited < 0.02 * STUDENTS


def test_some_enroll_with_a_family_a_home_and_a_school():
    before, after = town(), town(night=1)
    new = set(frame(after, RECORDS)["StudentID"]) - set(frame(before, RECORDS)["StudentID"])
    assert new == {row["StudentID"] for row in newcomers(after)}
    expected = {"StartDate": "2026-10-05T00:00:00", "EndDate": None, "SchoolYearID": 27}
    assert all(row | expected == row for row in newcomers(after))
    names = set(frame(after, RECORDS).query("StudentID in @new")["NameID"])
    assert frame(after, NAMES).query("NameID in @names")["IsStudentName"].tolist() == [True] * len(new)
    guardians = frame(after, GUARDIANS).query("StudentID in @new")
    assert set(guardians["StudentID"]) == new
    assert guardians["NameIDGuardian"].isin(frame(before, NAMES)["NameID"]).all()
    assert names <= set(frame(after, LINKS)["NameID"])


def test_a_later_night_holds_what_earlier_ones_did():
    """Night 3 on 7 October has the newcomers of night 2 on 6 October, with the same first day."""
    district = Sandbox.generate(1, 100, today=TODAY, night=40).districts[0]
    assert 100 < len(district.tables[RECORDS]) < 200
    second, third = town(TODAY + timedelta(days=1), 2), town(TODAY + timedelta(days=2), 3)
    for name in (RECORDS, NAMES, PHONES):
        assert len(changes(second, third, name)) < 0.005 * STUDENTS
    started = [{row["StudentID"]: row["StartDate"] for row in newcomers(each)} for each in (second, third)]
    assert started[0].items() <= started[1].items()


@pytest.mark.parametrize(("today", "first_day"), [(SUMMER, "2027-08-12"), (AUGUST, "2026-08-12")])
def test_in_summer_newcomers_enroll_for_the_coming_year(today, first_day):
    assert {row["StartDate"] for row in newcomers(town(today, 1))} == {f"{first_day}T00:00:00"}
