"""One student's end: nothing of the person is left, and no later night brings the person back."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from samegoal_pipelines.defs.errors import RunFailedError
from samegoal_pipelines.defs.housekeeping import prune_district
from samegoal_pipelines.districts.errors import DistrictError
from samegoal_pipelines.landing import Landing, Rewritten
from samegoal_pipelines.operations import erase
from samegoal_pipelines.operations.erase import erase_student
from samegoal_pipelines.operations.runs import run_replay
from samegoal_pipelines_tests import traces
from samegoal_pipelines_tests.cli.asking import run
from samegoal_pipelines_tests.pipeline import TODAY
from samegoal_pipelines_tests.warehouse.factories import wait_until_a_session_waits_for_a_lock

NUMBER, STUDENT = "QX9471Z", 7_001_234_567
CANARIES = ("Quetzal", "Zephyrine", NUMBER, str(STUDENT), "5125559471", "only@canary.example")
"""The student's name, parent, number, id, the parent's phone and e-mail."""
SIBLING, BOTH, ONLY, OTHERS = 12, 77, 78, (13, 14, 15)
NAMES = {1: "Quetzal", 2: "Sibling", **dict.fromkeys(OTHERS, "Other"), BOTH: "Shared", ONLY: "Zephyrine"}
DAYS = [TODAY + timedelta(days=n) for n in range(5)]
ENTRIES = [{"StudentID": one, "StartDate": "2026-08-12"} for one in (STUDENT, SIBLING, *OTHERS)]
PEOPLE = {
    "Student/Student": [
        {"StudentID": STUDENT, "NameID": 1, "StudentNumber": NUMBER},
        {"StudentID": SIBLING, "NameID": 2, "StudentNumber": "0012"},
        *({"StudentID": one, "NameID": one, "StudentNumber": f"00{one}"} for one in OTHERS),
    ],
    "Demographics/Name": [
        {"NameID": key, "LastName": name, "IsStudentName": key < BOTH, "IsGuardianName": key >= BOTH}
        for key, name in NAMES.items()
    ],
    "Family/StudentGuardian": [
        {"StudentGuardianID": n, "StudentID": one, "NameIDGuardian": of, "HasActiveRestrictedAccess": False}
        for n, (one, of) in enumerate(((STUDENT, BOTH), (SIBLING, BOTH), (STUDENT, ONLY)), start=1)
    ],
    "Demographics/NameEmail": [{"NameEmailID": 1, "NameID": ONLY, "EmailAddress": "only@canary.example"}],
    "Demographics/NamePhone": [
        {"NamePhoneID": n, "NameID": of, "PhoneNumber": number, "IsConfidential": True, "Rank": 1}
        for n, (of, number) in enumerate(((ONLY, "5125559471"), (BOTH, "5125550077")), start=1)
    ],
}


@pytest.fixture
def made(pipeline, district):
    made = district(ENTRIES, rows=PEOPLE)
    pipeline.add(made)
    return made


@pytest.fixture
def published(pipeline, made):
    night = pipeline.run()
    assert night.published, night.reason
    return pipeline


def landing(deployment) -> str:
    """Every landed file as text, Parquet decoded, with its path."""
    paths = [path for path in Path(deployment.settings.landing_root).rglob("*") if path.is_file()]
    return "\n".join(
        f"{path} {pd.read_parquet(path).to_csv() if path.suffix == '.parquet' else path.read_text()}"
        for path in paths
    )


def left(deployment) -> set[str]:
    """The canaries that stand in any row, Dagster's included, or in any landed file."""
    everything = " ".join(traces.in_database(deployment.warehouse, CANARIES)) + landing(deployment)
    return {canary for canary in CANARIES if canary in everything}


def withheld(deployment) -> set[tuple[str, int]]:
    """Whose confidential numbers are landed, by asset."""
    found = Path(deployment.settings.landing_root).rglob("confidential.parquet")
    tables = {path: pd.read_parquet(path)["parent_id"].dropna() for path in found}
    return {(path.parent.name, int(parent)) for path, parents in tables.items() for parent in parents}


def sibling(pipeline) -> list[tuple]:
    return pipeline.rows(
        "select s.student_number, p.last_name from samegoal.student_status s "
        "join samegoal.parent_demographics p using (district_id, student_id) where student_id = 12"
    )


def test_an_erased_student_leaves_no_trace_and_never_comes_back(published, deployment, made):
    assert left(deployment) == {*CANARIES}
    assert withheld(deployment) == {("parent_demographics", BOTH), ("parent_demographics", ONLY)}
    counts = "select students, enrolled from samegoal.snapshots"
    assert published.rows(counts) == [(5, 5)]

    asked = run("erase-student", "grand-bend", NUMBER).ok

    assert "rows of student_status_history" in asked.stdout
    assert "nothing is erased yet" in asked.stderr
    assert left(deployment) == {*CANARIES}

    erased = run("erase-student", "grand-bend", NUMBER, "--yes")

    assert (erased.returncode, erased.stderr) == (0, "")
    assert erased.stdout.splitlines()[1:-1] == asked.stdout.splitlines()[1:]
    assert left(deployment) == set()
    assert sibling(published) == [("0012", "Shared")]
    assert withheld(deployment) == {("parent_demographics", BOTH)}, "the sibling's parent keeps it"
    assert published.rows(counts) == [(4, 4)]

    assert published.run(today=DAYS[1]).published
    night = published.run(today=DAYS[2])
    assert (night.students, night.removed) == (4, 0)
    run_replay(deployment, "grand-bend", first=TODAY, dry_run=False)
    assert left(deployment) == set()
    assert sibling(published) == [("0012", "Shared")]
    assert "a student with this number was erased on " in run("explain", "grand-bend", NUMBER).refusal

    assert run("erase-student", "grand-bend", NUMBER, "--undo").ok
    assert published.run(today=DAYS[3]).added == 1
    assert run("erase-student", "grand-bend", NUMBER, "--undo").failed


def test_a_held_night_loses_the_student_and_cannot_be_released(published, deployment, made):
    for key in (3, 4, 5):
        made.remove_row("Enrollment/EntryWithdrawal", key)
    assert published.run(today=DAYS[1]).held

    erase_student(deployment, "grand-bend", NUMBER)

    assert left(deployment) == set()
    assert withheld(deployment) == {("parent_demographics", BOTH), ("held_snapshot", BOTH)}
    with pytest.raises(RunFailedError, match="the district has moved on"):
        published.release(today=DAYS[1])


@pytest.mark.parametrize("files_done", [0, 1, 4])
def test_after_a_kill_the_same_command_erases_the_rest(published, deployment, monkeypatch, files_done):
    replaced = Landing._replace

    def killed(landing, path, content):
        killed.calls += 1
        if killed.calls > files_done:
            raise KeyboardInterrupt
        replaced(landing, path, content)

    killed.calls = 0
    monkeypatch.setattr(Landing, "_replace", killed)
    with pytest.raises(KeyboardInterrupt):
        erase_student(deployment, "grand-bend", NUMBER)
    monkeypatch.undo()
    assert left(deployment)

    _, again = erase_student(deployment, "grand-bend", NUMBER)

    assert again.deleted == 0
    assert left(deployment) == set()
    assert erase_student(deployment, "grand-bend", NUMBER) == ({}, Rewritten(0, 0, 0))
    assert published.run(today=DAYS[1]).published


def test_rows_that_were_read_before_the_erasure_are_not_published(published, deployment, monkeypatch):
    monkeypatch.setattr(erase, "_rewrite", lambda *_, **__: pytest.fail("killed before the files"))
    with pytest.raises(pytest.fail.Exception):
        erase_student(deployment, "grand-bend", NUMBER)

    with pytest.raises(RunFailedError, match="read before one of their students was erased"):
        run_replay(deployment, "grand-bend", first=TODAY, dry_run=False)
    assert traces.in_database(deployment.warehouse, ["Quetzal"]) == []


def test_a_run_in_progress_is_waited_for(published, deployment, monkeypatch):
    monkeypatch.setattr("samegoal_pipelines.operations.erase.run_in_progress", lambda *_: "a-run")
    with pytest.raises(DistrictError, match="run a-run is still in progress"):
        erase_student(deployment, "grand-bend", NUMBER)
    assert left(deployment) == {*CANARIES}


def test_a_number_must_name_one_student(published, deployment, made):
    with pytest.raises(DistrictError, match="no student has this number"):
        erase_student(deployment, "grand-bend", "9471Z")
    made.edit("Student/Student", SIBLING, StudentNumber=NUMBER)
    assert published.run(today=DAYS[1]).published
    with pytest.raises(DistrictError, match="several students"):
        erase_student(deployment, "grand-bend", NUMBER)

    erase_student(deployment, "grand-bend", NUMBER, STUDENT)

    with pytest.raises(DistrictError, match="besides one who is erased"):
        erase_student(deployment, "grand-bend", NUMBER)
    assert sibling(published) == [(NUMBER, "Shared")]


def test_the_history_of_students_who_are_long_gone_is_pruned_if_set(published, deployment, made, monkeypatch):
    deployment.registry.set("grand-bend", gate_limits={"dropped": 100})
    monkeypatch.setattr(deployment.settings, "landing_nights", 2)
    made.remove_row("Enrollment/EntryWithdrawal", 1)
    assert published.run(today=DAYS[1]).removed == 1
    registered = deployment.registry.get("grand-bend")

    def pruned(days: int | None, nights: int) -> int:
        monkeypatch.setattr(deployment.settings, "history_days", days)
        noon = pd.Timestamp(DAYS[1], tz="UTC").to_pydatetime() + timedelta(days=nights, hours=20)
        return prune_district(deployment, registered, noon)[1]

    assert [pruned(None, 900), pruned(30, 29)] == [0, 0]
    assert traces.in_database(deployment.warehouse, [NUMBER])
    assert [pruned(30, 30), pruned(30, 30)] == [1, 0]
    assert traces.in_database(deployment.warehouse, ["Quetzal"]) == []
    assert len(published.statuses()) == 4


def test_two_commands_at_once_erase_one_after_the_other(published, deployment, monkeypatch):
    rewrite, inside, entered = Landing.rewrite, [], threading.Event()

    def rewriting(*arguments, **options):
        inside.append(len(inside))
        entered.set()
        second_waits.wait(60)
        return rewrite(*arguments, **options)

    second_waits = threading.Event()
    monkeypatch.setattr(Landing, "rewrite", rewriting)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(erase_student, deployment, "grand-bend", NUMBER)
        assert entered.wait(60)
        second = threads.submit(erase_student, deployment, "grand-bend", NUMBER)
        wait_until_a_session_waits_for_a_lock(deployment.warehouse)
        assert inside == [0]
        second_waits.set()
        assert first.result()[0]
        assert second.result() == ({}, Rewritten(0, 0, 0))
    assert left(deployment) == set()
