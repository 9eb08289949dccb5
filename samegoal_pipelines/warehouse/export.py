"""`students.csv` in the layout of SameGoal's Generic CSV API, from what is published now.

Here: the layout's columns, what it demands of a row, and spreadsheets that must not run what a name says.
The layout is SameGoal's public page "Demographics integration: generic API".
"""

from __future__ import annotations

import csv
import os
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.errors import WarehouseError

FILE_NAME = "students.csv"
GENDERS = {"M", "F", "m", "f", "male", "female", "Male", "Female"}
STUDENT_ID_LENGTH = 20
_FORMULA_BEGINS = frozenset("=+-@")


@dataclass(frozen=True)
class RefusedStudent:
    """A student whom SameGoal would refuse, and why; by number, or by Qmlativ's id where there is none."""

    student_number: str | None
    student_id: int
    reasons: tuple[str, ...]

    @property
    def label(self) -> str:
        """How a person finds the student."""
        return self.student_number or f"StudentID {self.student_id} (without a student number)"


@dataclass(frozen=True)
class Exported:
    """What was written, and who was left out."""

    file: Path
    snapshot_date: date
    students: int
    left_out: tuple[RefusedStudent, ...]


# Column of the layout → column of the views; Qmlativ does not say in which district a student lives.
_COLUMNS: dict[str, str | None] = {
    "Student Id": "student_number",
    "Last Name": "last_name",
    "Middle Name": "middle_name",
    "First Name": "first_name",
    "Date of Birth": "birth_date",
    "Gender": "gender",
    "District Enrollment": "district_enrollment",
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
REQUIRED = (
    "Student Id",
    "Last Name",
    "First Name",
    "Date of Birth",
    "Gender",
    "District Enrollment",
    "Building",
    "Building Reporting Id",
)

_PUBLISHED = sa.text(
    """
    select student.*, replace(status.status, '-', '_') as district_enrollment,
        district.name as district_name
    from samegoal.student_status as status
    join samegoal.student_demographics as student using (district_id, student_id)
    join samegoal.districts as district using (district_id)
    where district_id = :district_id
    order by student.student_number, student_id
    """
)


def export_students(engine: sa.Engine, district_id: str, folder: Path) -> Exported:
    """Write the district's published students to `folder`/students.csv, all of it or nothing.

    Raises:
        WarehouseError: nothing is published yet, or the file cannot be written.
    """
    with as_operator(engine, "reading the published students") as connection:
        rows = [dict(row) for row in connection.execute(_PUBLISHED, {"district_id": district_id}).mappings()]
    if not rows:
        raise WarehouseError(
            f"{district_id}: no students are published yet; run its night first: "
            f"samegoal-pipelines sync {district_id}"
        )
    numbers = Counter(row["student_number"] for row in rows)
    lines, left_out = [], []
    for row in rows:
        cells = {column: _blank_as_none(row.get(name or "")) for column, name in _COLUMNS.items()}
        reasons = _complaints(cells, numbers)
        if reasons:
            left_out.append(
                RefusedStudent(_blank_as_none(row["student_number"]), row["student_id"], tuple(reasons))
            )
        else:
            lines.append([_as_text(cell) for cell in cells.values()])
    file = folder / FILE_NAME
    _write(file, lines)
    return Exported(file, rows[0]["snapshot_date"], len(lines), tuple(left_out))


def _complaints(cells: Mapping[str, Any], numbers: Counter[str]) -> list[str]:
    """What SameGoal would refuse the row for, by column and without a value."""
    found = [f"no {column}" for column in REQUIRED if cells[column] is None]
    number, gender = cells["Student Id"], cells["Gender"]
    if number is not None:
        if numbers[number] > 1:
            found.append(f"the same Student Id as {numbers[number] - 1} other student(s)")
        if not (number.isalnum() and len(number) <= STUDENT_ID_LENGTH):
            found.append(f"a Student Id that is not up to {STUDENT_ID_LENGTH} letters and digits")
    if gender is not None and gender not in GENDERS:
        found.append("a Gender that SameGoal's layout does not know")
    return found


def _blank_as_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _as_text(value: Any) -> str:
    """The cell; one that a spreadsheet would take for a formula begins with an apostrophe."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("\t", "\r")) or _is_formula(text) else text


def _is_formula(text: str) -> bool:
    """By its first letter that is seen, in whatever width: some programs trim what comes before it."""
    first = next((letter for letter in text if letter.isprintable() and letter != " "), "")
    return not _FORMULA_BEGINS.isdisjoint(unicodedata.normalize("NFKC", first))


def _write(file: Path, lines: list[list[str]]) -> None:
    """Write next to the file and put it in place when it is whole; only its owner may read it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=file.parent, prefix=".students-", suffix=".csv")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as text:
                writer = csv.writer(text)
                writer.writerow(_COLUMNS)
                writer.writerows(lines)
            Path(partial).replace(file)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(partial).unlink()
            raise
    except OSError as error:
        raise WarehouseError(f"{file} cannot be written: {error.strerror}; choose another folder") from None
