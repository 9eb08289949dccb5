"""A district of any size for the classification benchmark, as Parquet files named like Qmlativ's objects.

Here: raw frames as they land. Shares are like a real district's at the start of a school year: most
enrollments are open, a tenth of the students left, a few rows are cross-entity courses, outside the window,
or never effective.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TODAY = date(2026, 10, 12)
SCHOOLS = 60
YEARS = (26, 27, 28)  # previous, current, upcoming
CODES = ("01", "CECS", *(f"{code}" for code in range(60, 88)))


def write_district(folder: Path, enrollments: int, students: int, *, sparse: bool, seed: int = 1) -> None:
    """Write the tables of `raw_enrollments`; with `sparse`, student ids lie anywhere up to 2^53."""
    for name, table in _tables(enrollments, students, sparse, np.random.default_rng(seed)).items():
        pq.write_table(
            table.append_column("Unreadable", pa.nulls(len(table), pa.string())), folder / f"{name}.parquet"
        )


def _tables(rows: int, students: int, sparse: bool, random: np.random.Generator) -> dict[str, pa.Table]:
    ids = np.arange(1, students + 1)
    if sparse:
        ids = random.permutation(np.unique(random.integers(1, 2**53, students + students // 100)))[:students]
    return {
        "EntryWithdrawal": _entries(rows, ids, random),
        "WithdrawalCode": pa.table(
            {
                "WithdrawalCodeID": np.arange(len(CODES) * len(YEARS)),
                "Code": pa.array(CODES * len(YEARS)),
                "SchoolYearID": np.repeat(YEARS, len(CODES)),
            }
        ),
        "School": pa.table(
            {
                "SchoolID": np.tile(np.arange(1, SCHOOLS), len(YEARS)),
                "Name": pa.array([f"School {school}" for school in range(1, SCHOOLS)] * len(YEARS)),
                "StateAssignedID": pa.array(
                    [f"255901{school:03}" for school in range(1, SCHOOLS)] * len(YEARS)
                ),
                "SchoolYearID": np.repeat(YEARS, SCHOOLS - 1),
            }
        ),
        "SchoolYear": pa.table(
            {
                "SchoolYearID": np.array(YEARS),
                "IsCurrentYearForProvidedEntity": pa.array([False, True, False]),
                "IsUpcomingYearForProvidedEntity": pa.array([False, False, True]),
            }
        ),
    }


def _entries(rows: int, ids: np.ndarray, random: np.random.Generator) -> pa.Table:
    today = (TODAY - date(1970, 1, 1)).days
    year = random.choice(YEARS, rows, p=[0.35, 0.6, 0.05])
    place = year - YEARS[0]
    first = np.array([today - 425, today - 60, today + 305])[place] + random.integers(-3, 120, rows)
    last = first + random.integers(-2, 280, rows)
    still_open = random.random(rows) < np.array([0.02, 0.85, 0.95])[place]
    computed = random.random(rows) < 0.1  # only the withdrawal date is there
    no_code = still_open & (random.random(rows) < 0.95)
    school = random.integers(1, SCHOOLS, rows)
    return pa.table(
        {
            "EntryWithdrawalID": np.arange(1, rows + 1),
            "StudentID": random.choice(ids, rows),
            "EntityID": school,
            "SchoolID": school,
            "SchoolYearID": year,
            "StartDate": _days(first),
            "EndDate": _days(last, still_open | computed),
            "WithdrawalDate": _days(last + 1, still_open | ~computed),
            "WithdrawalCodeID": pa.array(
                place * len(CODES) + random.integers(0, len(CODES), rows), mask=no_code
            ),
            "IsDefaultEntity": random.random(rows) < 0.9,
            "IsCrossEntityCourseEnrollment": np.zeros(rows, bool),
        }
    )


def _days(values: np.ndarray, absent: np.ndarray | None = None) -> pa.Array:
    return pa.array(values.astype(np.int32), mask=absent).view(pa.date32())
