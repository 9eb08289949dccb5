"""SameGoal's `students.csv`: its columns, what it demands of a row, reading such a file, and comparing it.

The layout is SameGoal's public page "Demographics integration: generic API". Writing files is in `warehouse`.
No error here quotes a cell.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from itertools import chain
from time import strptime
from typing import Any, NamedTuple

import pandas as pd

from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.printable import counted
from samegoal_pipelines.transforms.columns import records_of

NUMBER, BIRTH, GENDER, STATUS = "Student Id", "Date of Birth", "Gender", "District Enrollment"
# Column of the layout → column of the views; Qmlativ does not say in which district a student lives.
COLUMNS: dict[str, str | None] = {
    NUMBER: "student_number",
    "Last Name": "last_name",
    "Middle Name": "middle_name",
    "First Name": "first_name",
    BIRTH: "birth_date",
    GENDER: "gender",
    STATUS: "status",  # written with an underscore
    "Grade": "grade",
    "Address": "street",
    "City": "city",
    "State": "state",
    "Zip": "zip",
    "Race": "race",
    "District of Residence": None,
    "County of Residence": "county",
    "District of Service": "district_name",
    "Student Reporting Id": "student_reporting_id",
    "Building": "building",
    "Building Reporting Id": "building_reporting_id",
    "SIS Internal ID": "student_id",
}
REQUIRED = (NUMBER, "Last Name", "First Name", BIRTH, GENDER, STATUS, "Building", "Building Reporting Id")
GENDERS = {"M", "F", "m", "f", "male", "female", "Male", "Female"}
STUDENT_ID_LENGTH = 20
Cells = dict[str, Any]


class StudentsFileError(PipelineError):
    """A file is not a `students.csv` in SameGoal's layout. Names the place, never the content."""

    next_step = (
        "correct the file there, or save it again as CSV UTF-8 in SameGoal's layout, as `export` writes it"
    )


class StudentsFile(NamedTuple):
    """A file in SameGoal's layout: its columns, and its rows by student number."""

    columns: tuple[str, ...]
    students: dict[str, Cells]


class Comparison(NamedTuple):
    """What would be published beside a file. Students are listed by number."""

    students_in_file: int
    same: int
    new: tuple[str, ...]
    missing: tuple[str, ...]
    different: dict[str, tuple[str, ...]]
    """Student number → columns."""
    different_by_column: dict[str, int]
    """Column → students who differ in it, the most frequent first."""
    not_compared: tuple[str, ...]
    """Columns of the layout that the file or Qmlativ does not have."""
    without_usable_number: int
    """Students who would be published without a number, or with another student's."""
    differ_in_leading_zeros: int
    """Missing numbers that, apart from leading zeros, are those of new students."""


def cells_of(row: Mapping[str, Any]) -> Cells:
    """A published student in SameGoal's layout, blank text as None. `row` has the views' columns."""
    values = {column: row.get(name or "") for column, name in COLUMNS.items()}
    values[STATUS] = (row.get("status") or "").replace("-", "_")
    return {
        column: None if isinstance(value, str) and not value.strip() else value
        for column, value in values.items()
    }


def students_of(statuses: pd.DataFrame, students: pd.DataFrame, district_name: str) -> list[dict[str, Any]]:
    """The students of a snapshot's tables as `cells_of` takes them."""
    both = students.merge(statuses[["student_id", "status"]], on="student_id", validate="one_to_one")
    return records_of(both.assign(district_name=district_name))


def check_rows(
    rows: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[Mapping[str, Any], Cells, tuple[str, ...]]]:
    """Each published student, the cells, and what SameGoal would refuse them for."""
    numbers = Counter(row["student_number"] for row in rows)
    for row in rows:
        cells = cells_of(row)
        yield row, cells, tuple(_complaints(cells, numbers))


def _complaints(cells: Cells, numbers: Counter[str]) -> list[str]:
    """By column and without a value."""
    found = [f"no {column}" for column in REQUIRED if cells[column] is None]
    number, gender = cells[NUMBER], cells[GENDER]
    if number is not None:
        if numbers[number] > 1:
            found.append(f"the same {NUMBER} as {counted(numbers[number] - 1, 'other student')}")
        if not (number.isalnum() and len(number) <= STUDENT_ID_LENGTH):
            found.append(f"a {NUMBER} that is not up to {STUDENT_ID_LENGTH} letters and digits")
    if gender is not None and gender not in GENDERS:
        found.append("a Gender that SameGoal's layout does not know")
    return found


def read_students_csv(content: bytes) -> StudentsFile:
    """Read a file in SameGoal's layout, or raise StudentsFileError, which names the line and the column.

    Every cell is text; a byte order mark and CRLF are fine.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise StudentsFileError("it is UTF-16, not UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise StudentsFileError(f"line {line} is not UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: tuple[str, ...] = ()
    students: dict[str, Cells] = {}
    line_of: dict[str, int] = {}
    line = 1
    try:
        for row in reader:
            if not columns:
                columns = _header(row)
            elif any(map(str.strip, row)):  # spreadsheets write rows of commas
                cells = _cells(columns, row, line)
                number = cells[NUMBER]
                if number in students:
                    raise StudentsFileError(f"lines {line_of[number]} and {line} have the same {NUMBER}")
                students[number], line_of[number] = cells, line
            line = reader.line_num + 1
    except csv.Error:
        raise StudentsFileError(f"line {line}: quotes that do not match") from None
    if not columns:
        raise StudentsFileError("it is empty")
    return StudentsFile(columns, students)


def _header(row: Sequence[str]) -> tuple[str, ...]:
    columns = tuple(name.strip() for name in row)
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        raise StudentsFileError("line 1: the columns are not separated by commas")
    for position, name in enumerate(columns, 1):
        if name not in COLUMNS:  # it may be a row of data, so it is not quoted
            raise StudentsFileError(
                f"line 1, column {position}: no column of the layout ({', '.join(COLUMNS)})"
            )
        if name in columns[: position - 1]:
            raise StudentsFileError(f"line 1, column {position}: {name} comes twice")
    if NUMBER not in columns:
        raise StudentsFileError(f"line 1: no column {NUMBER}")
    return columns


def _cells(columns: Sequence[str], row: Sequence[str], line: int) -> Cells:
    if len(row) != len(columns):
        raise StudentsFileError(f"line {line}: {len(row)} columns, and the header has {len(columns)}")
    cells: Cells = {name: cell.strip() or None for name, cell in zip(columns, row, strict=True)}
    if cells[NUMBER] is None:
        raise StudentsFileError(f"line {line}, column {NUMBER}: blank")
    if birth := cells.get(BIRTH):
        cells[BIRTH] = _day(birth)
        if cells[BIRTH] is None:
            raise StudentsFileError(f"line {line}, column {BIRTH}: no date such as 2015-03-04 or 03/04/2015")
    return cells


def _day(text: str) -> date | None:
    for layout in ("%Y-%m-%d", "%m-%d-%Y"):
        with suppress(ValueError):
            return date(*strptime(text.replace("/", "-"), layout)[:3])
    return None


def compare(rows: Iterable[Mapping[str, Any]], file: StudentsFile) -> Comparison:
    """Compare students who would be published (as `cells_of` takes them) with a file, by student number."""
    tonight = [cells_of(row) for row in rows]
    numbers = Counter(cells[NUMBER] for cells in tonight)
    usable = {cells[NUMBER]: cells for cells in tonight if cells[NUMBER] and numbers[cells[NUMBER]] == 1}
    compared = [name for name in file.columns if name != NUMBER and COLUMNS[name]]
    both = sorted(usable.keys() & file.students.keys())
    different = {}
    for number in both:
        ours, theirs = usable[number], file.students[number]
        if columns := tuple(name for name in compared if not _alike(name, ours[name], theirs[name])):
            different[number] = columns
    new, missing = usable.keys() - file.students.keys(), file.students.keys() - numbers.keys()
    unpadded = {number.lstrip("0") for number in new}
    return Comparison(
        students_in_file=len(file.students),
        same=len(both) - len(different),
        new=tuple(sorted(new)),
        missing=tuple(sorted(missing)),
        different=different,
        different_by_column=dict(Counter(chain.from_iterable(different.values())).most_common()),
        not_compared=tuple(name for name in COLUMNS if name != NUMBER and name not in compared),
        without_usable_number=len(tonight) - len(usable),
        differ_in_leading_zeros=sum(number.lstrip("0") in unpadded for number in missing),
    )


def _alike(column: str, tonight: Any, there: Any) -> bool:
    """Whether two cells say the same. SameGoal knows several ways to write a gender and a status."""
    ours, theirs = ("" if cell is None else str(cell).strip() for cell in (tonight, there))
    if column == GENDER and {ours, theirs} <= GENDERS:
        return ours[0].upper() == theirs[0].upper()
    if column == STATUS:
        ours, theirs = ours.replace("-", "_"), theirs.replace("-", "_")
    return theirs in (ours, f"'{ours}")  # `export` writes an apostrophe before what looks like a formula
