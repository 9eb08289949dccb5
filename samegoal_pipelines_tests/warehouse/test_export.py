"""students.csv holds what SameGoal takes; parents.csv has the parents of these students and no others."""

import csv
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

from samegoal_pipelines.tables.catalog import VIEWS
from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines.warehouse.export import Exported, export_district
from samegoal_pipelines_tests.reporting.factories import register
from samegoal_pipelines_tests.warehouse.factories import NIGHT, publish_night, rows, snapshot, student

COMPLETE = {
    **{"first_name": "Ana", "last_name": "Tran", "birth_date": date(2015, 3, 4), "gender": "Female"},
    **{"building": "Elm", "building_reporting_id": "001"},
}


@pytest.fixture
def registered(warehouse: sa.Engine) -> sa.Engine:
    register(warehouse, "grand-bend")
    return warehouse


def export(engine: sa.Engine, folder: Path, *students: dict) -> tuple[list[dict[str, str]], Exported]:
    """Publish these students, and export what is published."""
    if students:
        publish_night(engine, 0, snapshot(*students))
    exported = export_district(engine, "grand-bend", folder, exported_by="Pat Miller")
    return read(exported.file), exported


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def disclosures(engine: sa.Engine) -> list[tuple]:
    return rows(
        engine,
        "select district_id, disclosed_by, what, snapshot_date, students, parents from samegoal.disclosures",
    )


@contextmanager
def listening(engine: sa.Engine, listener: Callable[..., None]) -> Iterator[None]:
    sa.event.listen(engine, "before_cursor_execute", listener)
    yield
    sa.event.remove(engine, "before_cursor_execute", listener)


def test_the_columns_are_those_of_the_layout_in_its_order(registered, tmp_path):
    address = {"street": "1 Elm St", "city": "Bend", "state": "TX", "zip": "01234", "county": "Travis"}
    more = {"middle_name": "Bo", "grade": "05", "race": "White", "student_reporting_id": "0099"}
    ana = student(7, **COMPLETE, **address, **more, status="PRE-ENROLLED")
    _, exported = export(registered, tmp_path, ana)
    assert exported.file.read_text(encoding="utf-8").splitlines() == [
        "Student Id,Last Name,Middle Name,First Name,Date of Birth,Gender,District Enrollment,Grade,Address,"
        "City,State,Zip,Race,District of Residence,County of Residence,District of Service,"
        "Student Reporting Id,Building,Building Reporting Id,SIS Internal ID",
        "00007,Tran,Bo,Ana,2015-03-04,Female,PRE_ENROLLED,05,1 Elm St,"
        "Bend,TX,01234,White,,Travis,Grand Bend ISD,0099,"
        "Elm,001,7",
    ]


REQUIRED = {
    **{"student_number": "Student Id", "last_name": "Last Name", "first_name": "First Name"},
    **{"birth_date": "Date of Birth", "gender": "Gender", "building": "Building"},
    "building_reporting_id": "Building Reporting Id",
}
ODD_NUMBERS = ("12 34", "1" * 21, "a-1", "=1")


def test_students_whom_the_layout_refuses_are_excluded_and_listed_without_a_value(registered, tmp_path):
    lacking = [
        {**student(n, **COMPLETE), column: "  " if column == "gender" else None}
        for n, column in enumerate(REQUIRED, 10)
    ]
    odd = [{**student(n, **COMPLETE), "student_number": number} for n, number in enumerate(ODD_NUMBERS, 20)]
    twice = [{**student(n, **COMPLETE), "student_number": "5"} for n in (2, 3)]
    gender = student(4, **{**COMPLETE, "gender": "Nonbinary"})
    rows, exported = export(registered, tmp_path, student(1, **COMPLETE), *lacking, *odd, *twice, gender)
    assert [row["SIS Internal ID"] for row in rows] == ["1"]
    assert {one.student_id: one.reasons for one in exported.excluded} == {
        **{n: (f"no {field}",) for n, field in enumerate(REQUIRED.values(), 10)},
        **dict.fromkeys((2, 3), ("the same Student Id as 1 other student",)),
        4: ("a Gender that SameGoal's layout does not know",),
        **dict.fromkeys(range(20, 24), ("a Student Id that is not up to 20 letters and digits",)),
    }


FORMULAS = (
    "=cmd()", "+1", "-1", "@x", "\tx", "\rx",
    "\n=1", "\x0b=1", "\u00a0=1", " \t =1", "\ufeff=1", "\u200b-1", "\x01@x", "\u202e=1",
    "＝1+1", "＋1", "－1", "＠x", "﹢1", "\u3000＝1", "=\u0338",
)  # fmt: skip
HARMLESS = (
    *("None", "NULL", 'a "b", c', "two\nlines", "Núñez 🎓"),
    *("O'Neil", "A=1", " Lee-Ann", "\u00a0Lee", "''Lee"),
)


def test_a_name_is_no_formula_and_any_other_arrives_as_it_is(registered, tmp_path):
    names = FORMULAS + HARMLESS
    named = (student(n, **{**COMPLETE, "last_name": name}) for n, name in enumerate(names))
    rows, _ = export(registered, tmp_path, *named)
    assert [row["Last Name"] for row in rows] == [*(f"'{name}" for name in FORMULAS), *HARMLESS]


def test_nothing_published_says_what_to_do_and_writes_nothing(registered, tmp_path):
    with pytest.raises(WarehouseError, match="no students are published yet; run its night first"):
        export(registered, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("blocked", ["students.csv", "parents.csv"])
def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left_or_recorded(
    registered, tmp_path, blocked
):
    (tmp_path / blocked).mkdir()
    with pytest.raises(WarehouseError, match=f"grand-bend: .*{blocked} cannot be written: .*another folder"):
        export(registered, tmp_path, student(1, **COMPLETE))
    assert [path.name for path in tmp_path.iterdir()] == [blocked]
    assert disclosures(registered) == []


def test_every_parents_student_is_in_students_csv_and_a_row_has_the_published_columns(registered, tmp_path):
    """A student whom SameGoal would refuse is in neither file, and neither is another district's."""
    register(registered, "other")
    publish_night(registered, 0, snapshot(student(9, **COMPLETE, parents={90: {}})), district_id="other")
    mother = {"first_name": "Mai", "rank": 1, "is_custodial": True, "has_restricted_access": False,
              "zip": "01234", "email": "=mai@example.org"}  # fmt: skip
    students, exported = export(
        registered,
        tmp_path,
        student(7, **COMPLETE, parents={70: mother, 71: {}}),
        student(8, **{**COMPLETE, "gender": None}, parents={70: {}, 80: {}}),
        student(9, **COMPLETE),
    )
    parents = read(exported.parents_file)
    assert [(row["student_id"], row["parent_id"]) for row in parents] == [("7", "70"), ("7", "71")]
    assert list(parents[0]) == list(VIEWS["parent_demographics"].names)
    assert {name: value for name, value in parents[0].items() if value} == {
        **{"district_id": "grand-bend", "student_id": "7", "student_number": "00007", "parent_id": "70"},
        **{"last_name": "Tran", "first_name": "Mai", "rank": "1", "is_custodial": "true"},
        **{"has_restricted_access": "false", "zip": "01234", "email": "'=mai@example.org"},
        "snapshot_date": NIGHT.isoformat(),
    }
    assert [row["SIS Internal ID"] for row in students] == ["7", "9"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o600, 0o600]  # the owner's
    assert (exported.students, exported.parents) == (2, 2)
    assert disclosures(registered) == [("grand-bend", "Pat Miller", "export", NIGHT, 2, 2)]


def test_both_files_are_of_one_night_if_another_is_published_meanwhile(registered, tmp_path):
    publish_night(registered, 0, snapshot(student(1, **COMPLETE, parents={10: {"first_name": "old"}})))
    pending = [snapshot(student(1, **COMPLETE, parents={10: {"first_name": "new"}}))]

    def publish_before_parents(*call: object) -> None:
        if "parent_demographics" in str(call[2]) and pending:
            publish_night(registered, 1, pending.pop())

    with listening(registered, publish_before_parents):
        _, exported = export(registered, tmp_path)
    assert pending == []
    assert exported.snapshot_date == NIGHT
    assert [row["first_name"] for row in read(exported.parents_file)] == ["old"]


@pytest.mark.parametrize("exported_before", [True, False])
@pytest.mark.parametrize("failing", ["students.csv", "parents.csv"])
def test_both_files_are_replaced_or_neither(registered, tmp_path, monkeypatch, exported_before, failing):
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    if exported_before:
        export(registered, tmp_path, student(1, **COMPLETE, parents={10: {}}))
    before = files()
    publish_night(registered, 1, snapshot(student(2, **COMPLETE, parents={20: {}})))
    replace, target = Path.replace, tmp_path / failing

    def refuse_new(self: Path, to: Path) -> Path:
        if to == target and not self.name.startswith("old-"):
            raise PermissionError(13, "Permission denied", str(self), None, str(to))
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", refuse_new)
    with pytest.raises(WarehouseError, match=f"{failing} cannot be written: Permission denied"):
        export(registered, tmp_path)
    assert files() == before


def test_nothing_is_written_if_it_cannot_be_recorded(registered, tmp_path):
    publish_night(registered, 0, snapshot(student(1, **COMPLETE)))

    def fail_to_record(*call: object) -> None:
        if "INSERT INTO samegoal.disclosures" in str(call[2]):
            raise psycopg2.OperationalError("disk full")

    with listening(registered, fail_to_record):
        with pytest.raises(WarehouseError, match="grand-bend: recording the disclosure"):
            export(registered, tmp_path)
    assert list(tmp_path.iterdir()) == []
