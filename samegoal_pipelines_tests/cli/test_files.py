"""`worklist` and `export`: what leaves as files, and who took it."""

import csv
import io
from datetime import date

import pytest
import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import registrar_worklist
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines_tests.reporting.factories import NIGHT, register
from samegoal_pipelines_tests.warehouse.factories import publish_night, rows, snapshot, student


@pytest.fixture
def listed(deployment) -> None:
    register(deployment.warehouse, "alpha")
    listed: list[dict[str, object]] = [
        {"student_number": "00041", "building": "=1+1", "problem": "never closed", "enrollment_id": 9},
        {"student_number": "00042", "building": "West High", "problem": "tie", "enrollment_id": 7},
        {"student_number": "00043", "building": "West High", "problem": "tie", "enrollment_id": 8},
    ]
    with as_writer(deployment.warehouse, "alpha", "listing") as connection:
        for line, row in enumerate(listed):
            row |= {"line": line, "snapshot_date": NIGHT, "student_id": int(str(row["student_number"]))}
            row |= {"district_id": "alpha", "detail": "two enrollments", "fix": "close one"}
            connection.execute(sa.insert(registrar_worklist).values(**row))


def test_the_registrar_gets_a_file_with_every_student_and_the_terminal_names_none(listed, ask):
    answer = ask("worklist", "alpha", "--csv")
    rows = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert [row["student_number"] for row in rows] == ["00041", "00042", "00043"]
    assert rows[1]["fix"] == "close one"
    assert rows[0]["building"] == "'=1+1"  # no spreadsheet runs it

    shown = ask("worklist", "alpha")
    assert "0004" not in shown.stdout
    assert "West High tie 2" in shown.lines
    assert len(ask("worklist", "alpha", "--json").json) == 3


def test_export_names_both_files_who_is_excluded_and_the_operator(deployment, ask, tmp_path):
    register(deployment.warehouse, "grand-bend")
    person = {"first_name": "Ana", "last_name": "Tran", "birth_date": date(2015, 3, 4), "gender": "Female"}
    whole = student(1, **person, building="Elm", building_reporting_id="001", parents={10: {}})
    refused = student(2, parents={20: {}})
    publish_night(deployment.warehouse, 0, snapshot(whole, refused))
    folder = tmp_path / "files"
    result = ask("export", "grand-bend", "--to", str(folder), SAMEGOAL_OPERATOR="Pat Miller").ok
    assert "1 student and 1 parent row of the snapshot 2026-09-01" in result.stdout
    assert result.stderr.startswith("excluded: 00002: no Last Name")
    assert sorted(path.name for path in folder.iterdir()) == ["parents.csv", "students.csv"]
    as_json = ask("export", "grand-bend", "--to", str(folder), "--json").json
    assert (as_json["students"], as_json["parents"]) == (1, 1)
    assert as_json["parents_file"] == str(folder / "parents.csv")
    recorded = rows(
        deployment.warehouse,
        "select disclosed_by, what, students, parents from samegoal.disclosures order by disclosure_id",
    )
    assert recorded[0] == ("Pat Miller", "export", 1, 1)
    assert len(recorded) == 2
