"""Which fields are not granted, which were lost, and what that costs."""

import json

import pandas as pd
import pytest

from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.transforms.reads import find_missing_fields
from samegoal_pipelines_tests.transforms.builders import table

RACE = "student_demographics.is_hispanic"
LANGUAGE = "student_demographics.home_language"
RESTRICTED = "parent_demographics.has_restricted_access"
COURSE = "IsCrossEntityCourseEnrollment"


def reads(**missing: list[str]) -> pd.DataFrame:
    """A table of reads: object → the optional fields that were refused, all others being granted."""
    optional = {
        "EntryWithdrawal": [COURSE],
        "Student": ["LanguageIDPrimary", "LanguageIDNative"],
        "Name": ["IsHispanic", "IsWhite"],
        "StudentGuardian": ["HasActiveRestrictedAccess"],
    }
    rows = []
    for name, fields in optional.items():
        refused = missing.get(name, [])
        granted = [field for field in fields if field not in refused]
        rows.append({"Object": name, "Fields": json.dumps(granted), "Missing": json.dumps(refused)})
    return table(READS, rows)


@pytest.mark.parametrize(
    ("field", "empty", "poorer", "cost"),
    [
        ("raw_students.Name.IsHispanic", (RACE,), (), f"empty: {RACE}"),
        ("raw_students.Student.LanguageIDPrimary", (), (LANGUAGE,), f"one source less: {LANGUAGE}"),
        (
            "raw_parents.StudentGuardian.HasActiveRestrictedAccess",
            *((RESTRICTED,), ()),
            f"empty: {RESTRICTED}; it is unknown which parents are under active restricted access",
        ),
        (
            f"raw_enrollments.EntryWithdrawal.{COURSE}",
            *((), ()),
            "no published column; course enrollments without the code CECS go unnoticed",
        ),
    ],
)
def test_a_missing_field_names_the_columns_it_costs(field, empty, poorer, cost):
    asset, name, column = field.split(".")
    (found,) = find_missing_fields(asset, reads(**{name: [column]}))
    assert found == (field, False, empty, poorer)
    assert (found.label, found.cost) == (f"{name}.{column}", cost)


def test_a_column_with_two_sources_is_empty_without_both_and_no_field_is_missing_if_all_are_granted():
    both = find_missing_fields("raw_students", reads(Student=["LanguageIDPrimary", "LanguageIDNative"]))
    assert [each.empty for each in both] == [(LANGUAGE,)] * 2
    assert find_missing_fields("raw_students", reads()) == ()


def test_a_field_that_was_there_last_night_is_lost_and_comes_first():
    tonight, last = reads(Name=["IsHispanic", "IsWhite"]), reads(Name=["IsHispanic"])
    found = find_missing_fields("raw_students", tonight, last)
    assert [(each.label, each.lost) for each in found] == [("Name.IsWhite", True), ("Name.IsHispanic", False)]
