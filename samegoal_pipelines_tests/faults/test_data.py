"""Rows that no one would make up: what each becomes on the way from Qmlativ to SameGoal."""

from datetime import date

from samegoal_pipelines_tests.pipeline import TODAY

LARGE = 2**53 + 1
STARTS = {
    20: "2026-08-12T00:00:00-05:00",
    21: "2026-08-12",
    22: "0001-01-01T00:00:00",
    24: "2026-02-31T00:00:00",
    25: "2026-08-12T23:59:59Z",
}
NUMBERS = {20: "00123", 21: "", 30: " 77 ", 23: str(LARGE), 25: "00123"}
SURNAMES = {
    30: "None",
    31: "NULL",
    32: "NaN",
    33: "=cmd()",
    34: "Ståhl 🎓",
    35: "Nu\x00l",
    36: "half \ud83d",
    37: "\u202eשלום",
    38: "x" * 10_000,
}


def test_each_odd_row_is_published_as_it_came_or_quarantined_and_counted(pipeline, district):
    rows = [{"StudentID": 11, "StartDate": "2026-08-12"}, {"StudentID": LARGE, "StartDate": "2026-08-12"}]
    rows += [{"StudentID": number, "StartDate": start} for number, start in STARTS.items()]
    rows += [{"StudentID": 23, "StartDate": "2026-08-12", "EndDate": "9999-12-31T00:00:00"}]
    rows += [{"StudentID": 26, "StartDate": "2026-09-02", "EndDate": "2026-09-01"}]
    rows += [{"StudentID": 27, "StartDate": "2026-08-12", "WithdrawalCodeID": 424242}]
    rows += [{"StudentID": 28, "StartDate": "2026-08-12"}]
    rows += [{"StudentID": number, "StartDate": "2026-08-12"} for number in SURNAMES]
    answered = {"HasActiveRestrictedAccess": False}
    guardians = [
        {"StudentGuardianID": 1, "StudentID": 999, "NameIDGuardian": 77, "Rank": 1, **answered},
        {"StudentGuardianID": 2, "StudentID": 11, "NameIDGuardian": 78, "Rank": 1},
    ]
    made = district(rows, rows={"Family/StudentGuardian": guardians})
    names = {row["StudentID"]: row["NameID"] for row in made.rows("Student/Student")}
    for key in (77, 78):
        made.add_row("Demographics/Name", NameID=key, LastName="Guardian", IsGuardianName=True)
    (ancient,) = [row for row in made.rows("Enrollment/EntryWithdrawal") if row["StudentID"] == 22]
    this_year = {"SchoolYearID": made.current_year_id()}
    made.edit("Enrollment/EntryWithdrawal", ancient["EntryWithdrawalID"], **this_year)
    made.remove_row("Student/Student", 28)
    made.add_row("Student/Student", StudentID=29, NameID=names[11], StudentNumber="29")
    for student, number in NUMBERS.items():
        made.edit("Student/Student", student, StudentNumber=number)
    for student, surname in SURNAMES.items():
        made.edit("Demographics/Name", names[student], LastName=surname)
    pipeline.add(made)

    night = pipeline.run()

    assert night.published, night.reason
    numbers = dict(pipeline.rows("select student_id, student_number from samegoal.student_status"))
    # Not there: 22 (a placeholder is no first day), 24 (31 February), 26 (ends before it begins), 27 (a code
    # that nobody knows), 28 (no student), 29 (no enrollment), 36 and 38 (half of a character and an endless
    # text, so no surname).
    assert set(numbers) == {11, 20, 21, 23, 25, LARGE} | SURNAMES.keys() - {36, 38}
    assert {student: numbers[student] for student in NUMBERS} == NUMBERS
    surnames = dict(pipeline.rows("select student_id, last_name from samegoal.student_demographics"))
    assert {student: surnames.get(student) for student in SURNAMES} == SURNAMES | {
        35: "Nul",
        36: None,
        38: None,
    }
    days = dict(pipeline.rows("select student_id, first_day from samegoal.student_status"))
    assert {days[student] for student in (20, 21, 25)} == {date(2026, 8, 12)}
    placeholder = "select status, last_day from samegoal.student_status where student_id = 23"
    assert pipeline.rows(placeholder) == [("ENROLLED", None)]
    assert pipeline.rows("select student_id, parent_id from samegoal.parent_demographics") == [(11, 78)]
    landing = pipeline.deployment.landing
    excluded = landing.read("cecs_filtered_enrollments", district_id="grand-bend", night=TODAY)["excluded"]
    assert dict(zip(excluded["student_id"], excluded["reason"], strict=True)) == {
        22: "no_start_date",
        24: "unreadable",
        26: "never_effective",
        27: "unknown_withdrawal_code",
    }
    notes = pipeline.rows("select count(*) from dagster.event_logs where event like '%Ståhl%'")
    assert notes == [(0,)]
