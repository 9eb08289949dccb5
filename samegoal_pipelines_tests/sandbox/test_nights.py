"""From night to night a few students change, and everything else stays."""

from datetime import date, timedelta

import pandas as pd
import pytest

from samegoal_pipelines.sandbox import Sandbox

TODAY = date(2026, 10, 5)
STUDENTS = 2000


def night(number: int, today: date = TODAY) -> dict[str, pd.DataFrame]:
    """The tables by primary key, after so many nights."""
    (district,) = Sandbox.generate(1, STUDENTS, seed=3, today=today, night=number).districts
    frames = {name: table.to_pandas(types_mapper=pd.ArrowDtype) for name, table in district.tables.items()}
    return {name: frame.set_index(frame.columns[0]) for name, frame in frames.items()}


@pytest.fixture(scope="module")
def nights() -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    return night(0), night(1)


def changed(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Rows of `after` that differ from the same row of `before`, with True where a column changed."""
    after = after.loc[before.index]
    differs = (before != after).fillna(True) & ~(before.isna() & after.isna())
    return differs[differs.any(axis=1)]


def test_ids_stay_and_about_one_student_in_two_hundred_is_concerned(nights):
    before, after = nights
    for name, rows in before.items():
        assert rows.index.isin(after[name].index).all(), name
    rows = sum(len(after[name]) - len(before[name]) for name in ("Student/Student", "Demographics/Address"))
    for name in ("Enrollment/EntryWithdrawal", "Student/Student", "Demographics/NamePhone"):
        rows += len(changed(before[name], after[name]))
    assert 0.002 * STUDENTS < rows < 0.02 * STUDENTS


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("Enrollment/EntryWithdrawal", {"EndDate", "WithdrawalDate", "WithdrawalCodeID"}),
        ("Student/Student", {"Grade", "GradeNumeric"}),
        ("Demographics/NamePhone", {"PhoneNumber", "FormattedPhoneNumber"}),
        ("Demographics/NameAddress", {"AddressID"}),
    ],
)
def test_some_leave_change_grade_or_phone_and_move(nights, name, columns):
    before, after = nights
    rows = changed(before[name], after[name])
    assert set(rows.columns[rows.any()]) == columns
    if name == "Enrollment/EntryWithdrawal":
        assert (after[name].loc[rows.index, "EndDate"] == TODAY).all()


def test_some_enroll_with_a_family_a_home_and_a_school(nights):
    before, after = nights
    new = after["Student/Student"].index.difference(before["Student/Student"].index)
    assert len(new)
    enrolled = after["Enrollment/EntryWithdrawal"].query("StudentID in @new")
    assert (enrolled["StartDate"] == TODAY).all()
    assert enrolled["EndDate"].isna().all()
    assert (enrolled["SchoolYearID"] == 27).all()
    assert set(enrolled["StudentID"]) == set(new)
    names = after["Student/Student"].loc[new, "NameID"]
    assert after["Demographics/Name"].loc[names, "IsStudentName"].all()
    guardians = after["Family/StudentGuardian"].query("StudentID in @new")
    assert set(guardians["StudentID"]) == set(new)
    assert guardians["NameIDGuardian"].isin(before["Demographics/Name"].index).all()
    assert names.isin(after["Demographics/NameAddress"]["NameID"]).all()


def test_a_later_night_holds_what_earlier_ones_did():
    """Night 3 on 7 October has the newcomers of night 2 on 6 October, with the same first day."""
    district = Sandbox.generate(1, 100, today=TODAY, night=40).districts[0]
    assert 100 < district.tables["Student/Student"].num_rows < 200
    second, third = night(2, TODAY + timedelta(days=1)), night(3, TODAY + timedelta(days=2))
    for name in ("Student/Student", "Demographics/Name", "Demographics/NamePhone"):
        before, after = second[name], third[name]
        assert before.index.isin(after.index).all()
        assert len(changed(before, after)) < 0.005 * STUDENTS
    new = second["Student/Student"].index
    new = new[new >= 50_000_000]
    rows = "Enrollment/EntryWithdrawal"
    start = [each[rows][each[rows]["StudentID"].isin(new)]["StartDate"] for each in (second, third)]
    assert start[0].equals(start[1])


def test_in_summer_newcomers_enroll_for_the_coming_year():
    for today, first_day in ((date(2027, 6, 15), date(2027, 8, 12)), (date(2026, 7, 15), date(2026, 8, 12))):
        rows = night(1, today)["Enrollment/EntryWithdrawal"]
        assert (rows[rows["StudentID"] >= 50_000_000]["StartDate"] == first_day).all()
