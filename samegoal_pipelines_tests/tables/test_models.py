"""Tables accept what the rules make, each check refuses something, and no report says what stood there."""

from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from samegoal_pipelines.tables.catalog import LANDED, RAW_TABLES
from samegoal_pipelines.tables.checks import CHECKS
from samegoal_pipelines.tables.enrollments import EXCLUDED_ENROLLMENTS as EXCLUDED
from samegoal_pipelines.tables.enrollments import FILTERED_ENROLLMENTS as COUNTED
from samegoal_pipelines.tables.enrollments import STUDENT_STATUS as STATUS
from samegoal_pipelines.tables.enrollments import UNCERTAIN_STUDENTS as UNCERTAIN
from samegoal_pipelines.tables.people import CONFIDENTIAL_PHONES, PARENT_CONTACTS, STUDENTS_WITHOUT_RECORD
from samegoal_pipelines.tables.people import PARENT_DEMOGRAPHICS as PARENTS
from samegoal_pipelines.tables.people import STUDENT_DEMOGRAPHICS as STUDENTS
from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.tables.validation import schema_of, violations
from samegoal_pipelines.tables.worklist import REGISTRAR_WORKLIST as WORKLIST
from samegoal_pipelines_tests.transforms.builders import Row, table

ALL_TABLES = {
    "registrar_worklist": WORKLIST,
    **{f"{asset}.{name}": table for asset, tables in LANDED.items() for name, table in tables.items()},
}
ENTRY, SCHOOL, SCHOOL_YEAR = (
    RAW_TABLES["raw_enrollments"][name] for name in ("EntryWithdrawal", "School", "SchoolYear")
)
STUDENT, NAME, ZIP = (RAW_TABLES["raw_students"][name] for name in ("Student", "Name", "Zip"))
TODAY = date(2026, 10, 12)
LONG_AGO, LATER = date(1, 1, 1), date(2026, 11, 2)
CURRENT = {"SchoolYearID": 1, "IsCurrentYearForProvidedEntity": True}


def summary(model: Any, *rows: Row) -> str:
    return violations(table(model, rows), model)


def counted(number: int = 1, **fields: Any) -> Row:
    known = {"enrollment_id": number, "student_id": 1, "first_day": TODAY, "is_default_entity": True}
    return known | fields


def excluded(reason: str, **fields: Any) -> Row:
    outcome = "excluded" if reason in ("cecs", "outside_window", "never_closed") else "quarantined"
    return {"is_default_entity": True, "outcome": outcome, "reason": reason} | fields


def student(number: int = 1, **fields: Any) -> Row:
    decision = {"status": "ENROLLED", "reason": "current_enrollment", "first_day": TODAY}
    return {"student_id": number, "enrollment_id": number, **decision} | fields


def left(state: str, reason: str, code: str | None, **fields: Any) -> Row:
    return student(**{"status": state, "reason": reason, "withdrawal_code": code, "last_day": TODAY} | fields)


def parent(**fields: Any) -> Row:
    return {"student_id": 1, "parent_id": 1} | fields


def school(name: str = "Main") -> Row:
    return {"SchoolID": 1, "SchoolYearID": 1, "Name": name}


def born_long_ago(some: int, of: int) -> list[Row]:
    return [{"student_id": n, "birth_date": LONG_AGO if n < some else None} for n in range(of)]


SOUND: dict[str, tuple[Any, list[Row]]] = {
    "enrollments": (COUNTED, [counted(1), counted(2, last_day=TODAY, withdrawal_code="01")]),
    "odd days": (COUNTED, [counted(1, first_day=LONG_AGO, last_day=date(9999, 12, 31))]),
    "one of a hundred birth dates": (STUDENTS, born_long_ago(20, of=2_000)),
    "excluded": (
        EXCLUDED,
        [
            *(excluded(reason) for reason in ("never_closed", "no_start_date")),
            *(excluded(reason, withdrawal_code="Cecs") for reason in ("cecs", "conflicting_duplicate")),
            excluded("outside_window", last_day=LONG_AGO),
            excluded("never_effective", first_day=LATER, last_day=TODAY),
        ],
    ),
    "statuses": (
        STATUS,
        [
            student(1, withdrawal_code="01"),
            student(2, status="PRE-ENROLLED", reason="upcoming_enrollment_only"),
            left("GRADUATED", "graduated", "01", student_id=3, enrollment_id=3),
            left("INACTIVE", "withdrawn", None, student_id=4, enrollment_id=4),
        ],
    ),
    "uncertain": (UNCERTAIN, [{"student_id": 1, "reasons": "unreadable,no_start_date"}]),
    "students": (STUDENTS, [{"student_id": 1, "birth_date": LONG_AGO}, {"student_id": 2}]),
    "parents": (
        PARENTS,
        [
            parent(has_restricted_access=True, first_name="Ana"),
            parent(parent_id=2, has_restricted_access=False, email="a@example.org"),
        ],
    ),
    "parents of a district that does not grant restrictions": (PARENTS, [parent(email="a@example.org")]),
    "raw enrollments that come twice": (ENTRY, [{"EntryWithdrawalID": 1, "StudentID": n} for n in (1, 2)]),
    "raw rows whose key was unreadable": (ZIP, [*[{"Unreadable": '{"ZipID": "?"}'}] * 2, {"ZipID": 1}]),
    "raw schools that come again": (SCHOOL, [school()] * 2),
    "raw students once a year": (STUDENT, [{"StudentID": 1, "SchoolYearIDAsked": year} for year in (26, 27)]),
    **{f"no rows of {name}": (declared, []) for name, declared in ALL_TABLES.items()},
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_passes_and_pandera_agrees_and_is_not_needed_for_it(name, monkeypatch):
    model, rows = SOUND[name]
    frame = table(model, rows)
    schema_of(model).validate(frame)
    monkeypatch.setattr("samegoal_pipelines.tables.validation.schema_of", None)
    assert violations(frame, model) == ""


BROKEN: list[tuple[Any, str, list[Row]]] = [
    (READS, "Rows: is a count (1)", [{"Object": "Zip", "Rows": -1}]),
    (WORKLIST, "the key is unique (2)", [{"problem": "tie", "enrollment_id": 1}] * 2),
    (WORKLIST, "problem: is a known problem (1)", [{"problem": "other"}]),
    (
        CONFIDENTIAL_PHONES,
        "a number is one person's (2)",
        [{"student_id": 1, "parent_id": 1, "digits": "5"}, {"digits": "5"}],
    ),
    (ZIP, "the key is given unless it was unreadable (1)", [{"City": "Austin"}]),
    (ZIP, "the key is unique (2)", [{"ZipID": 1}, {"ZipID": 1}, {"ZipID": 2}]),
    (SCHOOL, "the key is given unless it was unreadable (1)", [school() | {"SchoolYearID": None}]),
    *(
        (ZIP, "Unreadable: is a json object (1)", [{"ZipID": 1, "Unreadable": text}])
        for text in ("StartDate", "{", "}")
    ),
    (SCHOOL_YEAR, "IsCurrentYearForProvidedEntity: one year is current (1)", [{"SchoolYearID": 1}]),
    (SCHOOL_YEAR, "NumericYear: is a calendar year (1)", [CURRENT | {"NumericYear": 27}]),
    (SCHOOL, "one name and number per school and year (2)", [school(), school("Annex")]),
    (COUNTED, "the key is unique (2)", [counted(1), counted(1)]),
    (COUNTED, "the last day is not before the first (1)", [counted(1, last_day=LONG_AGO), counted(2)]),
    (COUNTED, "withdrawal_code: is not cecs (1)", [counted(withdrawal_code="cecs")]),
    *(
        (COUNTED, "withdrawal_code: is trimmed and not blank (1)", [counted(withdrawal_code=code)])
        for code in ("01 ", "")
    ),
    *((COUNTED, f"{name}: is given (1)", [counted(**{name: None})]) for name in ("student_id", "first_day")),
    (
        COUNTED,
        "first_day: mostly lies in 1990 to 2100 (11)",
        [counted(n, first_day=LONG_AGO) for n in range(11)],
    ),
    (
        EXCLUDED,
        "outcome and reason belong together (2)",
        [excluded("cecs", outcome="quarantined", withdrawal_code="CECS"), excluded("mistake")],
    ),
    (
        EXCLUDED,
        "the dates bear the reason out (4)",
        [
            excluded("never_effective"),
            excluded("never_closed", last_day=TODAY),
            excluded("outside_window"),
            excluded("never_effective", first_day=TODAY, last_day=TODAY),
        ],
    ),
    (
        EXCLUDED,
        "cecs is excluded as cecs (2)",
        [excluded("cecs", withdrawal_code="82"), excluded("no_start_date", withdrawal_code="cecs")],
    ),
    (STATUS, "the key is unique (2)", [student(1), student(1, enrollment_id=2)]),
    (STATUS, "an enrollment decides one status (2)", [student(1), student(2, enrollment_id=1)]),
    *(
        (STATUS, "status and reason belong together (1)", [student(**decision)])
        for decision in ({"reason": "withdrawn"}, {"reason": "other"}, {"status": "PRE_ENROLLED"})
    ),
    (STATUS, "who left has a last day (1)", [left("INACTIVE", "withdrawn", None, last_day=None)]),
    (STATUS, "graduated means code 01 (1)", [left("GRADUATED", "graduated", "1")]),
    (STATUS, "graduated means code 01 (1)", [left("INACTIVE", "withdrawn", "01")]),
    (STATUS, "the last day is not before the first (1)", [student(first_day=LATER, last_day=TODAY)]),
    (UNCERTAIN, "reasons: are reasons that make uncertain (1)", [{"reasons": "never_effective"}]),
    *(
        (each, "the key is unique (2)", [{"student_id": 1}] * 2)
        for each in (UNCERTAIN, STUDENTS, STUDENTS_WITHOUT_RECORD)
    ),
    (
        STUDENTS,
        "birth_date: mostly lies in 1980 to 2100 (11)",
        born_long_ago(11, of=1_000),
    ),
    (PARENTS, "the key is unique (2)", [parent(), parent()]),
    *(
        (
            PARENTS,
            "restricted access leaves no contact (1)",
            [parent(has_restricted_access=True, **{column: "x"})],
        )
        for column in PARENT_CONTACTS
    ),
    (
        PARENTS,
        "has_restricted_access: is answered for all or for none (1)",
        [parent(has_restricted_access=False), parent(parent_id=2)],
    ),
]


@pytest.mark.parametrize(("model", "failure", "rows"), BROKEN)
def test_what_breaks_a_check_is_counted_under_its_column_and_name(model, failure, rows):
    named = failure if ": " in failure else f"(table): {failure}"
    assert f" {named}" in summary(model, *rows)


def test_every_check_of_every_table_is_broken_by_some_case_above():
    """A check that nothing can break is a defect."""
    broken = {failure.rpartition(" (")[0] for _, failure, _ in BROKEN}
    for declaration in ALL_TABLES.values():
        assert {check.name for check in schema_of(declaration).checks} <= broken


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        *(("student_id", dtype) for dtype in ("float64", "int64", "Int64", "string[pyarrow]")),
        *(("first_day", "timestamp[ns][pyarrow]"), ("status", "object"), ("status", "str")),
    ],
)
def test_a_column_of_another_type_is_refused_however_alike_it_looks(column, dtype):
    frame = table(STATUS, [student()])
    assert f" {column}: has the type " in violations(frame.astype({column: dtype}), STATUS)


def test_a_text_that_many_rows_share_is_a_dictionary_and_survives_parquet(tmp_path):
    table(COUNTED, [counted(withdrawal_code="01")]).to_parquet(tmp_path / "frame.parquet")
    again = pa.parquet.read_table(tmp_path / "frame.parquet").to_pandas(types_mapper=pd.ArrowDtype)
    assert not violations(again, COUNTED)
    assert list(again["withdrawal_code"]) == ["01"]


# -- the report --

SENTINEL = "Zz-sentinel-741"
NUMBER = 741_741_741
SECRET = [
    (STATUS, [student(status=SENTINEL, reason=SENTINEL)]),
    (STATUS, [student(NUMBER), student(NUMBER)]),
    (COUNTED, [counted(last_day=date(741, 7, 4), withdrawal_code=f" {SENTINEL} ")]),
    (PARENTS, [parent(has_restricted_access=True, email=SENTINEL)]),
    (NAME, [{"LastName": SENTINEL}, {"Unreadable": SENTINEL, "NameID": NUMBER}]),
    (UNCERTAIN, [{"student_id": 1, "reasons": SENTINEL}]),
]


def assert_tells_nothing(frame: pd.DataFrame, model: Any) -> None:
    said = violations(frame, model)
    assert said
    assert not any(value in said for value in (SENTINEL, str(NUMBER), "0741"))


@pytest.mark.parametrize(("model", "rows"), SECRET)
def test_a_report_never_contains_a_value(model, rows):
    assert_tells_nothing(table(model, rows), model)


@pytest.mark.parametrize("name", ALL_TABLES)
def test_a_report_never_contains_a_value_of_a_column_of_the_wrong_type(name):
    """Checks may stumble over such a column; what they say then stays inside."""
    declared = ALL_TABLES[name]
    for values in ([SENTINEL, f"{SENTINEL} {NUMBER}"], [[SENTINEL], [NUMBER]]):
        assert_tells_nothing(pd.DataFrame(dict.fromkeys(declared.names, values)), declared)


def test_a_check_that_raises_is_a_failure_too(monkeypatch):
    anew = replace(UNCERTAIN, description="no schema of it is cached")
    monkeypatch.setitem(CHECKS, anew.name, {"reasons: are plain": lambda frame: frame["none"]})
    assert violations(table(anew, [{"student_id": 1, "reasons": "unreadable"}]), anew) == (
        "uncertain: 1 rows, reasons: are plain, which could not be checked (1)"
    )


def test_a_missing_and_an_unexpected_column_are_named_and_an_unexpected_name_is_cut():
    frame = table(UNCERTAIN, [{"student_id": 1, "reasons": "unreadable"}])
    assert violations(frame.rename(columns={"reasons": "x" * 500}), UNCERTAIN) == (
        f"uncertain: 1 rows, reasons: is missing (1); {'x' * 60}: is not expected (1)"
    )


def test_every_failure_of_a_frame_is_reported_at_once_and_counted_on_any_index():
    rows = [student(1, status="other", first_day=None), student(1, enrollment_id=None, status="other")]
    frame = table(STATUS, rows)
    frame.index = pd.Index([7, 3])
    assert violations(frame, STATUS) == (
        "student_status: 2 rows, (table): status and reason belong together (2); (table): the key is unique "
        "(2); enrollment_id: is given (1); first_day: is given (1)"
    )
