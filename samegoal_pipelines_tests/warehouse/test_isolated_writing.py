"""Nobody writes another district's rows: every table of the catalogue, role by role."""

import json

import pytest

from samegoal_pipelines.warehouse.roles import Role
from samegoal_pipelines_tests.warehouse.role_fixtures import (
    OURS,
    PIPELINE_ONLY,
    THEIRS,
    WITHOUT_DISTRICTS,
    as_json,
    contents,
    count,
    districts_in,
    fill,
    guarded,
    insertion,
    is_refused,
    relations,
    sources,
)


@pytest.mark.parametrize("role", [Role.WRITER, Role.OWNER])
def test_who_writes_one_district_reaches_no_other(act, warehouse, tmp_path, role):
    fill(warehouse, tmp_path)
    before = contents(warehouse)
    with act(role, OURS, warehouse) as connection:
        for table in guarded(warehouse):
            assert districts_in(connection, f"samegoal.{table}") == {OURS}, table
            row = as_json(warehouse, table, THEIRS)
            assert is_refused(connection, insertion(warehouse, table), row=row), table
            assert is_refused(connection, f"update samegoal.{table} set district_id = '{THEIRS}'"), table
            others = f"where district_id <> '{OURS}'"
            assert count(connection, f"update samegoal.{table} set district_id = '{OURS}' {others}") == 0
            assert count(connection, f"delete from samegoal.{table} {others}") == 0
        for table in reversed(guarded(warehouse)):  # credentials go with their district
            assert count(connection, f"delete from samegoal.{table}") >= 1 or table == "district_credentials"
        connection.commit()
    assert contents(warehouse) == {
        table: [row for row in found if row[0] == THEIRS] for table, found in before.items()
    }


@pytest.mark.parametrize("named", [None, "", "grand-bend' or '1'='1"])
@pytest.mark.parametrize("role", [Role.WRITER, Role.OWNER])
def test_who_names_no_district_writes_nothing(act, two_districts, role, named):
    with act(role, named) as connection:
        for table in guarded(two_districts):
            assert districts_in(connection, f"samegoal.{table}") == set(), table
            for district in (OURS, THEIRS, ""):
                row = json.loads(as_json(two_districts, table, THEIRS)) | {"district_id": district}
                assert is_refused(connection, insertion(two_districts, table), row=json.dumps(row)), table
            assert count(connection, f"update samegoal.{table} set district_id = '{OURS}'") == 0, table
            assert count(connection, f"delete from samegoal.{table}") == 0, table


def test_a_writer_changes_no_table_and_empties_none_at_once(act, two_districts):
    with act(Role.WRITER, OURS) as connection:
        for table in relations(two_districts, "r"):
            for statement in (
                f"truncate samegoal.{table} cascade",
                f"alter table samegoal.{table} disable row level security",
                f"drop table samegoal.{table}",
                f"create trigger mine before insert on samegoal.{table} execute function mine()",
            ):
                assert is_refused(connection, statement), statement


def test_an_operator_reads_every_district_but_no_credentials_and_writes_nothing(act, two_districts):
    for named in (None, OURS):
        with act(Role.OPERATOR, named) as connection:
            for name, source in sources(two_districts).items():
                if name not in WITHOUT_DISTRICTS:
                    expected = None if name in PIPELINE_ONLY else {OURS, THEIRS}
                    assert districts_in(connection, source) == expected, name
            for table in guarded(two_districts):
                row = as_json(two_districts, table, OURS)
                assert is_refused(connection, insertion(two_districts, table), row=row), table
                assert is_refused(connection, f"update samegoal.{table} set district_id = '{OURS}'"), table
                assert is_refused(connection, f"delete from samegoal.{table}"), table
                assert is_refused(connection, f"truncate samegoal.{table}"), table
