"""Ed-Fi's public sample district, if it is beside the project, publishes whole."""

import csv
from pathlib import Path
from typing import Any

import pytest

from samegoal_pipelines.sandbox import SandboxDistrict
from samegoal_pipelines_tests.literal_district import literal_district
from samegoal_pipelines_tests.pipeline import TODAY

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "grand-bend"
GUARDIANS = 5_000_000
"""The NameIDs of guardians are their contact ids and this."""


def read(name: str) -> list[dict[str, str]]:
    with (SAMPLE / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def person(key: int, row: dict[str, str], *, student: bool) -> dict[str, Any]:
    return {
        "NameID": key,
        "FirstName": row["first_name"],
        "MiddleName": row["middle_name"] or None,
        "LastName": row["last_name"],
        "BirthDate": row.get("birth_date"),
        "IsStudentName": student,
        "IsGuardianName": not student,
    }


@pytest.fixture
def grand_bend() -> SandboxDistrict:
    """The sample's people as a Qmlativ district: each student currently enrolled."""
    if not SAMPLE.is_dir():
        pytest.skip("the Ed-Fi sample district is not in ../shared/data/grand-bend")
    students = {int(row["student_unique_id"]): row for row in read("students.csv")}
    guardians = {GUARDIANS + int(row["contact_id"]): row for row in read("contacts.csv")}
    rows: dict[str, list[dict[str, Any]]] = {
        "Enrollment/EntryWithdrawal": [{"StudentID": n, "StartDate": "2026-08-12"} for n in students],
        "Student/Student": [{"StudentID": n, "NameID": n, "StudentNumber": str(n)} for n in students],
        "Demographics/Name": [
            *(person(n, row, student=True) for n, row in students.items()),
            *(person(n, row, student=False) for n, row in guardians.items()),
        ],
        "Family/StudentGuardian": [
            {
                "StudentGuardianID": n,
                "StudentID": int(row["student_unique_id"]),
                "NameIDGuardian": GUARDIANS + int(row["contact_id"]),
                "HasActiveRestrictedAccess": False,
            }
            for n, row in enumerate(read("student_contacts.csv"), start=1)
        ],
    }
    return literal_district(rows, today=TODAY)


def test_all_its_students_and_their_parents_are_published(pipeline, grand_bend):
    pipeline.add(grand_bend)

    night = pipeline.run()

    assert night.published, night.reason
    students = read("students.csv")
    links = {(row["student_unique_id"], row["contact_id"]) for row in read("student_contacts.csv")}
    assert night.students == night.enrolled == len(students)
    published = pipeline.rows(
        "select student_number, first_name, last_name, birth_date::text "
        "from samegoal.student_demographics order by 1"
    )
    columns = ("student_unique_id", "first_name", "last_name", "birth_date")
    assert published == sorted(tuple(row[name] for name in columns) for row in students)
    assert pipeline.rows("select count(*) from samegoal.parent_demographics") == [(len(links),)]
