"""Each table accepts what the rules make, and each of its checks refuses what it is there to refuse."""

from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from samegoal_pipelines.tables import enrollments, people
from samegoal_pipelines.tables.catalog import LANDED, RAW_TABLES
from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.tables.validation import WHOLE_TABLE, schema_of, validate
from samegoal_pipelines.tables.worklist import REGISTRAR_WORKLIST
from samegoal_pipelines_tests.transforms.builders import Row, table

ALL_TABLES = {
    "registrar_worklist": REGISTRAR_WORKLIST,
    **{f"{asset}.{name}": table for asset, tables in LANDED.items() for name, table in tables.items()},
}
TODAY = date(2026, 10, 12)
LONG_AGO, LATER = date(1, 1, 1), date(2026, 11, 2)


def failures(model: Any, *rows: Row) -> list[tuple[str, str, int]]:
    return [tuple(failure) for failure in validate(table(model, rows), model).failures]


def counted(number: int = 1, **fields: Any) -> Row:
    known = {"enrollment_id": number, "student_id": 1, "first_day": TODAY, "is_default_entity": True}
    return known | fields


def excluded(reason: str, **fields: Any) -> Row:
    outcome = "excluded" if reason in ("cecs", "outside_window", "never_closed") else "quarantined"
    return {"is_default_entity": True, "outcome": outcome, "reason": reason} | fields


def student(number: int = 1, **fields: Any) -> Row:
    known = {
        "student_id": number,
        "enrollment_id": number,
        "status": "ENROLLED",
        "reason": "current_enrollment",
    }
    return known | {"first_day": TODAY} | fields


def left(state: str, reason: str, code: str | None, **fields: Any) -> Row:
    return student(status=state, reason=reason, withdrawal_code=code, last_day=TODAY, **fields)


def parent(**fields: Any) -> Row:
    return {"student_id": 1, "parent_id": 1} | fields


SOUND = {
    "enrollments": (
        enrollments.FILTERED_ENROLLMENTS,
        [counted(1), counted(2, last_day=TODAY, withdrawal_code="01")],
    ),
    "odd days": (
        enrollments.FILTERED_ENROLLMENTS,
        [counted(1, first_day=LONG_AGO, last_day=date(9999, 12, 31))],
    ),
    "excluded": (
        enrollments.EXCLUDED_ENROLLMENTS,
        [
            excluded("cecs", withdrawal_code="Cecs"),
            excluded("outside_window", last_day=LONG_AGO),
            excluded("never_closed"),
            excluded("conflicting_duplicate", withdrawal_code="CECS"),
            excluded("no_start_date"),
            excluded("never_effective", first_day=LATER, last_day=TODAY),
        ],
    ),
    "statuses": (
        enrollments.STUDENT_STATUS,
        [
            student(1, withdrawal_code="01"),
            student(2, status="PRE-ENROLLED", reason="upcoming_enrollment_only"),
            left("GRADUATED", "graduated", "01", student_id=3, enrollment_id=3),
            left("INACTIVE", "withdrawn", None, student_id=4, enrollment_id=4),
        ],
    ),
    "uncertain": (enrollments.UNCERTAIN_STUDENTS, [{"student_id": 1, "reasons": "unreadable,no_start_date"}]),
    "students": (people.STUDENT_DEMOGRAPHICS, [{"student_id": 1, "birth_date": LONG_AGO}, {"student_id": 2}]),
    "parents": (
        people.PARENT_DEMOGRAPHICS,
        [
            parent(has_restricted_access=True, first_name="Ana"),
            parent(parent_id=2, has_restricted_access=False, email="a@example.org"),
        ],
    ),
    "parents of a district that does not grant restrictions": (
        people.PARENT_DEMOGRAPHICS,
        [parent(email="a@example.org")],
    ),
    "raw enrollments that come twice": (
        RAW_TABLES["raw_enrollments"]["EntryWithdrawal"],
        [{"EntryWithdrawalID": 1, "StudentID": 1}, {"EntryWithdrawalID": 1, "StudentID": 2}],
    ),
    "raw rows whose key was unreadable": (
        RAW_TABLES["raw_students"]["Zip"],
        [{"Unreadable": '{"ZipID": "?"}'}, {"Unreadable": '{"ZipID": "!"}'}, {"ZipID": 1}],
    ),
    "raw schools that come again": (
        RAW_TABLES["raw_enrollments"]["School"],
        [{"SchoolID": 1, "SchoolYearID": 1, "Name": "Main"}] * 2,
    ),
    "raw students once a year": (
        RAW_TABLES["raw_students"]["Student"],
        [{"StudentID": 1, "SchoolYearIDAsked": 26}, {"StudentID": 1, "SchoolYearIDAsked": 27}],
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_passes(name):
    model, rows = SOUND[name]
    assert failures(model, *rows) == []


@pytest.mark.parametrize("name", ALL_TABLES)
def test_an_empty_table_passes(name):
    assert failures(ALL_TABLES[name]) == []


SchoolYear = RAW_TABLES["raw_enrollments"]["SchoolYear"]
School = RAW_TABLES["raw_enrollments"]["School"]
Zip = RAW_TABLES["raw_students"]["Zip"]
current = {"SchoolYearID": 1, "IsCurrentYearForProvidedEntity": True}

BROKEN = [
    (READS, [{"Object": "Zip", "Rows": -1}], ("Rows", "is a count", 1)),
    (
        REGISTRAR_WORKLIST,
        [{"problem": "tie", "student_id": None, "enrollment_id": 1}] * 2,
        (WHOLE_TABLE, "the key is unique", 2),
    ),
    (REGISTRAR_WORKLIST, [{"problem": "other"}], ("problem", "is a known problem", 1)),
    (
        people.CONFIDENTIAL_PHONES,
        [{"student_id": 1, "parent_id": 1, "digits": "5"}, {"digits": "5"}],
        (WHOLE_TABLE, "a number is one person s", 2),
    ),
    (Zip, [{"City": "Austin"}], (WHOLE_TABLE, "the key is given unless it was unreadable", 1)),
    (Zip, [{"ZipID": 1}, {"ZipID": 1}, {"ZipID": 2}], (WHOLE_TABLE, "the key is unique", 2)),
    (Zip, [{"ZipID": 1, "Unreadable": "StartDate"}], ("Unreadable", "is a json object", 1)),
    (SchoolYear, [{"SchoolYearID": 1}], ("IsCurrentYearForProvidedEntity", "one year is current", 1)),
    (SchoolYear, [current | {"NumericYear": 27}], ("NumericYear", "is a calendar year", 1)),
    (
        School,
        [{"SchoolID": 1, "SchoolYearID": 1, "Name": name} for name in ("Main", "Annex")],
        (WHOLE_TABLE, "one name and number per school and year", 2),
    ),
    (enrollments.FILTERED_ENROLLMENTS, [counted(1), counted(1)], (WHOLE_TABLE, "the key is unique", 2)),
    (
        enrollments.FILTERED_ENROLLMENTS,
        [counted(1, last_day=LONG_AGO), counted(2)],
        (WHOLE_TABLE, "the last day is not before the first", 1),
    ),
    (
        enrollments.FILTERED_ENROLLMENTS,
        [counted(withdrawal_code="cecs")],
        ("withdrawal_code", "is not cecs", 1),
    ),
    (
        enrollments.FILTERED_ENROLLMENTS,
        [counted(withdrawal_code="01 ")],
        ("withdrawal_code", "is trimmed and not blank", 1),
    ),
    (
        enrollments.FILTERED_ENROLLMENTS,
        [counted(withdrawal_code="")],
        ("withdrawal_code", "is trimmed and not blank", 1),
    ),
    (enrollments.FILTERED_ENROLLMENTS, [counted(student_id=None)], ("student_id", "is given", 1)),
    (enrollments.FILTERED_ENROLLMENTS, [counted(first_day=None)], ("first_day", "is given", 1)),
    (
        enrollments.FILTERED_ENROLLMENTS,
        [counted(n, first_day=LONG_AGO) for n in range(11)],
        ("first_day", "mostly lies in 1990 to 2100", 11),
    ),
    (
        enrollments.EXCLUDED_ENROLLMENTS,
        [excluded("cecs", outcome="quarantined", withdrawal_code="CECS"), excluded("mistake")],
        (WHOLE_TABLE, "outcome and reason belong together", 2),
    ),
    (
        enrollments.EXCLUDED_ENROLLMENTS,
        [
            excluded("never_closed", last_day=TODAY),
            excluded("outside_window"),
            excluded("never_effective", first_day=TODAY, last_day=TODAY),
        ],
        (WHOLE_TABLE, "the dates bear the reason out", 3),
    ),
    (
        enrollments.EXCLUDED_ENROLLMENTS,
        [excluded("cecs", withdrawal_code="82"), excluded("no_start_date", withdrawal_code="cecs")],
        (WHOLE_TABLE, "cecs is excluded as cecs", 2),
    ),
    (
        enrollments.STUDENT_STATUS,
        [student(1), student(1, enrollment_id=2)],
        (WHOLE_TABLE, "the key is unique", 2),
    ),
    (
        enrollments.STUDENT_STATUS,
        [student(1), student(2, enrollment_id=1)],
        (WHOLE_TABLE, "an enrollment decides one status", 2),
    ),
    (enrollments.STUDENT_STATUS, [student(status="PRE_ENROLLED")], ("status", "is one of the four", 1)),
    (enrollments.STUDENT_STATUS, [student(status="TRANSFERRED")], ("status", "is one of the four", 1)),
    (
        enrollments.STUDENT_STATUS,
        [student(reason="withdrawn")],
        (WHOLE_TABLE, "status and reason belong together", 1),
    ),
    (
        enrollments.STUDENT_STATUS,
        [student(reason="other")],
        (WHOLE_TABLE, "status and reason belong together", 1),
    ),
    (
        enrollments.STUDENT_STATUS,
        [left("INACTIVE", "withdrawn", None) | {"last_day": None}],
        (WHOLE_TABLE, "who left has a last day", 1),
    ),
    (
        enrollments.STUDENT_STATUS,
        [left("GRADUATED", "graduated", "1")],
        (WHOLE_TABLE, "graduated means code 01", 1),
    ),
    (
        enrollments.STUDENT_STATUS,
        [left("INACTIVE", "withdrawn", "01")],
        (WHOLE_TABLE, "graduated means code 01", 1),
    ),
    (
        enrollments.STUDENT_STATUS,
        [student(first_day=LATER, last_day=TODAY)],
        (WHOLE_TABLE, "the last day is not before the first", 1),
    ),
    (
        enrollments.UNCERTAIN_STUDENTS,
        [{"student_id": 1, "reasons": "never_effective"}],
        ("reasons", "are reasons that make uncertain", 1),
    ),
    (
        enrollments.UNCERTAIN_STUDENTS,
        [{"student_id": 1, "reasons": "unreadable"}] * 2,
        (WHOLE_TABLE, "the key is unique", 2),
    ),
    (people.STUDENT_DEMOGRAPHICS, [{"student_id": 1}] * 2, (WHOLE_TABLE, "the key is unique", 2)),
    (people.STUDENTS_WITHOUT_RECORD, [{"student_id": 1}] * 2, (WHOLE_TABLE, "the key is unique", 2)),
    (
        people.STUDENT_DEMOGRAPHICS,
        [{"student_id": n, "birth_date": LONG_AGO} for n in range(11)],
        ("birth_date", "mostly lies in 1980 to 2100", 11),
    ),
    (people.PARENT_DEMOGRAPHICS, [parent(), parent()], (WHOLE_TABLE, "the key is unique", 2)),
    *(
        (
            people.PARENT_DEMOGRAPHICS,
            [parent(has_restricted_access=True, **{column: "x"})],
            (WHOLE_TABLE, "restricted access leaves no contact", 1),
        )
        for column in people.PARENT_CONTACTS
    ),
    (
        people.PARENT_DEMOGRAPHICS,
        [parent(has_restricted_access=False), parent(parent_id=2)],
        ("has_restricted_access", "is answered for all or for none", 1),
    ),
]


@pytest.mark.parametrize("name", SOUND)
def test_pandera_agrees_on_what_is_sound_and_is_not_needed_for_it(name, monkeypatch):
    model, rows = SOUND[name]
    frame = table(model, rows)
    schema_of(model).validate(frame)
    monkeypatch.setattr("samegoal_pipelines.tables.validation.schema_of", None)
    assert validate(frame, model).ok


@pytest.mark.parametrize(("model", "rows", "failure"), BROKEN)
def test_what_breaks_a_check_is_counted_under_its_column_and_name(model, rows, failure):
    assert failure in failures(model, *rows)


def test_every_check_of_every_table_is_broken_by_some_case_above():
    """A check that nothing can break is a defect."""
    broken = {check for _, _, (_, check, _) in BROKEN}
    declared = set()
    for declaration in ALL_TABLES.values():
        schema = schema_of(declaration)
        checks = [*schema.checks, *(check for column in schema.columns.values() for check in column.checks)]
        declared |= {check.name.replace("_", " ") for check in checks}
    assert declared <= broken


@pytest.mark.parametrize("name", ALL_TABLES)
def test_every_table_and_column_is_described_for_the_people_who_read_it(name):
    assert ALL_TABLES[name].description
    for column in ALL_TABLES[name].columns:
        assert column.description, column.name


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        ("student_id", "float64"),
        ("student_id", "int64"),
        ("student_id", "Int64"),
        ("student_id", "string[pyarrow]"),
        ("first_day", "timestamp[ns][pyarrow]"),
        ("status", "object"),
        ("status", "str"),
    ],
)
def test_a_column_of_another_type_is_refused_however_alike_it_looks(column, dtype):
    frame = table(enrollments.STUDENT_STATUS, [student()])
    frame[column] = frame[column].astype(dtype)
    report = validate(frame, enrollments.STUDENT_STATUS)
    assert (column, 1) in {(failure.column, failure.rows) for failure in report.failures}


def test_a_text_that_many_rows_share_is_a_dictionary_and_survives_parquet(tmp_path):
    frame = table(enrollments.FILTERED_ENROLLMENTS, [counted(withdrawal_code="01")])
    frame.to_parquet(tmp_path / "frame.parquet")
    again = pa.parquet.read_table(tmp_path / "frame.parquet").to_pandas(types_mapper=pd.ArrowDtype)
    assert validate(again, enrollments.FILTERED_ENROLLMENTS).ok
    assert list(again["withdrawal_code"]) == ["01"]
