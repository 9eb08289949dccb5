"""`worklist`: what a registrar gets, as a file too."""

import csv
import io
import json
from typing import Any

import pytest
import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import registrar_worklist
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines_tests.reporting.factories import NIGHT, register


@pytest.fixture
def listed(deployment: Any) -> None:
    register(deployment.warehouse, "alpha")
    rows = [
        {"student_number": "00042", "building": "West High", "problem": "tie", "enrollment_id": 7},
        {"student_number": "00043", "building": "West High", "problem": "tie", "enrollment_id": 8},
        {"student_number": "00041", "building": "=1+1", "problem": "never closed", "enrollment_id": 9},
    ]
    with as_writer(deployment.warehouse, "alpha", "listing") as connection:
        for line, row in enumerate(rows):
            connection.execute(
                sa.insert(registrar_worklist).values(
                    district_id="alpha",
                    line=line,
                    snapshot_date=NIGHT,
                    student_id=int(str(row["student_number"])),
                    detail="two enrollments",
                    fix="close one",
                    **row,
                )
            )


@pytest.mark.usefixtures("listed")
def test_the_registrar_gets_a_file_with_every_student_by_number(ask):
    answer = ask("worklist", "alpha", "--csv")
    rows = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert [row["student_number"] for row in rows] == ["00041", "00042", "00043"]
    assert rows[1]["fix"] == "close one"
    assert rows[0]["building"] == "'=1+1"  # no spreadsheet runs it


@pytest.mark.usefixtures("listed")
def test_the_terminal_counts_and_names_no_student(ask):
    output = ask("worklist", "alpha").stdout
    assert "0004" not in output
    (line,) = [line for line in output.splitlines() if "West High" in line]
    assert line.split()[-1] == "2"
    assert len(json.loads(ask("worklist", "alpha", "--json").stdout)) == 3
