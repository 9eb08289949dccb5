"""A live warehouse is checked against the data contract as the reader."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from samegoal_pipelines.tables.contract import read
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.contract import broken_promises
from samegoal_pipelines.warehouse.engine import Role, role_url
from samegoal_pipelines_tests.cli.asking import run
from samegoal_pipelines_tests.warehouse.factories import absences, publish_night, snapshot, student

DROPPED = "drop view samegoal.student_details"
CHANGES = {
    "alter view samegoal.student_status rename column building to campus": (
        "student_status.building does not exist"
    ),
    "alter table samegoal.departures alter column student_number type varchar(20)": (
        "departures.student_number is character varying(20), not text"
    ),
    "alter table samegoal.student_changes alter column change drop not null": (
        "student_changes.change may be null"
    ),
    DROPPED: "student_details does not exist",
    "revoke select on samegoal.snapshots from samegoal_reader": "snapshots cannot be read by samegoal_reader",
    "alter table samegoal.departures disable row level security": (
        "departures shows rows to a transaction that names no district"
    ),
}


@pytest.fixture
def published(database_url: str) -> Iterator[sa.Engine]:
    """A warehouse of this test's own with two nights of one district."""
    engine = warehouse_engine.connect(database_url)
    ana, ben = (student(n, parents={10 * n: {}}) for n in (1, 2))
    publish_night(engine, 0, snapshot(ana, ben))
    publish_night(engine, 1, snapshot(ana), absent=absences({2: "CECS only"}))
    yield engine
    engine.dispose()


def execute(engine: sa.Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(statement))


def url_of(engine: sa.Engine, role: Role | None = None) -> str:
    url = engine.url.render_as_string(hide_password=False)
    return url if role is None else role_url(url, role, as_login=True)


@pytest.mark.parametrize("role", [None, Role.READER])
def test_a_migrated_warehouse_keeps_the_contract(published, role):
    answered = run("contract", "--check", url_of(published, role), "--district", "grand-bend")
    assert (answered.returncode, answered.stderr) == (0, "")
    assert answered.stdout == (
        f"the warehouse keeps the data contract {read()['version']}: 7 tables as promised\n"
    )


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_reader_would_miss_is_named(published, change):
    execute(published, change)
    assert broken_promises(published, read()) == [f"samegoal.{CHANGES[change]}"]


def test_a_broken_contract_ends_the_command_with_1_and_says_what_to_do(published):
    execute(published, DROPPED)
    answered = run("contract", "--check", url_of(published))
    assert (answered.returncode, answered.stdout) == (1, "samegoal.student_details does not exist\n")
    assert f"the data contract {read()['version']} (broken promises: 1); migrate" in answered.stderr


def test_a_further_column_breaks_nothing(published):
    execute(published, "alter table samegoal.departures add column note text")
    assert broken_promises(published, read(), ["grand-bend"]) == []


ROWS = {
    "delete from samegoal.student_demographics_history": [
        "student_status have no row in student_demographics",
    ],
    "delete from samegoal.student_status_history": ["parent_demographics have no row in student_status"],
    "alter table samegoal.student_status_history drop constraint student_status_history_status_check, "
    "alter column reason drop not null; "
    "update samegoal.student_status_history set status = 'DROPPED_OUT', reason = null": [
        "student_status have another status than promised",
        "student_status have no reason",
        "student_details have another status than promised",
        "student_details have no reason",
    ],
}


@pytest.mark.parametrize("change", ROWS)
def test_rows_that_break_a_promise_are_counted_without_a_value(published, change):
    execute(published, change)
    broken = {f"grand-bend: 1 rows of samegoal.{sentence}" for sentence in ROWS[change]}
    assert {*broken_promises(published, read(), ["grand-bend"])} == broken


def test_a_district_without_rows_is_not_passed_as_checked(published):
    answered = run("contract", "--check", url_of(published), "--district", "grand-bent")
    assert (answered.returncode, answered.stdout) == (1, "")
    assert "grand-bent: checking the data contract: no rows to check; check the id" in answered.stderr


@pytest.mark.usefixtures("warehouse_template")  # the roles belong to the whole server
def test_a_database_without_the_tables_lacks_them_all(empty_database_url):
    engine = warehouse_engine.connect(empty_database_url)
    found = broken_promises(engine, read())
    engine.dispose()
    assert found == [f"samegoal.{each['name']} does not exist" for each in read()["schema"]]


def test_a_login_that_cannot_act_as_the_reader_is_told_so(published):
    answered = run("contract", "--check", url_of(published, Role.OPERATOR))
    assert answered.returncode == 1
    assert "this login cannot act as samegoal_reader; migrate the warehouse, or use a" in answered.stderr


def test_the_command_prints_the_recorded_contract():
    answered = run("contract")
    assert (answered.returncode, answered.stderr) == (0, "")
    assert f"version: {read()['version']}" in answered.stdout.splitlines()
    assert run("contract", "--district", "grand-bend").returncode == 2
