"""What happens from night to night: a few students enroll, leave, move, change grade or phone.

Each night has its own seed and touches positions of the first night's tables, so night 5 contains night 4
to the row, and an id never changes its meaning. No HTTP, and nothing of how the first night came about.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.sandbox.careers import day_number, first_day, last_day
from samegoal_pipelines.sandbox.district import GRADES
from samegoal_pipelines.sandbox.draw import generator, joined, words
from samegoal_pipelines.sandbox.places import address_columns
from samegoal_pipelines.sandbox.rows import appended
from samegoal_pipelines.sandbox.school_years import (
    LEAVER_CODES,
    WITHDRAWAL_CODES,
    school_year_of,
    withdrawal_code_id,
)
from samegoal_pipelines.sandbox.words import AREA_CODES, GENERAL_FIRST_F, GENERAL_FIRST_M

CHANGED_PER_NIGHT = 0.005
"""Share of students that a night concerns."""
_LEAVE, _ENROLL, _GRADE, _MOVE, _PHONE = 0.15, 0.15, 0.1, 0.3, 0.3
_NEW_IDS = 50_000_000
"""Rows that a night adds have ids of their own range: night × 10,000 and on."""

Tables = dict[str, pa.Table]
_ENROLLMENTS, _STUDENTS = "Enrollment/EntryWithdrawal", "Student/Student"
_NAMES, _PHONES = "Demographics/Name", "Demographics/NamePhone"
_LINKS, _ADDRESSES = "Demographics/NameAddress", "Demographics/Address"
_GUARDIANS = "Family/StudentGuardian"


def evolve(tables: Tables, seed: int, number: int, today: dt.date, nights: int) -> Tables:
    """The tables after so many nights, of which the last ends on ``today``."""
    students = tables[_STUDENTS].num_rows
    if not students:
        return tables
    sizes = {name: table.num_rows for name, table in tables.items()}
    for night in range(1, nights + 1):
        rng = generator(seed, number, "night", night)
        day = today - dt.timedelta(days=nights - night)

        def some(share: float, of: int, rng: np.random.Generator = rng) -> np.ndarray:
            wanted = min(of, max(1, round(students * CHANGED_PER_NIGHT * share)))
            return np.sort(rng.choice(of, wanted, replace=False))

        _leave(tables, rng, some(_LEAVE, students), day)
        _enroll(tables, rng, some(_ENROLL, students), day, _NEW_IDS + night * 10_000)
        _regrade(tables, rng, some(_GRADE, students))
        _move(tables, rng, some(_MOVE, sizes[_ADDRESSES]), _NEW_IDS + night * 10_000)
        _change_phone(tables, rng, some(_PHONE, sizes[_PHONES]))
    return tables


def _leave(tables: Tables, rng: np.random.Generator, who: np.ndarray, day: dt.date) -> None:
    """Those of them who are enrolled leave today."""
    table = tables[_ENROLLMENTS]
    leaver = pc.take(tables[_STUDENTS]["StudentID"], who).combine_chunks()
    open_here = pc.and_(
        pc.is_in(table["StudentID"], value_set=leaver),
        pc.and_(
            pc.and_(table["IsDefaultEntity"], pc.is_null(table["EndDate"])),
            pc.and_(pc.is_null(table["WithdrawalDate"]), pc.less_equal(table["StartDate"], day)),
        ),
    ).combine_chunks()
    year = school_year_of(day)
    mask = pc.and_(open_here, pc.equal(table["SchoolYearID"], year).combine_chunks())
    code = LEAVER_CODES[int(rng.integers(0, len(LEAVER_CODES)))]
    place = [known for known, _ in WITHDRAWAL_CODES].index(code)
    tables[_ENROLLMENTS] = _set(
        table,
        mask,
        EndDate=day,
        WithdrawalDate=day + dt.timedelta(days=1),
        WithdrawalCodeID=withdrawal_code_id(year, place),
    )


def _enroll(tables: Tables, rng: np.random.Generator, siblings: np.ndarray, day: dt.date, new: int) -> None:
    """A brother or sister of each of these comes: same guardians and home, own name and enrollment."""
    count = len(siblings)
    ids = pa.array(new + np.arange(count))
    sibling = tables[_STUDENTS].take(siblings)
    old_id, old_name = (sibling[name].combine_chunks() for name in ("StudentID", "NameID"))
    number = pc.utf8_lpad(ids.cast(pa.string()), 9, "0")
    student = _with(sibling, StudentID=ids, NameID=ids, StudentNumber=number)
    grade = np.clip(sibling["GradeNumeric"].to_numpy(), 0, 12)
    student = _with(
        student,
        CalculatedStudentStateID=joined("2", number),
        GradeNumeric=pa.array(grade),
        Grade=words(GRADES, grade + 2),
        GradYear=pa.array(sibling["GradYear"].to_numpy() + sibling["GradeNumeric"].to_numpy() - grade),
    )

    female = rng.random(count) < 0.5
    girl, boy = (
        words(names, rng.integers(0, len(names), count)) for names in (GENERAL_FIRST_F, GENERAL_FIRST_M)
    )
    first = pc.if_else(pa.array(female), girl, boy)
    name = _matching(tables[_NAMES], "NameID", old_name)
    name = _with(
        name,
        NameID=ids,
        FirstName=first,
        FirstNameLegal=first,
        Gender=words(("Male", "Female"), female.astype(int)),
        GenderCode=words(("M", "F"), female.astype(int)),
        NameSuffixID=pa.nulls(count, pa.int64()),
    )

    year = school_year_of(day)
    if day_number(day) > last_day(year):
        year += 1
    start = max(day_number(day), first_day(year))
    at_home = tables[_ENROLLMENTS].filter(tables[_ENROLLMENTS]["IsDefaultEntity"])
    enrollment = _matching(at_home.take(np.arange(at_home.num_rows)[::-1]), "StudentID", old_id)
    enrollment = _with(
        enrollment,
        EntryWithdrawalID=ids,
        StudentID=ids,
        SchoolYearID=pa.repeat(year, count).cast(pa.int64()),
        StartDate=pa.repeat(start, count).cast(pa.int32()).cast(pa.date32()),
        EndDate=pa.nulls(count, pa.date32()),
        WithdrawalDate=pa.nulls(count, pa.date32()),
        WithdrawalCodeID=pa.nulls(count, pa.int64()),
        **{flag: pa.repeat(flag == "IsDefaultEntity", count) for flag in _flags(enrollment)},
    )

    for table_name, rows in ((_STUDENTS, student), (_NAMES, name), (_ENROLLMENTS, enrollment)):
        tables[table_name] = appended(tables[table_name], rows)
    _copy_links(tables, _GUARDIANS, "StudentID", old_id, ids, new)
    _copy_links(tables, _LINKS, "NameID", old_name, ids, new)


def _flags(table: pa.Table) -> Sequence[str]:
    """The names of the columns that are true or false."""
    return [field.name for field in table.schema if pa.types.is_boolean(field.type)]


def _copy_links(tables: Tables, name: str, column: str, old: pa.Array, ids: pa.Array, new: int) -> None:
    """Rows that refer to one of the old ids, once more for the new one."""
    table = tables[name]
    rows = table.filter(pc.is_in(table[column], value_set=old))
    owner = pc.index_in(rows[column], value_set=old).combine_chunks()
    key = table.column_names[0]
    fresh = pa.array(new + 5_000 + np.arange(rows.num_rows))
    tables[name] = appended(table, _with(rows, **{key: fresh, column: ids.take(owner)}))


def _regrade(tables: Tables, rng: np.random.Generator, who: np.ndarray) -> None:
    """One grade up or down, for those who are in school."""
    table = tables[_STUDENTS]
    numeric = table["GradeNumeric"].to_numpy().copy()
    who = who[(numeric[who] >= 1) & (numeric[who] <= 11)]
    step = rng.choice([-1, 1], len(who))
    mask = np.zeros(len(numeric), bool)
    mask[who] = True
    changed = numeric[who] + step
    tables[_STUDENTS] = _set(
        table,
        pa.array(mask),
        GradeNumeric=pa.array(changed),
        Grade=words(GRADES, changed + 2),
        GradYear=pa.array(table["GradYear"].to_numpy()[who] - step),
    )


def _move(tables: Tables, rng: np.random.Generator, where: np.ndarray, new: int) -> None:
    """Everyone at these addresses moves to a new one together."""
    old = tables[_ADDRESSES]["AddressID"].take(where).combine_chunks()
    count = len(where)
    ids = pa.array(new + np.arange(count))
    columns = {"AddressID": ids, **address_columns(rng, count, np.zeros(count, bool))}
    addresses = pa.table(columns).cast(tables[_ADDRESSES].schema)
    tables[_ADDRESSES] = appended(tables[_ADDRESSES], addresses)
    links = tables[_LINKS]
    moved = pc.index_in(links["AddressID"], value_set=old).combine_chunks()
    address = pc.coalesce(ids.take(moved), links["AddressID"].combine_chunks())
    tables[_LINKS] = _with(links, AddressID=address)


def _change_phone(tables: Tables, rng: np.random.Generator, which: np.ndarray) -> None:
    """These phones get another number."""
    table = tables[_PHONES]
    count = len(which)
    mask = np.zeros(table.num_rows, bool)
    mask[which] = True
    area = words(AREA_CODES, rng.integers(0, len(AREA_CODES), count))
    line = pc.utf8_lpad(pa.array(rng.integers(0, 10_000, count)).cast(pa.string()), 4, "0")
    tables[_PHONES] = _set(
        table,
        pa.array(mask),
        PhoneNumber=joined(area, "555", line),
        FormattedPhoneNumber=joined("(", area, ") 555-", line),
    )


def _matching(table: pa.Table, column: str, keys: pa.Array) -> pa.Table:
    """The first row for each key, in the order of the keys."""
    return table.take(pc.index_in(keys, value_set=table[column].combine_chunks()))


def _with(table: pa.Table, **columns: Any) -> pa.Table:
    """The table with whole columns replaced."""
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    return table


def _set(table: pa.Table, mask: pa.Array, **columns: Any) -> pa.Table:
    """The table with cells replaced where the mask holds: by one value, or by as many as the mask has."""
    for name, value in columns.items():
        type_ = table.schema.field(name).type
        values = value if isinstance(value, pa.Array) else pa.scalar(value, type_)
        table = _with(table, **{name: pc.replace_with_mask(table[name].combine_chunks(), mask, values)})
    return table
