"""Ed-Fi's public sample district, where it lies beside the project, publishes whole."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from samegoal_pipelines.sandbox import SandboxDistrict
from samegoal_pipelines_tests.pipeline import TODAY

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "grand-bend"
GUARDIAN_NAME_IDS = 5_000_000


@pytest.fixture
def grand_bend() -> SandboxDistrict:
    if not SAMPLE.is_dir():
        pytest.skip("the Ed-Fi sample district does not lie in ../shared/data/grand-bend")
    return load(SAMPLE)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def load(folder: Path) -> SandboxDistrict:
    """The sample's people as a Qmlativ district: each student currently enrolled."""
    students, contacts = read(folder / "students.csv"), read(folder / "contacts.csv")
    links = read(folder / "student_contacts.csv")
    persons = {row["contact_id"]: row for row in contacts}  # a contact comes once per phone and e-mail
    student_name = {row["student_unique_id"]: int(row["student_unique_id"]) for row in students}
    guardian_name = {contact: GUARDIAN_NAME_IDS + int(contact) for contact in persons}
    relations = {
        relation: n for n, relation in enumerate(sorted({row["relation"] for row in links}), start=1)
    }
    suffixes = {
        s: n for n, s in enumerate(sorted({row["generation_suffix"] for row in students} - {""}), start=1)
    }
    return SandboxDistrict.from_rows(
        {
            "Enrollment/EntryWithdrawal": [
                {"StudentID": int(row["student_unique_id"]), "StartDate": "2026-08-12"} for row in students
            ],
            "Student/Student": [
                {
                    "StudentID": int(row["student_unique_id"]),
                    "NameID": student_name[row["student_unique_id"]],
                    "StudentNumber": row["student_unique_id"],
                    "Grade": "05",
                }
                for row in students
            ],
            "Demographics/NameSuffix": [
                {"NameSuffixID": n, "Code": suffix, "Description": suffix} for suffix, n in suffixes.items()
            ],
            "Demographics/Name": [
                {
                    "NameID": student_name[row["student_unique_id"]],
                    "FirstName": row["first_name"],
                    "MiddleName": row["middle_name"] or None,
                    "LastName": row["last_name"],
                    "NameSuffixID": suffixes.get(row["generation_suffix"]),
                    "BirthDate": row["birth_date"],
                    "IsStudentName": True,
                    "IsGuardianName": False,
                }
                for row in students
            ]
            + [
                {
                    "NameID": guardian_name[contact],
                    "FirstName": row["first_name"],
                    "MiddleName": row["middle_name"] or None,
                    "LastName": row["last_name"],
                    "IsStudentName": False,
                    "IsGuardianName": True,
                }
                for contact, row in persons.items()
            ],
            "Demographics/NamePhone": [
                {
                    "NamePhoneID": n,
                    "NameID": guardian_name[row["contact_id"]],
                    "PhoneNumber": row["phone"],
                    "Rank": 1,
                    "IsConfidential": False,
                }
                for n, row in enumerate(contacts, start=1)
                if row["phone"]
            ],
            "Demographics/NameEmail": [
                {
                    "NameEmailID": n,
                    "NameID": guardian_name[row["contact_id"]],
                    "EmailAddress": row["email"],
                    "Rank": 1,
                }
                for n, row in enumerate(contacts, start=1)
                if row["email"]
            ],
            "Demographics/Relationship": [
                {"RelationshipID": n, "Code": relation[:3].upper(), "Description": relation}
                for relation, n in relations.items()
            ],
            "Family/StudentGuardian": [
                {
                    "StudentGuardianID": n,
                    "StudentID": int(row["student_unique_id"]),
                    "NameIDGuardian": guardian_name[row["contact_id"]],
                    "RelationshipID": relations[row["relation"]],
                    "Rank": 1 if row["primary_contact"] == "true" else 2,
                    "IsCustodialGuardian": row["lives_with"] == "true",
                    "IsEmergencyContact": row["emergency_contact"] == "true",
                    "HasActiveRestrictedAccess": False,
                }
                for n, row in enumerate(links, start=1)
            ],
        },
        today=TODAY,
    )


def test_all_its_students_and_their_parents_are_published(pipeline, grand_bend):
    pipeline.add(grand_bend)

    night = pipeline.run()

    assert night.published, night.reason
    students = read(SAMPLE / "students.csv")
    links = {(row["student_unique_id"], row["contact_id"]) for row in read(SAMPLE / "student_contacts.csv")}
    assert night.students == night.enrolled == len(students)
    published = pipeline.rows(
        "select student_number, first_name, last_name, birth_date::text "
        "from samegoal.student_demographics order by 1"
    )
    assert published == sorted(
        (row["student_unique_id"], row["first_name"], row["last_name"], row["birth_date"]) for row in students
    )
    assert pipeline.rows("select count(*) from samegoal.parent_demographics") == [(len(links),)]
