"""Which fields are not granted, which were lost, and what that costs."""

import json

import pandas as pd

from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.transforms.grants import find_missing_fields
from samegoal_pipelines_tests.transforms.builders import table


def reads(**missing: list[str]) -> pd.DataFrame:
    """A table of reads: object → the optional fields that were refused, all others being granted."""
    optional = {
        "EntryWithdrawal": ["IsCrossEntityCourseEnrollment"],
        "Student": ["LanguageIDPrimary", "LanguageIDNative"],
        "Name": ["IsHispanic", "IsWhite"],
        "StudentGuardian": ["HasActiveRestrictedAccess"],
    }
    return table(
        READS,
        [
            {
                "Object": name,
                "Fields": json.dumps([field for field in fields if field not in missing.get(name, ())]),
                "Missing": json.dumps(missing.get(name, [])),
            }
            for name, fields in optional.items()
        ],
    )


def test_where_everything_is_granted_nothing_is_found():
    assert find_missing_fields({"raw_students": reads()}, {}) == ()


def test_a_missing_field_names_the_column_that_goes_empty():
    (found,) = find_missing_fields({"raw_students": reads(Name=["IsHispanic"])}, {})
    assert found.label == "Name.IsHispanic"
    assert found.empty == ("student_demographics.is_hispanic",)
    assert not found.lost
    assert found.cost == "empty: student_demographics.is_hispanic"


def test_a_column_with_two_sources_is_empty_only_without_both():
    (found,) = find_missing_fields({"raw_students": reads(Student=["LanguageIDPrimary"])}, {})
    assert (found.empty, found.poorer) == ((), ("student_demographics.home_language",))
    both = find_missing_fields({"raw_students": reads(Student=["LanguageIDPrimary", "LanguageIDNative"])}, {})
    assert [each.empty for each in both] == [("student_demographics.home_language",)] * 2


def test_a_field_that_was_there_last_night_is_lost_and_comes_first():
    tonight = {
        "raw_students": reads(Name=["IsHispanic", "IsWhite"]),
        "raw_enrollments": reads(EntryWithdrawal=["IsCrossEntityCourseEnrollment"]),
    }
    last = {"raw_students": reads(Name=["IsHispanic"]), "raw_enrollments": reads()}
    found = find_missing_fields(tonight, last)
    assert [(each.label, each.lost) for each in found] == [
        ("EntryWithdrawal.IsCrossEntityCourseEnrollment", True),
        ("Name.IsWhite", True),
        ("Name.IsHispanic", False),
    ]


def test_a_field_of_one_asset_says_nothing_of_the_same_object_in_another():
    """Guardians share the object Name; their race is never asked for."""
    found = find_missing_fields({"raw_students": reads(Name=["IsHispanic"])}, {"raw_parents": reads()})
    assert [each.lost for each in found] == [False]


def test_without_the_flag_of_restriction_more_is_lost_than_a_column():
    (found,) = find_missing_fields({"raw_parents": reads(StudentGuardian=["HasActiveRestrictedAccess"])}, {})
    assert found.empty == ("parent_demographics.has_restricted_access",)
    assert found.cost.endswith("it is unknown which parents are under active restricted access")


def test_the_course_flag_costs_no_published_column():
    tonight = {"raw_enrollments": reads(EntryWithdrawal=["IsCrossEntityCourseEnrollment"])}
    (found,) = find_missing_fields(tonight, {})
    assert (found.empty, found.poorer) == ((), ())
    assert found.cost.startswith("no published column")
