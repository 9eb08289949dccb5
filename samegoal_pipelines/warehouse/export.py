"""Export what is published: `students.csv` in the layout of SameGoal's Generic CSV API, and `parents.csv`.

The layout is in `transforms.students_csv`. `parents.csv` has the columns of the view `parent_demographics`.
The table `disclosures` records who took data or a secret out of the warehouse with a command.
"""

import csv
import errno
import os
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from samegoal_pipelines.errors import SYNC
from samegoal_pipelines.tables.catalog import VIEWS
from samegoal_pipelines.tables.warehouse import disclosures
from samegoal_pipelines.transforms.students_csv import COLUMNS, NUMBER, check_rows
from samegoal_pipelines.warehouse.engine import as_operator, as_writer
from samegoal_pipelines.warehouse.errors import WarehouseError

_FORMULA_BEGINS = frozenset("=+-@")


@dataclass(frozen=True)
class RefusedStudent:
    """A student whom SameGoal would refuse, and why."""

    student_number: str | None
    student_id: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Exported:
    """What was written, and which students were excluded."""

    file: Path
    parents_file: Path
    snapshot_date: date
    students: int
    parents: int
    excluded: tuple[RefusedStudent, ...]


_STUDENTS = sa.text(
    """
    select student.*, status.status, district.name as district_name
    from samegoal.student_status as status
    join samegoal.student_demographics as student using (district_id, student_id)
    join samegoal.districts as district using (district_id)
    where district_id = :district_id
        and (cast(:number as text) is null or student.student_number = :number)
    order by student.student_number, student_id
    """
)

_PARENT_COLUMNS = VIEWS["parent_demographics"].names
_PARENTS = sa.text(
    """
    select * from samegoal.parent_demographics
    where district_id = :district_id
    order by student_number, student_id, rank nulls last, parent_id
    """
)


def published_students(
    engine: sa.Engine, district_id: str, number: str | None = None
) -> list[dict[str, Any]]:
    """The district's published students, or those with this number, as `students_csv.cells_of` takes them."""
    with as_operator(engine, f"{district_id}: reading what is published") as connection:
        return _read(connection, _STUDENTS, district_id, number)


def _read(
    connection: sa.Connection, query: sa.TextClause, district_id: str, number: str | None = None
) -> list[dict[str, Any]]:
    rows = connection.execute(query, {"district_id": district_id, "number": number}).mappings()
    return [dict(row) for row in rows]


def export_district(engine: sa.Engine, district_id: str, folder: Path, *, exported_by: str) -> Exported:
    """Write the district's published students and parents to `folder`, and record who did it.

    Both files are replaced, or neither. Parents of excluded students are excluded.
    """
    with as_operator(engine, f"{district_id}: reading what is published") as connection:
        students, parents = (_read(connection, query, district_id) for query in (_STUDENTS, _PARENTS))
    if not students:
        raise WarehouseError(
            "no students are published yet", district_id=district_id, next_step=f"run its night first: {SYNC}"
        )
    lines, excluded = [], []
    for row, cells, reasons in check_rows(students):
        if reasons:
            excluded.append(RefusedStudent(cells[NUMBER], row["student_id"], reasons))
        else:
            lines.append(list(cells.values()))
    refused = {student.student_id for student in excluded}
    parent_lines = [
        [row[name] for name in _PARENT_COLUMNS] for row in parents if row["student_id"] not in refused
    ]
    files = folder / "students.csv", folder / "parents.csv"
    night = students[0]["snapshot_date"]
    exported = Exported(*files, night, len(lines), len(parent_lines), tuple(excluded))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file.is_dir():  # it would be moved like a file, and deleted with the rest
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as name:  # mode 0700
            aside = Path(name)
            _write(aside / files[0].name, COLUMNS, lines)
            _write(aside / files[1].name, _PARENT_COLUMNS, parent_lines)
            record_disclosure(engine, district_id, "export", exported_by, exported)
            _replace_together(aside, *files)
    except OSError as error:
        raise WarehouseError(
            f"{error.filename2 or error.filename} cannot be written: {error.strerror}",
            district_id=district_id,
            next_step="choose another folder",
        ) from None
    return exported


def record_disclosure(
    engine: sa.Engine,
    district_id: str,
    what: Literal["export", "client secret"],
    by: str,
    exported: Exported | None = None,
) -> None:
    """Record who takes what. Call this before it leaves, so that nothing is disclosed without a record."""
    row: dict[str, Any] = {"district_id": district_id, "disclosed_by": by, "what": what}
    if exported:
        row |= {name: getattr(exported, name) for name in ("snapshot_date", "students", "parents")}
    with as_writer(engine, district_id, f"{district_id}: recording the disclosure") as connection:
        connection.execute(sa.insert(disclosures).values(**row))


def csv_cell(value: Any) -> str:
    """The cell. An apostrophe precedes what a spreadsheet would run as a formula.

    The first visible character in any width decides, because some programs trim what precedes it.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "" if value is None else str(value)
    first = next((letter for letter in text if letter.isprintable() and letter != " "), "")
    is_formula = not _FORMULA_BEGINS.isdisjoint(unicodedata.normalize("NFKC", first))
    return f"'{text}" if is_formula or text.startswith(("\t", "\r")) else text


def _write(file: Path, columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a file that only its owner can read."""
    file.touch(mode=0o600)
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows([csv_cell(cell) for cell in row] for row in rows)


def _replace_together(aside: Path, *files: Path) -> None:
    """Replace the old files by the new ones from the folder `aside`, or leave all the old ones.

    The old files are moved first, so that a killed process leaves a file missing, but never mixes two nights.
    """
    with ExitStack() as undo:
        for file in files:
            if file.exists():
                before = file.replace(aside / f"old-{file.name}")
                undo.callback(before.replace, file)
            undo.callback(file.unlink, missing_ok=True)
        for file in files:
            (aside / file.name).replace(file)
        undo.pop_all()
