"""Every query in docs/consumers.md runs as the reader, and answers what the page says."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from samegoal_pipelines.tables.vocabulary import DEPARTURES
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import Role, role_url
from samegoal_pipelines.warehouse.erase import erase_student_rows
from samegoal_pipelines.warehouse.withholding import hide_contacts
from samegoal_pipelines_tests.warehouse.factories import NIGHT, absences, publish_night, snapshot, student

PAGE = (Path(__file__).parents[2] / "docs" / "consumers.md").read_text(encoding="utf-8")
QUERIES = {
    heading: sql
    for section in re.split(r"^##+ ", PAGE, flags=re.MULTILINE)
    for heading in [section.partition("\n")[0]]
    for sql in re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
}
SECOND = NIGHT + timedelta(days=1)
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def ask(module_database_url: str) -> Iterator[Ask]:
    """Two nights of grand-bend: Ana changes, Ben leaves, Cleo comes. Another district has students, too."""
    engine = warehouse_engine.connect(module_database_url)
    mother = {"first_name": "Mai", "rank": 1, "has_restricted_access": False, "email": "mai@example.org"}
    parents = {10: mother, 11: {"rank": 2, "has_restricted_access": True}, 12: {"rank": 3}}
    ana = student(
        1, first_name="Ana", legal_first_name="Anastasia", gender="Female", building="Elm", parents=parents
    )
    ben, cleo = student(2, building="Elm"), student(3, building="Oak", status="PRE-ENROLLED")
    publish_night(engine, 0, snapshot(ana, ben))
    publish_night(engine, 1, snapshot({**ana, "grade": "05"}, cleo), absent=absences({2: "CECS only"}))
    publish_night(engine, 0, snapshot(student(1), student(4)), district_id="riverside")
    yield from asking_at(module_database_url)
    engine.dispose()


def asking_at(url: str) -> Iterator[Ask]:
    """Ask the page's queries as the reader, each in a transaction that names the district."""
    reader = warehouse_engine.connect(role_url(url, Role.READER, as_login=True))

    def asking(heading: str, **parameters: Any) -> list[dict[str, Any]]:
        with reader.begin() as connection:
            connection.execute(sa.text("set local samegoal.district_id = 'grand-bend'"))
            return [dict(row) for row in connection.execute(sa.text(QUERIES[heading]), parameters).mappings()]

    yield asking
    reader.dispose()


FROZEN = {"first_name": "Ana", "grade": "05", "status": "ENROLLED", "snapshot_date": SECOND.isoformat()}
ENTERED, NAMED = {"student_id": 1, "gender": None}, {"same_gender": False}
ANSWERS: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    (
        "Find a student by number",
        {"student_number": "00001"},
        [{"student_id": 1, "first_name": "Ana", "status": "ENROLLED", "building": "Elm"}],
    ),
    (
        "Parents who may be contacted",
        {"student_id": 1},
        [{"parent_id": 10, "first_name": "Mai", "email": "mai@example.org"}],
    ),
    (
        "Students by status",
        {},
        [
            {"building": "Elm", "status": "ENROLLED", "students": 1},
            {"building": "Oak", "status": "PRE-ENROLLED", "students": 1},
        ],
    ),
    ("Position", {}, [{"snapshot_date": SECOND}]),
    (
        "Is the remembered snapshot unchanged",
        {"snapshot_id": 1, "fingerprint": "another"},
        [{"unchanged": False}],
    ),
    (
        "Students who changed",
        {"snapshot_date": NIGHT},
        [
            {"student_id": 1, "what": ["demographics"], "status": "ENROLLED", "first_name": "Ana"},
            {"student_id": 2, "what": ["removed"], "status": None},
            {"student_id": 3, "what": ["added"], "status": "PRE-ENROLLED"},
        ],
    ),
    ("Students who changed", {"snapshot_date": SECOND}, []),
    ("Was there a night", {}, [{"snapshot_date": SECOND, "state": "published", "data_of": SECOND}]),
    (
        "Why a student vanished",
        {"student_id": 2},
        [{"gone_since": SECOND, "last_status": "ENROLLED", "why": "CECS only"}],
    ),
    (
        "Who of the students that I know is gone",
        {"student_ids": [1, 2, 3, 4]},
        [{"student_id": 2}, {"student_id": 4}],
    ),
    (
        "What to freeze",
        {"student_id": 1},
        [{"district_id": "grand-bend", "student_id": 1, "snapshot_date": SECOND}],
    ),
    (
        "What changed since the document was created",
        {"student_id": 1, "frozen_date": NIGHT},
        [{"snapshot_date": SECOND, "change": "demographics", "changed_columns": ["grade"]}],
    ),
    (
        "A name entered by hand",
        {"student_id": 1, "first_name": " anastasia", "gender": "female"},
        [{"student_id": 1, "first_name_is": "legal name", "same_gender": True}],
    ),
    ("A name entered by hand", ENTERED | {"first_name": "Ana"}, [NAMED | {"first_name_is": "name in use"}]),
    ("A name entered by hand", ENTERED | {"first_name": "Annie"}, [NAMED | {"first_name_is": "neither"}]),
    ("A name entered by hand", ENTERED | {"first_name": None}, [NAMED | {"first_name_is": "neither"}]),
    ("Why a student vanished", {"student_id": 1}, []),
]


def test_every_query_of_the_page_is_asked_here():
    assert set(QUERIES) == {"One student's Details", *(heading for heading, _, _ in ANSWERS)}
    assert len(QUERIES) >= 8


@pytest.mark.parametrize(("heading", "parameters", "expected"), ANSWERS)
def test_a_query_of_the_page_answers_the_reader(ask, heading, parameters, expected):
    answered = ask(heading, **parameters)
    assert [
        {name: row[name] for name in wanted} for row, wanted in zip(answered, expected, strict=True)
    ] == expected


def test_one_transaction_reads_a_students_details(ask, module_database_url):
    url = role_url(module_database_url, Role.READER, as_login=True)
    reader = warehouse_engine.connect(url).execution_options(isolation_level="AUTOCOMMIT")
    with reader.connect() as connection:
        for statement in QUERIES["One student's Details"].replace(":student_id", "1").split(";"):
            if statement.strip():
                answered = connection.exec_driver_sql(statement)
            if "select" in statement:
                found = answered.mappings().all()
        after_the_transaction = connection.scalar(sa.text("select count(*) from samegoal.student_details"))
    (row,) = found
    assert (row["district_id"], row["student_number"], row["grade"]) == ("grand-bend", "00001", "05")
    assert [parent["parent_id"] for parent in row["parents"]] == [10, 11, 12]
    assert after_the_transaction == 0


REWRITTEN: dict[str, tuple[Callable[[sa.Engine], object], bool]] = {
    "a later night": (lambda engine: publish_night(engine, 1, snapshot(student(1), student(2))), False),
    "again": (lambda engine: publish_night(engine, 0, snapshot(student(1, first_name="Anna"))), True),
    "hidden": (lambda engine: hide_contacts(engine, "grand-bend", restricted=True), True),
    "erased": (lambda engine: erase_student_rows(engine, "grand-bend", 1, "00001", "Pat Miller"), True),
}


@pytest.mark.parametrize(("event", "rewritten"), REWRITTEN.values(), ids=REWRITTEN)
def test_only_a_remembered_night_that_was_rewritten_makes_a_reader_read_everything(
    database_url, event, rewritten
):
    engine = warehouse_engine.connect(database_url)
    father = {"has_restricted_access": True, "email": "x@example.org"}
    publish_night(engine, 0, snapshot(student(1, first_name="Ana", parents={10: father})))
    for ask in asking_at(database_url):
        (before,) = ask("Position")
        event(engine)
        (after,) = ask("Position")
        assert after != before
        remembered = {name: before[name] for name in ("snapshot_id", "fingerprint")}
        assert ask("Is the remembered snapshot unchanged", **remembered) == [{"unchanged": not rewritten}]
    engine.dispose()


def test_what_is_frozen_has_the_whole_row_with_the_parents(ask):
    (row,) = ask("What to freeze", student_id=1)
    assert row["frozen"].items() >= FROZEN.items()
    assert [parent["parent_id"] for parent in row["frozen"]["parents"]] == [10, 11, 12]


def test_the_page_explains_every_reason_for_a_departure():
    assert set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)) == {"why", *DEPARTURES}
