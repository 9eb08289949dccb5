"""Who the students are: their record, their names, where they live and how to reach them."""

import json
from datetime import date
from typing import Any

import pandas as pd
import pytest

from samegoal_pipelines.tables.enrollments import STUDENT_STATUS
from samegoal_pipelines.tables.people import (
    CONFIDENTIAL_PHONES,
    STUDENT_DEMOGRAPHICS,
    STUDENTS_WITHOUT_RECORD,
)
from samegoal_pipelines.tables.validation import validate
from samegoal_pipelines.transforms.students import (
    StudentDemographics,
    build_student_demographics,
    find_confidential_phones,
)
from samegoal_pipelines.transforms.withholding import WITHHOLD, Withholding
from samegoal_pipelines_tests.transforms.builders import Row, raw, table


def status_row(student: int = 1, year: int = 2027, **fields: Any) -> dict[str, Any]:
    return {
        "student_id": student,
        "status": "ENROLLED",
        "reason": "current_enrollment",
        "enrollment_id": student,
        "first_day": date(2026, 8, 12),
        "school_year_id": year,
        "building": "Main",
        "building_reporting_id": "255901001",
    } | fields


def build(
    statuses: list[Row] | None = None, withholding: Withholding = WITHHOLD, **objects: list[Row]
) -> StudentDemographics:
    """The demographics of student 1, whose name is 10, with these raw rows in place of the usual ones."""
    usual: dict[str, list[Row]] = {
        "Student": [{"StudentID": 1, "NameID": 10, "StudentNumber": "00123", "SchoolYearIDAsked": 2027}],
        "Name": [{"NameID": 10, "FirstName": "Ana", "LastName": "Ruiz"}],
        "Zip": [{"ZipID": 1, "City": "Grand Bend", "ZipCode": "01234", "StateID": 1}],
        "State": [{"StateID": 1, "Code": "TX"}],
        "County": [{"CountyID": 1, "Name": "Travis"}],
        "Address": [
            {"AddressID": 1, "StreetNumberAndNameIncludeSecondaryUnit": "1 Elm St", "ZipID": 1, "CountyID": 1}
        ],
    }
    raw_students = raw("raw_students", usual | objects)
    built = build_student_demographics(
        raw_students, table(STUDENT_STATUS, statuses or [status_row()]), withholding=withholding
    )
    assert validate(built.students, STUDENT_DEMOGRAPHICS).ok
    assert validate(built.without_record, STUDENTS_WITHOUT_RECORD).ok
    return built


def one(statuses: list[Row] | None = None, **more: Any) -> dict[str, Any]:
    """The one student's row, null as None."""
    students = build(statuses, **more).students
    assert len(students) == 1
    return {name: None if pd.isna(value) else value for name, value in students.iloc[0].items()}


def name(**fields: Any) -> list[Row]:
    return [{"NameID": 10} | fields]


def test_a_student_number_stays_the_text_it_came_as():
    for number in ("00123", " 123 ", str(2**53 + 1), "", "12E5"):
        row = one(
            Student=[{"StudentID": 1, "NameID": 10, "StudentNumber": number, "SchoolYearIDAsked": 2027}]
        )
        assert row["student_number"] == number


@pytest.mark.parametrize(
    "surname", ["None", "NULL", "NaN", "null", "=cmd()", "O'Néill 🙂", "ابن", "x" * 10_000]
)
def test_a_surname_stays_the_text_it_came_as(surname):
    assert one(Name=name(LastName=surname))["last_name"] == surname


def test_nul_is_taken_out_of_text_because_postgres_cannot_store_it():
    student = [
        {
            "StudentID": 1,
            "NameID": 10,
            "StudentNumber": "1\x002",
            "SchoolYearIDAsked": 2027,
            "Grade": "0\x005",
        }
    ]
    row = one(Student=student, Name=name(LastName="Ru\x00iz"))
    assert (row["student_number"], row["last_name"], row["grade"]) == ("12", "Ruiz", "05")


def test_blank_text_is_no_text():
    assert one(Name=name(FirstName="Ana", MiddleName=" ", LastNameLegal=""))["middle_name"] is None


@pytest.mark.parametrize("placeholder", ["0001-01-01", "1753-01-01", "1900-01-01", "9999-12-31"])
def test_a_placeholder_is_no_birth_date(placeholder):
    assert one(Name=name(BirthDate=date.fromisoformat(placeholder)))["birth_date"] is None
    assert one(Name=name(BirthDate=date(2014, 3, 9)))["birth_date"] == date(2014, 3, 9)


def test_the_record_is_that_of_the_deciding_enrollment_s_school_year():
    rows = [
        {"StudentID": 1, "NameID": 10, "StudentNumber": "7", "Grade": grade, "SchoolYearIDAsked": year}
        for grade, year in (("04", 2026), ("05", 2027), ("06", 2028))
    ]
    assert one([status_row(year=2027)], Student=rows)["grade"] == "05"
    assert one([status_row(year=2026)], Student=rows)["grade"] == "04"


def test_without_a_record_of_that_year_the_latest_one_is_used():
    rows = [
        {"StudentID": 1, "NameID": 10, "Grade": grade, "SchoolYearIDAsked": year}
        for grade, year in (("06", 2028), ("04", 2026))
    ]
    assert one([status_row(year=2027)], Student=rows)["grade"] == "06"
    assert one([status_row(year=None)], Student=rows)["grade"] == "06"


def test_names_are_those_in_use_and_the_legal_ones_stand_beside_them():
    legal = {"FirstNameLegal": "Ana", "MiddleNameLegal": "María", "LastNameLegal": "Ruiz Peña"}
    row = one(Name=name(FirstName="Ann", LastName="Ruiz", **legal))
    names = ("first_name", "last_name", "legal_first_name", "legal_middle_name", "legal_last_name")
    assert [row[column] for column in names] == ["Ann", "Ruiz", "Ana", "María", "Ruiz Peña"]


def test_the_suffix_is_the_description_else_the_code():
    suffixes = [
        {"NameSuffixID": 1, "Code": "JR", "Description": "Jr."},
        {"NameSuffixID": 2, "Code": "III", "Description": " "},
    ]
    assert one(Name=name(NameSuffixID=1), NameSuffix=suffixes)["suffix"] == "Jr."
    assert one(Name=name(NameSuffixID=2), NameSuffix=suffixes)["suffix"] == "III"
    assert one(Name=name(NameSuffixID=3), NameSuffix=suffixes)["suffix"] is None


def test_gender_falls_back_to_its_code():
    assert one(Name=name(Gender="Female", GenderCode="F"))["gender"] == "Female"
    assert one(Name=name(GenderCode="F"))["gender"] == "F"


def test_race_flags_keep_yes_no_and_not_answered_apart():
    row = one(Name=name(IsAlaskan=True, IsHawaiian=False, Race="Asian", BirthDate=date(2012, 2, 29)))
    assert (row["is_native_american"], row["is_pacific_islander"], row["is_white"]) == (True, False, None)
    assert (row["race"], row["birth_date"]) == ("Asian", date(2012, 2, 29))


def test_the_home_language_is_the_primary_one_else_the_native_one():
    languages = [{"LanguageID": 1, "Description": "Spanish"}, {"LanguageID": 2, "Description": "Urdu"}]
    record = {"StudentID": 1, "NameID": 10, "SchoolYearIDAsked": 2027}
    both = [record | {"LanguageIDPrimary": 1, "LanguageIDNative": 2}]
    native = [record | {"LanguageIDPrimary": 9, "LanguageIDNative": 2}]
    assert one(Student=both, Language=languages)["home_language"] == "Spanish"
    assert one(Student=native, Language=languages)["home_language"] == "Urdu"


# Addresses


def uses(*flags: tuple[bool | None, bool | None]) -> dict[str, list[Row]]:
    """Address n for the nth pair of (IsPhysical, IsMailing), with the house number n."""
    return {
        "NameAddress": [
            {
                "NameAddressID": 100 + n,
                "NameID": 10,
                "AddressID": n,
                "IsPhysical": physical,
                "IsMailing": mailing,
            }
            for n, (physical, mailing) in enumerate(flags, start=1)
        ],
        "Address": [
            {
                "AddressID": n,
                "StreetNumberAndNameIncludeSecondaryUnit": f"{n} Elm St",
                "ZipID": 1,
                "CountyID": 1,
            }
            for n in range(1, len(flags) + 1)
        ],
    }


@pytest.mark.parametrize(
    ("flags", "house"),
    [
        ([(False, True), (True, False)], "2"),  # where the student lives before where mail goes
        ([(None, None), (None, True)], "2"),  # where mail goes before any other
        ([(True, False), (True, True)], "2"),
        ([(False, False), (False, False)], "1"),  # the one recorded first
    ],
)
def test_a_student_s_address_is_the_physical_one_then_the_mailing_one_then_the_first(flags, house):
    assert one(**uses(*flags))["street"] == f"{house} Elm St"


def test_an_address_comes_with_city_state_zip_and_county():
    row = one(**uses((True, False)))
    assert [row[column] for column in ("city", "state", "zip", "county")] == [
        "Grand Bend",
        "TX",
        "01234",
        "Travis",
    ]


@pytest.mark.parametrize(
    ("address", "street"),
    [
        ({"StreetNumberAndNameIncludeSecondaryUnit": "1 Elm St", "AddressLine2": "Lot 5"}, "1 Elm St, Lot 5"),
        ({"StreetNumberAndNameIncludeSecondaryUnit": "1 Elm St", "POBox": "77"}, "1 Elm St"),
        ({"StreetNumberAndNameIncludeSecondaryUnit": " ", "POBox": "77"}, "PO Box 77"),
        ({"POBox": " "}, None),
        ({"StreetNumberAndNameIncludeSecondaryUnit": "1 Elm St", "POBox": " "}, "1 Elm St"),
        ({"POBox": "P.O. Box 77"}, "P.O. Box 77"),
        ({}, None),
    ],
)
def test_the_street_has_its_second_line_or_is_a_post_office_box(address, street):
    row = one(**uses((True, True)) | {"Address": [{"AddressID": 1} | address]})
    assert (row["street"], row["city"]) == (street, None)


def test_the_zip_code_carries_its_add_on():
    address = {"AddressID": 1, "ZipID": 1, "ZipCodeAddOn": "0009"}
    assert one(**uses((True, True)) | {"Address": [address]})["zip"] == "01234-0009"
    assert one(**uses((True, True)) | {"Address": [address | {"ZipID": 2}]})["zip"] is None


def test_a_use_of_an_address_that_nobody_knows_is_passed_over():
    rows = uses((True, True), (False, False))
    rows["Address"] = rows["Address"][1:]
    assert one(**rows)["street"] == "2 Elm St"


# Phones and e-mails


def phone(number: int, **fields: Any) -> Row:
    return {
        "NamePhoneID": number,
        "NameID": 10,
        "PhoneNumber": f"555-010{number}",
        "IsConfidential": False,
    } | fields


def test_a_confidential_phone_is_withheld_and_an_unanswered_one_counts_as_confidential():
    phones = [phone(1, Rank=1, IsConfidential=True), phone(2, Rank=2, IsConfidential=None), phone(3, Rank=3)]
    assert one(NamePhone=phones)["phone"] == "555-0103"
    assert one(NamePhone=phones[:2])["phone"] is None


def test_a_confidential_phone_is_shown_only_where_the_district_says_so():
    phones = [phone(1, Rank=1, IsConfidential=True), phone(2, Rank=2)]
    assert (
        one(NamePhone=phones, withholding=Withholding(show_confidential_phones=True))["phone"] == "555-0101"
    )
    assert (
        one(NamePhone=phones, withholding=Withholding(show_restricted_contacts=True))["phone"] == "555-0102"
    )


@pytest.mark.parametrize("unreadable", [None, '{"Rank": "first"}'])
def test_a_number_that_one_row_calls_confidential_is_withheld_from_all_rows_of_that_person(unreadable):
    phones = [
        phone(1, PhoneNumber="(512) 555-0101", IsConfidential=True, Unreadable=unreadable),
        phone(2, PhoneNumber="512-555-0101", Extension="3"),
        phone(3, PhoneNumber="512-555-0103", Rank=9),
        phone(4, NameID=99, PhoneNumber="512-555-0103", IsConfidential=True),
    ]
    assert one(NamePhone=phones)["phone"] == "512-555-0103"


@pytest.mark.parametrize("public", ["+1 512-555-0101", "512-555-0101 ext. 4", "512-555-0101 #4", "555-0101"])
@pytest.mark.parametrize("confidential", ["(512) 555-0101", "Fax 512-555-0101", "1 512 555 0101 x7"])
def test_a_confidential_number_is_withheld_however_another_row_writes_it(confidential, public):
    phones = [phone(1, PhoneNumber=confidential, IsConfidential=True), phone(2, PhoneNumber=public)]
    assert one(NamePhone=phones)["phone"] is None
    assert one(NamePhone=[*phones, phone(3, PhoneNumber="512-555-0103")])["phone"] == "512-555-0103"


def test_a_row_is_withheld_for_either_of_its_two_numbers():
    phones = [
        phone(1, PhoneNumber="5125550101", FormattedPhoneNumber="unlisted", IsConfidential=True),
        phone(2, PhoneNumber="5125550101", FormattedPhoneNumber="(512) 555-0102"),
    ]
    assert one(NamePhone=phones)["phone"] is None


def test_a_confidential_number_that_nobody_can_read_may_be_any_of_that_person():
    unreadable = phone(1, PhoneNumber=None, IsConfidential=True, Unreadable='{"PhoneNumber": 5125550101}')
    assert one(NamePhone=[unreadable, phone(2)])["phone"] is None
    unreadable["NameID"] = 99
    assert one(NamePhone=[unreadable, phone(2)])["phone"] == "555-0102"


@pytest.mark.parametrize(("text", "other"), [("", "555-0102"), ("unlisted", None), ("512-555-O1O1", None)])
def test_a_confidential_text_that_is_no_number_may_be_any_of_that_person_but_a_blank_one_is_none(text, other):
    phones = [phone(1, PhoneNumber=text, IsConfidential=True), phone(2)]
    assert one(NamePhone=phones)["phone"] == other


def test_an_extension_that_the_formatted_number_has_is_not_appended_again():
    formatted = {"FormattedPhoneNumber": "(512) 555-0101 x4", "PhoneNumber": "5125550101"}
    assert one(NamePhone=[phone(1, Extension="4", **formatted)])["phone"] == "(512) 555-0101 x4"


def test_a_student_s_confidential_numbers_are_found_whoever_is_published():
    """By every record of the student, since the name may have changed with the school year."""
    rows = {
        "Student": [
            {"StudentID": 1, "NameID": 10, "SchoolYearIDAsked": 2026},
            {"StudentID": 1, "NameID": 10, "SchoolYearIDAsked": 2027},
            {"StudentID": 2, "NameID": 20, "Unreadable": '{"Grade": "5"}'},
            {"StudentID": 3, "NameID": None},
        ],
        "NamePhone": [
            phone(1, IsConfidential=True),
            phone(2, IsConfidential=None, NameID=20),
            phone(3, NameID=20),
            phone(4, IsConfidential=True, NameID=30),
        ],
    }
    found = find_confidential_phones(raw("raw_students", rows), WITHHOLD)
    assert validate(found, CONFIDENTIAL_PHONES).ok
    assert found[["student_id", "digits"]].values.tolist() == [[1, "5550101"], [2, "5550102"]]
    shown = find_confidential_phones(raw("raw_students", rows), Withholding(show_confidential_phones=True))
    assert shown.empty
    assert validate(shown, CONFIDENTIAL_PHONES).ok


def test_the_phone_is_the_first_by_rank_then_by_id_and_one_without_rank_comes_last():
    assert (
        one(NamePhone=[phone(1, Rank=None), phone(2, Rank=3), phone(3, Rank=2), phone(4, Rank=2)])["phone"]
        == "555-0103"
    )
    assert one(NamePhone=[phone(2), phone(1)])["phone"] == "555-0101"


def test_a_phone_is_the_formatted_number_with_its_extension():
    formatted = {"FormattedPhoneNumber": "(512) 555-0100", "Extension": "12"}
    assert one(NamePhone=[phone(1, **formatted)])["phone"] == "(512) 555-0100 x12"
    assert one(NamePhone=[phone(1, FormattedPhoneNumber=" ", Extension="")])["phone"] == "555-0101"


def test_a_phone_without_a_number_is_passed_over():
    assert one(NamePhone=[phone(1, Rank=1, PhoneNumber=None), phone(2, Rank=2)])["phone"] == "555-0102"


def test_the_email_is_the_first_by_rank_that_has_an_address():
    emails = [
        {"NameEmailID": 1, "NameID": 10, "EmailAddress": "", "Rank": 1},
        {"NameEmailID": 2, "NameID": 10, "EmailAddress": "b@example.org", "Rank": 3},
        {"NameEmailID": 3, "NameID": 10, "EmailAddress": "a@example.org", "Rank": 2},
    ]
    assert one(NameEmail=emails)["email"] == "a@example.org"


def test_nobody_gets_another_person_s_contact():
    assert one(NamePhone=[phone(1, NameID=11), phone(2, NameID=None)])["phone"] is None


# Students without a record


@pytest.mark.parametrize(
    "objects",
    [
        {"Student": []},
        {"Name": []},
        {"Student": [{"StudentID": 1, "NameID": None, "SchoolYearIDAsked": 2027}]},
        {"Name": name(LastName="Ruiz", Unreadable=json.dumps({"BirthDate": "31 February"}))},
    ],
)
def test_a_student_whom_student_or_name_does_not_know_is_named_as_being_without_a_record(objects):
    built = build(**objects)
    assert built.students.empty
    assert list(built.without_record["student_id"]) == [1]


def test_students_without_a_status_are_excluded_and_the_others_keep_the_order_of_the_statuses():
    records = [{"StudentID": n, "NameID": 10, "SchoolYearIDAsked": 2027} for n in (1, 2, 3, 2**53 + 1)]
    statuses = [status_row(2**53 + 1), status_row(2), status_row(1)]
    assert list(build(statuses, Student=records).students["student_id"]) == [2**53 + 1, 2, 1]


def test_the_building_is_that_of_the_status():
    row = one([status_row(building="Annex", building_reporting_id="002")])
    assert (row["building"], row["building_reporting_id"]) == ("Annex", "002")


def test_no_students_have_no_demographics():
    built = build_student_demographics(raw("raw_students", {}), table(STUDENT_STATUS, []))
    assert built.students.empty
    assert built.without_record.empty
