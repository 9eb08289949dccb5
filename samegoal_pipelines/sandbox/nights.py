"""What happens from night to night: a few students leave, enroll, change grade, move or get another phone.

Each night has a random stream of its own and changes the tables of the night before. So night 5 contains all
that night 4 did, and an id never changes its meaning.
"""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from samegoal_pipelines.sandbox.draw import Rng, chance, padded, stream
from samegoal_pipelines.sandbox.enrollments import LEAVER_CODES, first_day, last_day
from samegoal_pipelines.sandbox.objects import grade_codes, school_year_of, withdrawal_code_id
from samegoal_pipelines.sandbox.people import address_rows, first_names, phone_numbers

_CHANGED_PER_NIGHT = 0.005
"""Share of students that a night changes."""
_NEW_IDS = 50_000_000
"""Rows that a night adds have ids of their own: night × 10,000 and up."""

Frames = dict[str, pd.DataFrame]
_ENROLLMENTS, _STUDENTS, _NAMES = "Enrollment/EntryWithdrawal", "Student/Student", "Demographics/Name"
_PHONES, _ADDRESSES, _LINKS = "Demographics/NamePhone", "Demographics/Address", "Demographics/NameAddress"
_GUARDIANS = "Family/StudentGuardian"


def pass_nights(frames: Frames, seed: int, district: int, today: dt.date, nights: int) -> None:
    """Change the tables by so many nights, of which the last ends on ``today``."""
    students = len(frames[_STUDENTS])
    if not students:
        return
    for night in range(1, nights + 1):
        rng = stream(seed, district, f"night {night}")
        day, new = today - dt.timedelta(days=nights - night), _NEW_IDS + night * 10_000

        def chosen(share: float, frame: pd.DataFrame, rng: Rng = rng) -> pd.DataFrame:
            count = max(1, round(students * _CHANGED_PER_NIGHT * share))
            return frame.iloc[np.sort(rng.choice(len(frame), min(count, len(frame)), replace=False))]

        _leave(frames, rng, chosen(0.15, frames[_STUDENTS]), day)
        rows = frames[_ENROLLMENTS]  # without those who only take a course here
        with_home = frames[_STUDENTS]["StudentID"].isin(rows["StudentID"][rows["IsDefaultEntity"]])
        _enroll(frames, rng, chosen(0.15, frames[_STUDENTS][with_home]), day, new)
        in_school = frames[_STUDENTS]["GradeNumeric"].between(1, 11)
        _regrade(frames, rng, chosen(0.1, frames[_STUDENTS][in_school]))
        _move(frames, rng, chosen(0.3, frames[_ADDRESSES]), new)
        phones = chosen(0.3, frames[_PHONES]).index
        for column, numbers in phone_numbers(rng, len(phones)).items():
            frames[_PHONES].loc[phones, column] = numbers


def _leave(frames: Frames, rng: Rng, students: pd.DataFrame, day: dt.date) -> None:
    """Those of the students who are enrolled leave today."""
    rows, year = frames[_ENROLLMENTS], school_year_of(day)
    is_open = (
        rows["EndDate"].isna() & rows["WithdrawalDate"].isna() & (rows["StartDate"] <= np.datetime64(day))
    )
    here = rows["IsDefaultEntity"] & (rows["SchoolYearID"] == year)
    leaving = rows["StudentID"].isin(students["StudentID"]) & here & is_open
    rows.loc[leaving, "EndDate"] = np.datetime64(day)
    rows.loc[leaving, "WithdrawalDate"] = np.datetime64(day) + 1
    rows.loc[leaving, "WithdrawalCodeID"] = withdrawal_code_id(year, str(rng.choice(LEAVER_CODES)))


def _enroll(frames: Frames, rng: Rng, siblings: pd.DataFrame, day: dt.date, new: int) -> None:
    """A brother or sister of each of these enrolls: the same guardians and home, another name."""
    ids = new + np.arange(len(siblings))
    by_student = dict(zip(siblings["StudentID"], ids, strict=True))
    by_name = dict(zip(siblings["NameID"], ids, strict=True))

    def copy(table: str, column: str, new_ids: dict[int, int], frame: pd.DataFrame, **changes: Any) -> None:
        """Copy the rows of each old id for its new one."""
        rows = frame[frame[column].isin(list(new_ids))]
        key = {frame.columns[0]: new + 5_000 + np.arange(len(rows))}
        _append(frames, table, rows.assign(**{**key, column: rows[column].map(new_ids), **changes}))

    grade = siblings["GradeNumeric"].to_numpy().clip(0, 12)
    student = {"GradeNumeric": grade, "Grade": grade_codes(grade), "StudentNumber": padded(ids, 9)}
    student |= {"NameID": ids, "CalculatedStudentStateID": "2" + student["StudentNumber"]}
    copy(_STUDENTS, "StudentID", by_student, frames[_STUDENTS], **student)
    female = chance(rng, len(ids), 0.5)
    name = dict.fromkeys(("FirstName", "FirstNameLegal"), first_names(rng, female))
    name |= {"Gender": np.where(female, "Female", "Male"), "GenderCode": np.where(female, "F", "M")}
    copy(_NAMES, "NameID", by_name, frames[_NAMES], NameSuffixID=None, **name)
    year = school_year_of(day)
    year += int(np.datetime64(day) > last_day(year))
    rows = frames[_ENROLLMENTS]
    copy(
        _ENROLLMENTS,
        "StudentID",
        by_student,
        rows[rows["IsDefaultEntity"]].drop_duplicates("StudentID", keep="last"),
        SchoolYearID=year,
        StartDate=max(np.datetime64(day), first_day(year)),
        EndDate=np.datetime64("NaT"),
        WithdrawalDate=np.datetime64("NaT"),
        WithdrawalCodeID=None,
    )
    copy(_GUARDIANS, "StudentID", by_student, frames[_GUARDIANS])
    copy(_LINKS, "NameID", by_name, frames[_LINKS])


def _regrade(frames: Frames, rng: Rng, students: pd.DataFrame) -> None:
    """One grade up or down."""
    grade = students["GradeNumeric"].to_numpy() + rng.choice([-1, 1], len(students))
    frames[_STUDENTS].loc[students.index, "GradeNumeric"] = grade
    frames[_STUDENTS].loc[students.index, "Grade"] = grade_codes(grade)


def _move(frames: Frames, rng: Rng, addresses: pd.DataFrame, new: int) -> None:
    """Everyone at these addresses moves to a new one together."""
    ids = new + np.arange(len(addresses))
    _append(frames, _ADDRESSES, address_rows(rng, ids))
    moved = dict(zip(addresses["AddressID"], ids, strict=True))
    links = frames[_LINKS]
    links["AddressID"] = links["AddressID"].map(lambda address: moved.get(address, address))


def _append(frames: Frames, table: str, rows: pd.DataFrame) -> None:
    frames[table] = pd.concat([frames[table], rows], ignore_index=True)
