"""`districts preview`: what the next night would publish, beside a file of what SameGoal has."""

from pathlib import Path

import pytest

from samegoal_pipelines_tests.cli.asking import Ask
from samegoal_pipelines_tests.cli.test_dry_run import everything
from samegoal_pipelines_tests.mass_changes import change, enrolled

TOMORROW = ("districts", "preview", "grand-bend", "--today", "2026-10-13")


@pytest.fixture
def made(pipeline, district):
    made = district(enrolled(5))
    pipeline.add(made)
    return made


@pytest.fixture
def exported(pipeline, made, ask: Ask, tmp_path: Path) -> Path:
    assert pipeline.run().published
    assert ask("export", "grand-bend", "--to", str(tmp_path)).ok
    return tmp_path / "students.csv"


def test_what_samegoal_has_is_compared_before_the_first_publish(pipeline, made, ask, tmp_path):
    file = tmp_path / "students.csv"
    file.write_bytes(b"\xef\xbb\xbfStudent Id,Last Name,Grade\r\n000001,Another,\r\n01,Somebody,01\r\n")
    before = everything(pipeline)
    arguments = ("districts", "preview", "grand-bend", "--today", "2026-10-12", "--against", str(file))
    answer = ask(*arguments, "--json", "--students").ok
    assert "dry run for 2026-10-12: 5 students (5 added, 0 changed, 0 removed)" in answer.stderr
    told = answer.json
    assert (told["state"], told["gate"]) == ("published", None)
    assert told["comparison"] == {
        "students_in_file": 2,
        "same": 0,
        "different": 1,
        "new": 4,
        "missing": 1,
        "different_by_column": {"Last Name": 1} | told["comparison"]["different_by_column"],
        "not_compared": told["comparison"]["not_compared"],
        "without_usable_number": 0,
        "differ_in_leading_zeros": 0,
        "students": {
            "new": ["000002", "000003", "000004", "000005"],
            "missing": ["01"],
            "different": {"000001": list(told["comparison"]["different_by_column"])},
        },
    }
    shown = ask(*arguments)
    assert "grand-bend Grand Bend ISD would be published 5 5 0 0 0" in shown.lines
    assert "missing 1 in the file, and would not be published" in shown.lines
    for value in ("Another", "Somebody", "000001", "leading zeros"):
        assert value not in shown.stdout
    file.write_text("Student Id\n2\n3\n")
    assert "2 of the missing differ from a new student only in leading zeros" in ask(*arguments).stdout
    assert everything(pipeline) == before


def test_the_file_that_was_exported_is_the_same_also_where_a_student_is_carried_over(made, exported, ask):
    words = (*TOMORROW, "--against", str(exported), "--json")
    found = ask(*words).json["comparison"]
    assert [found[name] for name in ("same", "different", "new", "missing")] == [5, 0, 0, 0]
    assert found["not_compared"] == ["District of Residence"]

    entry = made.rows("Enrollment/EntryWithdrawal")[0]["EntryWithdrawalID"]
    made.edit("Enrollment/EntryWithdrawal", entry, StartDate="soon")  # unreadable: carried over
    assert ask(*words).json["comparison"]["same"] == 5


def test_of_a_district_that_has_published_differences_are_listed_by_number(pipeline, made, exported, ask):
    change(made, {1}, EndDate="2026-10-09")
    made.edit("Demographics/Name", 1_000_002, LastName="Renamed")
    lines = exported.read_text(encoding="utf-8").splitlines(keepends=True)
    exported.write_text("".join(line for line in lines if "000003" not in line), encoding="utf-8")
    before = everything(pipeline)
    answer = ask(*TOMORROW, "--against", str(exported), "--students")
    assert answer.lines[-3:] == [
        "000001 different District Enrollment",
        "000002 different Last Name",
        "000003 new",
    ]
    assert "Renamed" not in answer.stdout
    assert everything(pipeline) == before


def test_a_bad_file_is_refused_before_anything_is_read(pipeline, made, ask, tmp_path):
    file = tmp_path / "students.csv"
    file.write_text("Student Id,Grade\n000001,01\n000001,02\n")
    answer = ask("districts", "preview", "grand-bend", "--against", str(file))
    assert answer.returncode == 1
    assert answer.stderr == (
        "error: grand-bend: preview: students.csv: lines 2 and 3 have the same Student Id; correct the file "
        "there, or save it again as CSV UTF-8 in SameGoal's layout, as `export` writes it\n"
    )
    assert "000001" not in answer.stderr
    assert not pipeline.source.traffic.requests(kind="list")


def test_a_night_that_would_be_held_exits_with_3(pipeline, district, ask):
    made = district(enrolled(60))
    pipeline.add(made)
    assert pipeline.run().published
    change(made, range(1, 50), EndDate="2026-10-09")
    answer = ask(*TOMORROW)
    assert answer.returncode == 3
    assert "the gate would hold it" in answer.stderr
