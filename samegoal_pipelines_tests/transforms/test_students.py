"""Who the students are: their record, their names, where they live and how to reach them."""

from datetime import date
from typing import Any

import pandas as pd
import pytest

from samegoal_pipelines.tables.catalog import LANDED
from samegoal_pipelines.tables.enrollments import STUDENT_STATUS
from samegoal_pipelines.tables.validation import violations
from samegoal_pipelines.transforms.columns import records_of
from samegoal_pipelines.transforms.demographics import student_tables
from samegoal_pipelines.transforms.withholding import WITHHOLD, Withholding
from samegoal_pipelines_tests.transforms.builders import Row, raw, table

STUDENTS = "student_demographics"


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


def record(year: int = 2027, **fields: Any) -> Row:
    return {"StudentID": 1, "NameID": 10, "StudentNumber": "00123", "SchoolYearIDAsked": year} | fields


def phone(number: int, **fields: Any) -> Row:
    usual = {"NameID": 10, "PhoneNumber": f"555-010{number}", "IsConfidential": False}
    return {"NamePhoneID": number} | usual | fields


def address(number: int, **fields: Any) -> Row:
    usual = {"StreetNumberAndNameIncludeSecondaryUnit": f"{number} Elm St", "ZipID": 1, "CountyID": 1}
    return {"AddressID": number} | usual | fields


def uses(*flags: tuple[bool | None, bool | None]) -> dict[str, list[Row]]:
    """Address n for the nth pair of (IsPhysical, IsMailing), with the house number n."""
    numbered = list(enumerate(flags, start=1))
    return {
        "NameAddress": [
            {"NameAddressID": 100 + n, "NameID": 10, "AddressID": n, "IsPhysical": one, "IsMailing": other}
            for n, (one, other) in numbered
        ],
        "Address": [address(n) for n, _ in numbered],
    }


def build(
    statuses: list[Row] | None = None, withholding: Withholding = WITHHOLD, **objects: list[Row]
) -> dict[str, pd.DataFrame]:
    """What is landed of student 1, whose name is 10, with these raw rows in place of the usual ones."""
    usual: dict[str, list[Row]] = {
        "Student": [record()],
        "Name": [{"NameID": 10, "FirstName": "Ana", "LastName": "Ruiz"}],
        "NameSuffix": [
            {"NameSuffixID": 1, "Code": "JR", "Description": "Jr."},
            {"NameSuffixID": 2, "Code": "III", "Description": " "},
        ],
        "Language": [{"LanguageID": 1, "Description": "Spanish"}, {"LanguageID": 2, "Description": "Urdu"}],
        "Zip": [{"ZipID": 1, "City": "Grand Bend", "ZipCode": "01234", "StateID": 1}],
        "State": [{"StateID": 1, "Code": "TX"}],
        "County": [{"CountyID": 1, "Name": "Travis"}],
    }
    known = table(STUDENT_STATUS, [status_row()] if statuses is None else statuses)
    built = student_tables(raw("raw_students", usual | objects), known, withholding)
    assert not any(violations(built[name], declared) for name, declared in LANDED[STUDENTS].items())
    return built


def one(statuses: list[Row] | None = None, **more: Any) -> dict[str, Any]:
    """The one student's row, null as None."""
    (student,) = records_of(build(statuses, **more)[STUDENTS])
    return student


NUMBERS = ["00123", " 123 ", str(2**53 + 1), "", "12E5"]
SURNAMES = ["None", "NULL", "NaN", "null", "=cmd()", "O'Néill 🙂", "ابن", "x" * 10_000]
PLACEHOLDERS = [date.min, date(1753, 1, 1), date(1900, 1, 1), date.max]


@pytest.mark.parametrize(
    ("table", "fields", "column", "published"),
    [
        *(("Student", {"StudentNumber": number}, "student_number", number) for number in NUMBERS),
        ("Student", {"StudentNumber": "1\x002"}, "student_number", "12"),  # Postgres cannot store NUL
        ("Student", {"Grade": "0\x005"}, "grade", "05"),
        ("Student", {"LanguageIDPrimary": 1, "LanguageIDNative": 2}, "home_language", "Spanish"),
        ("Student", {"LanguageIDPrimary": 9, "LanguageIDNative": 2}, "home_language", "Urdu"),
        *(("Name", {"LastName": surname}, "last_name", surname) for surname in SURNAMES),
        ("Name", {"LastName": "Ru\x00iz"}, "last_name", "Ruiz"),
        ("Name", {"FirstName": "Ann"}, "first_name", "Ann"),
        ("Name", {"FirstNameLegal": "Ana"}, "legal_first_name", "Ana"),
        ("Name", {"MiddleNameLegal": "María"}, "legal_middle_name", "María"),
        ("Name", {"LastNameLegal": "Ruiz Peña"}, "legal_last_name", "Ruiz Peña"),
        ("Name", {"Race": "Asian"}, "race", "Asian"),
        ("Name", {"IsAlaskan": True}, "is_native_american", True),
        ("Name", {"IsHawaiian": False}, "is_pacific_islander", False),
        ("Name", {"IsWhite": None}, "is_white", None),  # not answered is not no
        ("Name", {"BirthDate": date(2012, 2, 29)}, "birth_date", date(2012, 2, 29)),
        *(("Name", {"BirthDate": placeholder}, "birth_date", None) for placeholder in PLACEHOLDERS),
        ("Name", {"Gender": "Female"}, "gender", "Female"),
        ("Name", {"GenderCode": "F"}, "gender", "F"),
        ("Name", {"NameSuffixID": 1}, "suffix", "Jr."),
        ("Name", {"NameSuffixID": 2}, "suffix", "III"),  # its code, for want of a description
        ("Name", {"NameSuffixID": 3}, "suffix", None),
        ("Name", {"MiddleName": " "}, "middle_name", None),  # blank text is no text
        ("Name", {"MiddleName": ""}, "middle_name", None),
    ],
)
def test_each_column_has_the_value_of_its_field(table, fields, column, published):
    rows = {"Student": record(**fields), "Name": {"NameID": 10} | fields}
    assert one(**{table: [rows[table]]})[column] == published


@pytest.mark.parametrize(
    ("years", "deciding", "grade"),
    [
        ((2026, 2027, 2028), 2027, "2027"),
        ((2026, 2027, 2028), 2026, "2026"),
        ((2028, 2026), 2027, "2028"),
        ((2028, 2026), None, "2028"),
    ],
)
def test_the_record_is_that_of_the_deciding_enrollment_s_school_year_or_else_the_latest(
    years, deciding, grade
):
    rows = [record(year, Grade=str(year)) for year in years]
    assert one([status_row(year=deciding)], Student=rows)["grade"] == grade


# Addresses


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
    row = one(**uses(*flags))
    columns = ("street", "city", "state", "zip", "county")
    assert [row[column] for column in columns] == [f"{house} Elm St", "Grand Bend", "TX", "01234", "Travis"]


NO_STREET = {"StreetNumberAndNameIncludeSecondaryUnit": " "}


@pytest.mark.parametrize(
    ("fields", "column", "shown"),
    [
        ({"AddressLine2": "Lot 5"}, "street", "1 Elm St, Lot 5"),
        *(({"POBox": box}, "street", "1 Elm St") for box in ("77", " ")),
        (NO_STREET | {"POBox": "77"}, "street", "PO Box 77"),
        (NO_STREET | {"POBox": "P.O. Box 77"}, "street", "P.O. Box 77"),
        *((NO_STREET | {"POBox": box}, "street", None) for box in (" ", None)),
        ({"ZipCodeAddOn": "0009"}, "zip", "01234-0009"),
        ({"ZipCodeAddOn": "0009", "ZipID": 2}, "zip", None),
    ],
)
def test_the_street_has_its_second_line_or_is_a_post_office_box_and_the_zip_code_has_its_add_on(
    fields, column, shown
):
    assert one(**uses((True, True)) | {"Address": [address(1, **fields)]})[column] == shown


def test_a_use_of_an_address_that_nobody_knows_is_passed_over():
    assert one(**uses((True, True), (False, False)) | {"Address": [address(2)]})["street"] == "2 Elm St"


# Phones and e-mails


def confidential(number: int, **fields: Any) -> Row:
    return phone(number, IsConfidential=True) | fields


UNREADABLE_NUMBER = {"PhoneNumber": None, "Unreadable": '{"PhoneNumber": 5125550101}'}
HIDDEN_BY_ITS_FORMAT = phone(2, PhoneNumber="555-0102", FormattedPhoneNumber="512-555-0101 ext. 4")
CONFIDENTIAL = {
    "said so": ([confidential(1, Rank=1), phone(2, Rank=2)], "555-0102"),
    "not answered": ([phone(1, Rank=1, IsConfidential=None), phone(2, Rank=2)], "555-0102"),
    "the only one": ([confidential(1)], None),
    "by another row of the person": ([confidential(1, PhoneNumber="(512) 555-0102"), phone(2)], None),
    "by a quarantined row": (
        [confidential(2, Unreadable='{"Rank": "first"}'), phone(2), phone(3)],
        "555-0103",
    ),
    "by another person's row": ([confidential(2, NameID=99), phone(2)], "555-0102"),
    "written in another way": ([confidential(1, PhoneNumber="Fax 512-555-0101"), HIDDEN_BY_ITS_FORMAT], None),
    "by its formatted number alone": (
        [confidential(1, PhoneNumber=None, FormattedPhoneNumber="512-555-0102"), phone(2)],
        None,
    ),
    "for either of its two numbers": (
        [
            confidential(1, PhoneNumber="5125550101", FormattedPhoneNumber="unlisted"),
            phone(2, PhoneNumber="5125550101", FormattedPhoneNumber="(512) 555-0102"),
        ],
        None,
    ),
    "a blank one is none": ([confidential(1, PhoneNumber=""), phone(2)], "555-0102"),
    "no number, so any number": ([confidential(1, PhoneNumber="unlisted"), phone(2)], None),
    "unreadable, so any number": ([confidential(1, **UNREADABLE_NUMBER), phone(2)], None),
    "unreadable, of another person": (
        [confidential(1, NameID=99, **UNREADABLE_NUMBER), phone(2)],
        "555-0102",
    ),
}


@pytest.mark.parametrize("case", CONFIDENTIAL)
def test_a_confidential_phone_is_withheld(case):
    phones, shown = CONFIDENTIAL[case]
    assert one(NamePhone=phones)["phone"] == shown


@pytest.mark.parametrize(
    ("shows", "shown"),
    [("show_confidential_phones", "555-0101"), ("show_restricted_contacts", "555-0102")],
)
def test_a_confidential_phone_is_shown_only_where_the_district_says_so(shows, shown):
    phones = [confidential(1, Rank=1), phone(2, Rank=2)]
    assert one(NamePhone=phones, withholding=Withholding(**{shows: True}))["phone"] == shown


def test_a_student_s_confidential_numbers_are_found_whoever_is_published():
    """By every record of the student, since the name may have changed with the school year."""
    records = [record(2026), record(2027), record(StudentID=2, NameID=20, Unreadable='{"Grade": "5"}')]
    records.append(record(StudentID=3, NameID=None))
    phones = [phone(1, IsConfidential=True), phone(2, IsConfidential=None, NameID=20), phone(3, NameID=20)]
    phones.append(phone(4, IsConfidential=True, NameID=30))
    found = build([], Student=records, NamePhone=phones)["confidential"]
    assert found[["student_id", "digits"]].values.tolist() == [[1, "5550101"], [2, "5550102"]]
    shows = Withholding(show_confidential_phones=True)
    assert build([], shows, Student=records, NamePhone=phones)["confidential"].empty


@pytest.mark.parametrize(
    ("phones", "shown"),
    [
        ([phone(1, Rank=None), phone(2, Rank=3), phone(4, Rank=2), phone(3, Rank=2)], "555-0103"),
        ([phone(2), phone(1)], "555-0101"),
        ([phone(1, FormattedPhoneNumber="(512) 555-0100", Extension="12")], "(512) 555-0100 x12"),
        ([phone(1, FormattedPhoneNumber="(512) 555-0100 x4", Extension="4")], "(512) 555-0100 x4"),
        ([phone(1, FormattedPhoneNumber=" ", Extension="")], "555-0101"),
        ([phone(1, Rank=1, PhoneNumber=None), phone(2, Rank=2)], "555-0102"),
        ([phone(1, NameID=11), phone(2, NameID=None)], None),
    ],
    ids=["rank", "id", "extension", "extension in it", "not formatted", "no number", "somebody else's"],
)
def test_the_phone_is_the_first_number_by_rank_then_by_id_with_its_extension(phones, shown):
    assert one(NamePhone=phones)["phone"] == shown


def test_the_email_is_the_first_by_rank_that_has_an_address():
    addresses = {1: "", 3: "b@example.org", 2: "a@example.org"}
    emails = [
        {"NameEmailID": n, "NameID": 10, "EmailAddress": email, "Rank": rank}
        for n, (rank, email) in enumerate(addresses.items())
    ]
    assert one(NameEmail=emails)["email"] == "a@example.org"


# Which students


@pytest.mark.parametrize(
    "objects",
    [
        {"Student": []},
        {"Name": []},
        {"Student": [record(NameID=None)]},
        {"Name": [{"NameID": 10, "LastName": "Ruiz", "Unreadable": '{"BirthDate": "31 February"}'}]},
    ],
)
def test_a_student_whom_student_or_name_does_not_know_is_named_as_being_without_a_record(objects):
    built = build(**objects)
    assert built[STUDENTS].empty
    assert list(built["without_record"]["student_id"]) == [1]


def test_students_have_the_order_and_the_buildings_of_the_statuses():
    """Students without a status are excluded."""
    records = [record(StudentID=n) for n in (1, 2, 3, 2**53 + 1)]
    statuses = [status_row(n, building=f"School {n}") for n in (2**53 + 1, 2, 1)]
    found = build(statuses, Student=records)[STUDENTS]
    assert found[["student_id", "building"]].values.tolist() == [
        [n, f"School {n}"] for n in (2**53 + 1, 2, 1)
    ]


def test_no_students_have_no_demographics():
    built = student_tables(raw("raw_students", {}), table(STUDENT_STATUS, []))
    assert built[STUDENTS].empty
    assert built["without_record"].empty
