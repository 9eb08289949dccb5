"""What the registrar is asked to look at, and what is left alone."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest

from samegoal_pipelines.tables.validation import violations
from samegoal_pipelines.tables.worklist import (
    CECS_ONLY,
    FLAGGED_WITHOUT_CODE,
    NEVER_CLOSED,
    POSSIBLE_DUPLICATE,
    REGISTRAR_WORKLIST,
    THE_PAST_MOVED,
    TIE,
    UPCOMING_AFTER_WITHDRAWAL,
)
from samegoal_pipelines.transforms.enrollments import count_outcomes, filter_enrollments
from samegoal_pipelines.transforms.worklist import list_problems
from samegoal_pipelines_tests.transforms.builders import (
    classify,
    code_id,
    enrollments,
    entry,
    raw,
    read_entries,
)
from samegoal_pipelines_tests.transforms.edge_cases import edge_case_district
from samegoal_pipelines_tests.transforms.naive import Row, code_of, judge, last_day

TODAY = date(2026, 10, 12)
SUMMER = date(2027, 7, 5)  # the year 2026-2027 is over; builders' years turn on 1 July


def list_of(
    tables: dict[str, pd.DataFrame], today: date, students: Any = (), names: Any = (), published: Any = None
) -> pd.DataFrame:
    """The list of a district, from `raw_enrollments` and the rows of Student and Name."""
    filtered, statuses, uncertain, _ = classify(tables, today)
    people = raw("raw_students", {"Student": students, "Name": names})
    classified = {"student_status": statuses, "uncertain": uncertain}
    listed = list_problems(tables, people, filtered._asdict(), classified, today, published)
    assert violations(listed, REGISTRAR_WORKLIST) == ""
    return listed


def worklist(entries: Any, today: date = TODAY, students: Any = (), names: Any = (), **objects: Any) -> Any:
    """The list of a district with these entries."""
    return list_of(enrollments(entries, today, **objects), today, students, names)


def keys(listed: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Problem, student and enrollment of each row of the list."""
    return list(zip(listed["problem"], listed["student_id"], listed["enrollment_id"], strict=True))


def student(number: str | None, year: int = 2027, student_id: int = 1) -> dict[str, Any]:
    return {"StudentID": student_id, "NameID": student_id, "StudentNumber": number, "SchoolYearIDAsked": year}


IN_ORDER = {
    "a year that is over": ("1|2025-08-12|2026-05-28|;2|2026-08-12||", TODAY),
    "a withdrawal": ("1|2026-08-12|2026-09-30|82", TODAY),
    "a no-show": ("1|2026-08-12|2026-08-11|", TODAY),
    "on holiday": ("1|2026-08-12|2027-05-28|;2|2027-08-11||", SUMMER),
    "came back and ended the year": (
        "1|2026-08-12|2026-12-01|82;2|2027-01-10|2027-05-28|;3|2027-08-11||",
        SUMMER,
    ),
    "came back": ("1|2026-08-12|2026-09-20|82;2|2026-10-01||;3|2027-08-11||", TODAY),
    "the left-over one begins": ("1|2026-08-12|2027-03-05|82;2|2027-08-11||", date(2027, 8, 11)),
    "the first day decides": ("1|2026-08-13||;2|2026-08-12||", TODAY),
    "the default entity decides": ("1|2026-08-12|||False;2|2026-08-12||", TODAY),
    "only one is current": ("1|2026-08-12|2026-09-30|;2|2026-08-12||", TODAY),
    "a tie that decides nothing": (
        "1|2025-09-01|2026-05-28|;2|2025-09-01|2026-05-28|;3|2026-08-12||",
        TODAY,
    ),
}


@pytest.mark.parametrize(("entries", "today"), IN_ORDER.values(), ids=IN_ORDER)
def test_what_is_in_order_is_not_listed(entries, today):
    assert worklist(read_entries(entries), today).empty


def test_a_row_names_student_school_enrollment_and_what_to_do():
    (row,) = worklist([entry(7, "2024-08-14")], students=[student("00123")]).to_dict("records")
    assert row.pop("fix").startswith(
        "Student Profile > Enrollment > Entity Year: if the student has left, enter"
    )
    assert row == {
        **{"student_id": 1, "student_number": "00123", "enrollment_id": 7, "problem": NEVER_CLOSED},
        **{"building": "Main", "building_reporting_id": "255901001"},
        "detail": "from 2024-08-14, never ended, school year 2024-2025",
    }


def test_the_student_number_is_that_of_the_latest_year_that_has_one():
    years = [student("old", 2026), student("new", 2027), student(None, 2028)]
    listed = worklist([entry(1, "2024-08-14"), entry(2, "2024-08-14", student=2)], students=years)
    assert listed["student_number"].fillna("none").tolist() == ["new", "none"]


def test_texts_of_qmlativ_come_without_nul_which_postgres_refuses():
    years = [{"SchoolYearID": n, "IsCurrentYearForProvidedEntity": n == 2027} for n in (2025, 2027)]
    years[0]["Description"] = "2024\0-2025"
    (row,) = worklist([entry(7, "2024-08-14")], students=[student("00\0A123")], SchoolYear=years).to_dict(
        "records"
    )
    assert row["student_number"] == "00A123"
    assert row["detail"].endswith("school year 2024-2025")


# -- upcoming after a withdrawal --


def test_an_enrollment_left_over_after_a_withdrawal_is_listed():
    """Left in March for another district; next year's enrollment was made in February and forgotten."""
    left_over = read_entries("1|2026-08-12|2027-03-05|82;2|2027-08-11||")
    listed = worklist(left_over, SUMMER)
    assert keys(listed) == [(UPCOMING_AFTER_WITHDRAWAL, 1, 2)]
    assert listed["detail"].item() == "from 2027-08-11; left after 2027-03-05 with code 82"


def year_end(code: str, students: int, first_student: int = 100) -> list[dict[str, Any]]:
    """Enrollments of one school that end on the same day with the same code, and go on in August."""
    everybody = range(first_student, first_student + students)
    ending = [entry(2 * n, "2026-08-12", "2027-05-28", code, student=n) for n in everybody]
    return ending + [entry(2 * n + 1, "2027-08-11", student=n) for n in everybody]


@pytest.mark.parametrize(
    ("entries", "listed"),
    [
        (year_end("33", 20), 0),
        (year_end("33", 19), 19),  # a handful of students is no custom
        (year_end("33", 20) + year_end("82", 21, first_student=500), 20),  # fewer than half of the school
        (year_end("01", 40), 40),  # graduates do not come back
    ],
)
def test_a_code_with_which_a_school_closes_its_year_is_no_withdrawal(entries, listed):
    assert len(worklist(entries, SUMMER)) == listed


def test_beside_it_who_left_with_another_code_or_on_another_day_is_listed():
    others = read_entries("1|2026-08-12|2027-05-28|82;2|2027-08-11||")  # told in July that they move
    others += [entry(3, "2026-08-12", "2027-04-01", "33", student=2), entry(4, "2027-08-11", student=2)]
    expected = [(UPCOMING_AFTER_WITHDRAWAL, 1, 2), (UPCOMING_AFTER_WITHDRAWAL, 2, 4)]
    assert keys(worklist([*year_end("33", 30), *others], SUMMER)) == expected


# -- CECS only --


def test_a_student_with_nothing_but_cecs_is_listed_once():
    guest = [
        entry(1, "2026-08-12", "2026-09-10", "CECS", student=4),
        entry(2, "2026-09-01", "2026-09-30", " cecs ", student=4),
        entry(3, "2026-08-12", "2026-09-10", "CECS", student=5),
        entry(4, "2026-08-12", student=5),
        entry(5, "2026-08-12", "2026-09-10", "CECS", student=None),
    ]
    listed = worklist(guest)
    assert keys(listed) == [(CECS_ONLY, 4, 2)]
    assert listed["detail"].item() == "every enrollment is CECS; the latest from 2026-09-01 to 2026-09-30"


# -- ties --


def test_two_enrollments_that_only_the_id_tells_apart_are_a_tie():
    dates = ("2026-08-12", "2026-09-30")
    ties = [entry(1, "2026-08-12", SchoolID=6), entry(2, "2026-08-12")]
    ties += [entry(3, *dates, "01", student=2), entry(4, *dates, "82", student=2, EntityID=9)]
    ties += [entry(number, *dates, student=3) for number in (5, 6)]
    decided = "decided only because its id is higher; they differ in:"
    listed = worklist(ties).set_index("enrollment_id")
    assert set(listed["problem"]) == {TIE}
    assert listed["detail"].to_dict() == {
        1: f"from 2026-08-12; enrollment 2 {decided} school",
        3: f"from 2026-08-12 to 2026-09-30; enrollment 4 {decided} withdrawal code, entity",
        5: f"from 2026-08-12 to 2026-09-30; enrollment 6 {decided} nothing",
    }


# -- quarantined --


def test_a_row_that_was_quarantined_says_why_and_never_what_stood_there():
    entries = [
        entry(1, "2026-08-12", student=1, Unreadable='{"EndDate": "31 February"}'),
        entry(2, "2026-08-12", student=2, WithdrawalCodeID=99_999),
        *(entry(3, "2026-08-12", student=None), entry(4, None, student=4)),
        entry(5, "2026-08-12", student=5, year=1999),
        *(entry(6, first, student=6) for first in ("2026-08-12", "2026-08-13")),
    ]
    listed = worklist(entries).set_index("problem")["detail"].to_dict()
    carried_over = "; the student is carried over as last published"
    assert listed == {
        "quarantined: unreadable": f"from 2026-08-12; unreadable: EndDate{carried_over}",
        "quarantined: unknown withdrawal code": f"from 2026-08-12; WithdrawalCodeID 99999{carried_over}",
        "quarantined: no student": "from 2026-08-12",
        "quarantined: no start date": f"from an unknown day{carried_over}",
        "quarantined: no school year": f"from 2026-08-12; SchoolYearID 1999{carried_over}",
        "quarantined: conflicting duplicate": f"from 2026-08-12{carried_over}",
    }


def test_a_quarantined_row_beside_a_sound_current_one_changes_nothing_for_the_student():
    """A row whose id is unreadable is listed without one."""
    broken = entry(None, "2026-08-12", Unreadable='{"EntryWithdrawalID": "x"}')
    (row,) = worklist([broken, entry(2, "2026-08-12")]).to_dict("records")
    assert pd.isna(row["enrollment_id"])
    assert row["detail"] == "from 2026-08-12; unreadable: EntryWithdrawalID"


# -- the past moved --


def moved(before: Any, after: Any, **objects: Any) -> dict[int, str]:
    """Enrollment → what changed since the night before."""
    yesterday = TODAY - timedelta(days=1)
    published = filter_enrollments(enrollments(before, yesterday), yesterday)
    tables = enrollments(after, TODAY, **objects)
    listed = list_of(tables, TODAY, [student("00123")], published=published._asdict())
    listed = listed[listed["problem"] == THE_PAST_MOVED]
    assert set(listed["student_number"].dropna()) <= {"00123"}
    return dict(zip(listed["enrollment_id"], listed["detail"], strict=True))


ENDED, NOW = entry(1, "2025-08-12", "2026-05-28", "82"), entry(2, "2026-08-12")
CECS, UNKNOWN, NO_CODE = ({"WithdrawalCodeID": code} for code in (code_id("CECS", 2026), 424242, None))
TWICE = [ENDED, ENDED | {"EndDate": date(2026, 5, 27)}]
OTHER = entry(2, "2026-01-05", "2026-05-28", student=2)
RECENT, OLDER, LEFT_THE_WINDOW = (
    entry(1, "2025-08-12", TODAY - timedelta(days=days), "82") for days in (30, 31, 366)
)
ELSEWHERE = {"SchoolID": 6, "EntityID": 6, "EndDate": date(2026, 5, 27)}


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ([ENDED, NOW], [ENDED | {"StartDate": date(2025, 8, 13)}, NOW], "first day"),
        ([ENDED, NOW], [ENDED | {"EndDate": date(2026, 5, 27)}, NOW], "last day"),
        ([ENDED, NOW], [ENDED | {"EndDate": date(2025, 8, 11)}, NOW], "last day"),  # never effective now
        ([ENDED, NOW], [ENDED | {"EndDate": date(2025, 9, 1)}, NOW], "last day"),  # outside the window now
        ([ENDED, NOW], [ENDED | {"EndDate": None}, NOW], "last day"),  # open again
        ([ENDED, NOW], [ENDED | NO_CODE, NOW], "withdrawal code"),
        ([ENDED, NOW], [ENDED | CECS, NOW], "withdrawal code"),  # excluded now
        ([ENDED, NOW], [ENDED | {"SchoolID": 6}, NOW], "school"),
        ([ENDED, NOW], [ENDED | ELSEWHERE, NOW], "last day, school, entity"),
        ([ENDED | CECS], [ENDED], "withdrawal code"),
        ([OLDER], [OLDER | NO_CODE], "withdrawal code"),
        ([RECENT], [RECENT | NO_CODE], None),
        ([entry(1, "2025-08-12", year=2027)], [OLDER], None),  # closed late: it had not ended
        ([ENDED], [ENDED | {"IsDefaultEntity": False}, entry(2, "2026-01-05", "2026-02-01")], None),
        ([ENDED, OTHER], [OTHER], "no longer in Qmlativ"),
        ([LEFT_THE_WINDOW, OTHER], [OTHER], None),  # no longer asked for
        ([ENDED], [NOW], None),  # no row of its school year came
        ([ENDED], [ENDED | UNKNOWN], None),  # what cannot be relied on says nothing
        ([ENDED | UNKNOWN], [ENDED], None),
        ([ENDED], TWICE, None),
        (TWICE, [ENDED], None),
    ],
)
def test_an_enrollment_that_ended_long_ago_and_changed_is_listed(before, after, what):
    """Long ago: more than thirty days."""
    ended = before[0]["EndDate"]
    detail = f"was from 2025-08-12 to {ended}; changed since the last published night: {what}"
    assert moved(before, after) == ({1: detail} if what else {})


def test_a_school_that_was_renamed_has_not_moved():
    renamed = [{"SchoolID": 5, "SchoolYearID": 2026, "Name": "Other", "StateAssignedID": "1"}]
    assert moved([ENDED], [ENDED], School=renamed) == {}


# -- the list as a whole --


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"CalculatedStudentStateID": "900"}, {"CalculatedStudentStateID": "900"}, "state id"),
        ({"StudentNumber": "5"}, {"StudentNumber": "5"}, "student number"),
        ({"FirstName": "Ana"}, {"FirstName": "ANA "}, "name and birth date"),
        ({"FirstName": "Ana"}, {"FirstName": "Ben"}, None),  # twins
        ({"FirstName": "Ana"}, {"FirstName": "Ana", "BirthDate": date(2016, 3, 4)}, None),
        ({"FirstName": ""}, {"FirstName": ""}, None),
        ({"CalculatedStudentStateID": None}, {"CalculatedStudentStateID": None}, None),
    ],
)
def test_two_records_that_may_be_one_person_are_listed_and_twins_are_not(one, other, same):
    students, names = [], []
    for number, fields in ((1, one), (2, other)):
        usual = {"FirstName": f"P{number}", "LastName": "Young", "BirthDate": date(2015, 3, 4)}
        names.append({"NameID": number} | usual | {key: fields[key] for key in usual.keys() & fields})
        record = student(f"00{number}", student_id=number) | {"CalculatedStudentStateID": str(number)}
        earlier = record | {"CalculatedStudentStateID": "7", "SchoolYearIDAsked": 2026}
        students += [earlier, record | {key: fields[key] for key in record.keys() & fields}]
    entries = [entry(n, "2026-08-12", student=n) for n in (1, 2)]
    listed = worklist(entries, students=students, names=names)
    assert set(listed["problem"]) == ({POSSIBLE_DUPLICATE} if same else set())
    assert listed["detail"].tolist() == ([f"same {same} as StudentID {n}" for n in (2, 1)] if same else [])


SCHOOLS = [
    {"SchoolID": number, "SchoolYearID": year, "Name": name, "StateAssignedID": state_id}
    for number, name, state_id in ((5, "Zavala", None), (6, "Austin", "002"))
    for year in range(2020, 2030)
]


def test_the_list_goes_by_school_then_problem_then_student():
    entries = [
        entry(1, "2026-08-12", "2026-09-30", "CECS", student=3),
        entry(2, "2024-08-14", student=2),
        entry(3, "2024-08-14", student=1),
        entry(4, "2024-08-14", student=9, SchoolID=6),
        entry(5, "2024-08-14", student=1, SchoolID=None),
    ]
    listed = worklist(entries, School=SCHOOLS)
    assert listed["building"].fillna("none").tolist() == ["Austin", "Zavala", "Zavala", "Zavala", "none"]
    assert listed["enrollment_id"].tolist() == [4, 3, 2, 1, 5]


def test_an_enrollment_that_comes_twice_is_at_one_school():
    twice = [entry(1, "2024-08-14", SchoolID=school) for school in (5, 6)]
    listed = worklist(twice, School=SCHOOLS)
    assert listed["building"].tolist() == ["Zavala"]
    assert listed["building_reporting_id"].isna().all()


@pytest.mark.parametrize("seed", range(50))
def test_on_edge_case_districts_the_list_adds_up_with_the_counts_of_the_rules(seed):
    """In whichever order the rows come."""
    rows, today = edge_case_district(seed)
    tables = raw("raw_enrollments", rows)
    listed = list_of(tables, today, [student("7", student_id=7)])

    filtered, counts = filter_enrollments(tables, today), Counter(listed["problem"])
    expected = count_outcomes(filtered)
    never_closed = filtered.excluded.loc[filtered.excluded["reason"] == "never_closed"]
    assert counts[NEVER_CLOSED] == len(never_closed.drop_duplicates(["student_id", "enrollment_id"]))
    assert counts[CECS_ONLY] == expected["cecs_only_students"]
    assert counts[FLAGGED_WITHOUT_CODE] == expected["flagged_without_code"]
    numbers = listed["student_number"].fillna("none").tolist()
    assert numbers == ["7" if student == 7 else "none" for student in listed["student_id"].fillna(0)]
    ties, left_behind = ties_and_left_behind(rows, today)
    assert set(listed["enrollment_id"][listed["problem"] == TIE]) == ties
    assert set(listed["enrollment_id"][listed["problem"] == UPCOMING_AFTER_WITHDRAWAL]) == left_behind

    backwards = raw("raw_enrollments", rows | {"EntryWithdrawal": rows["EntryWithdrawal"][::-1]})
    assert sorted(map(str, keys(list_of(backwards, today)))) == sorted(map(str, keys(listed)))


def ties_and_left_behind(district: dict[str, list[Row]], today: date) -> tuple[set[int], set[int]]:
    """By the naive version of the rules: the ids of enrollments with either problem."""
    verdict = judge(district, today)
    counted = {
        row["EntryWithdrawalID"]: row
        for row in district["EntryWithdrawal"]
        if row["EntryWithdrawalID"] in verdict.counted
    }

    def kind(row: Row) -> str:
        last = last_day(row)
        over = last is not None and last < today
        return "upcoming" if row["StartDate"] > today else "past" if over else "current"

    def place(row: Row) -> tuple[Any, ...]:
        ended = last_day(row) if kind(row) == "past" else None
        return kind(row), ended, row["IsDefaultEntity"] is True, row["StartDate"]

    ties, left_behind = set(), set()
    for student_id, (_, reason, deciding) in verdict.statuses.items():
        theirs = {number: row for number, row in counted.items() if row["StudentID"] == student_id}
        decided = place(theirs[deciding])
        ties |= {number for number, row in theirs.items() if place(row) == decided} - {deciding}
        if reason == "between_enrollments":
            past = [(place(row), number) for number, row in theirs.items() if kind(row) == "past"]
            if code_of(theirs[max(past)[1]], district):
                left_behind |= {number for number, row in theirs.items() if kind(row) == "upcoming"}
    return ties, left_behind


def test_the_edge_case_districts_have_problems_of_every_kind():
    """Else that they add up would say little."""
    found: Counter[str] = Counter()
    for seed in range(100):
        rows, today = edge_case_district(seed)
        ties, left_behind = ties_and_left_behind(rows, today)
        found.update(reason for _, reason in judge(rows, today).excluded)
        found.update(ties=len(ties), left_behind=len(left_behind))
    assert all(found[problem] for problem in ("never_closed", "cecs", "left_behind", "ties")), found
