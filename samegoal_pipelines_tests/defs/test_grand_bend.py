"""Ed-Fi's public sample district, if it is beside the project, publishes whole."""

import csv
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"the Ed-Fi sample district is not in {SAMPLE}")
def test_all_its_students_and_their_parents_are_published(pipeline, good_night):
    students, links = read("students.csv"), read("student_contacts.csv")
    ids = [int(row["student_unique_id"]) for row in students]
    guardianships = [
        {
            "StudentGuardianID": n,
            "StudentID": int(row["student_unique_id"]),
            "NameIDGuardian": GUARDIANS + int(row["contact_id"]),
            "HasActiveRestrictedAccess": False,
        }
        for n, row in enumerate(links, start=1)
    ]
    names = [person(key, row, student=True) for key, row in zip(ids, students, strict=True)]
    for row in read("contacts.csv"):
        names.append(person(GUARDIANS + int(row["contact_id"]), row, student=False))

    good_night(
        [{"StudentID": key, "StartDate": "2026-08-12"} for key in ids],
        rows={
            "Student/Student": [{"StudentID": n, "NameID": n, "StudentNumber": str(n)} for n in ids],
            "Demographics/Name": names,
            "Family/StudentGuardian": guardianships,
        },
    )

    assert pipeline.states("students", "enrolled") == [("published", len(students), len(students))]
    published = pipeline.rows(
        "select student_number, first_name, last_name, birth_date::text "
        "from samegoal.student_demographics order by 1"
    )
    columns = ("student_unique_id", "first_name", "last_name", "birth_date")
    assert published == sorted(tuple(row[name] for name in columns) for row in students)
    pairs = {(row["student_unique_id"], row["contact_id"]) for row in links}
    assert pipeline.rows("select count(*) from samegoal.parent_demographics") == [(len(pairs),)]
