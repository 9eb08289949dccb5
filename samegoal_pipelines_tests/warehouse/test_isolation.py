"""Nobody reads another district's rows: every table, view and function of the catalogue, role by role."""

import json
from typing import Any

import pytest
import sqlalchemy as sa

from samegoal_pipelines.tables.history import HISTORIES
from samegoal_pipelines.warehouse.engine import Role
from samegoal_pipelines_tests.warehouse.factories import VIEWS, every_byte, rows
from samegoal_pipelines_tests.warehouse.role_fixtures import (
    FOR_READERS,
    OURS,
    PIPELINE_ONLY,
    THEIRS,
    WITHOUT_DISTRICTS,
    as_json,
    count,
    districts_in,
    fill,
    guarded,
    insertion,
    is_refused,
    login,
    name_district,
    relations,
    sources,
)

# -- what the catalogue must say of every table, view and function, also of those to come --


def test_every_table_with_districts_is_under_forced_row_level_security(two_districts):
    assert relations(two_districts, where="relrowsecurity and relforcerowsecurity") == guarded(two_districts)
    assert set(relations(two_districts, "rmfp")) - set(guarded(two_districts)) == WITHOUT_DISTRICTS


def test_no_policy_but_the_two_lets_anybody_in(two_districts):
    policies = "select tablename, policyname, permissive, roles::text, cmd, qual, with_check from pg_policies"
    found = set(rows(two_districts, f"{policies} where schemaname = 'samegoal'"))
    named = "(district_id = NULLIF(current_setting('samegoal.district_id'::text, true), ''::text))"
    in_sight = "(district_id = ANY (( SELECT samegoal.districts_in_sight() AS districts_in_sight)::text[]))"
    behind_views = {"current_snapshots", *(history.table.name for history in HISTORIES)}
    assert found == {
        (
            table,
            "named_district",
            "PERMISSIVE",
            "{samegoal_writer}" if table in behind_views else "{public}",
            "ALL",
            named,
            named,
        )
        for table in guarded(two_districts)
    } | {
        (table, "districts_in_sight", "PERMISSIVE", "{samegoal_owner}", "ALL", in_sight, named)
        for table in behind_views
    } | {
        (table, "every_district", "PERMISSIVE", "{samegoal_operator}", "SELECT", "true", None)
        for table in guarded(two_districts)
        if table not in PIPELINE_ONLY
    }


def test_views_show_no_row_that_they_leave_out_and_functions_have_their_callers_rights(two_districts):
    safe = "coalesce(reloptions @> array['security_barrier=true'], false)"
    assert relations(two_districts, "vm", f"not {safe}") == []
    definers = "select from pg_proc where pronamespace = 'samegoal'::regnamespace and prosecdef"
    assert rows(two_districts, definers) == []


def test_everything_belongs_to_the_owner_and_nobody_else_has_a_right_to_it(two_districts):
    objects = """
        select relowner as owner, coalesce(relacl, acldefault('r', relowner)) as acl
        from pg_class where relnamespace = 'samegoal'::regnamespace and relkind <> 'i'
        union all
        select proowner, coalesce(proacl, acldefault('f', proowner))
        from pg_proc where pronamespace = 'samegoal'::regnamespace
        union all
        select nspowner, coalesce(nspacl, acldefault('n', nspowner))
        from pg_namespace where nspname = 'samegoal'
    """
    assert rows(two_districts, f"select distinct owner::regrole::text from ({objects})") == [
        ("samegoal_owner",)
    ]
    grantees = rows(
        two_districts,
        f"select distinct case grantee when 0 then 'everybody' else grantee::regrole::text end"
        f" from ({objects}) cross join aclexplode(acl)",
    )
    assert {name for (name,) in grantees} == set(Role)


def test_no_role_may_step_around_the_rules(two_districts):
    found = rows(
        two_districts,
        """
        select rolname from pg_roles where rolname like 'samegoal%'
            and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication)
        union all
        select member::regrole::text from pg_auth_members where member::regrole::text like 'samegoal%'
        """,
    )
    assert found == []


def test_each_district_has_rows_wherever_these_tests_look(two_districts):
    """A table to come must be filled above, or the tests below would prove nothing of it."""
    for name, source in sources(two_districts).items():
        if name not in WITHOUT_DISTRICTS:
            found = {one for (one,) in rows(two_districts, f"select district_id from {source}")}
            assert found == {OURS, THEIRS}, name


# -- the reader --


def test_a_reader_may_read_seven_things_and_call_one_function(two_districts):
    """By the catalogue, so that what a later migration makes is in this test: also column by column."""
    by_column = "has_any_column_privilege('samegoal_reader', oid, 'select')"
    readable = f"has_table_privilege('samegoal_reader', oid, 'select') or {by_column}"
    assert {*relations(two_districts, where=readable)} == FOR_READERS
    callable_ = rows(
        two_districts,
        "select proname from pg_proc where pronamespace = 'samegoal'::regnamespace"
        " and has_function_privilege('samegoal_reader', oid, 'execute')",
    )
    assert callable_ == [("districts_in_sight",)]  # the views call it for whoever asks


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.WRITER, Role.OWNER, Role.READER])
def test_the_views_show_each_role_the_districts_that_it_may_see(act, two_districts, role):
    seen = {OURS, THEIRS} if role is Role.OPERATOR else {OURS}
    with act(role, OURS) as connection:
        for view in VIEWS:
            assert districts_in(connection, f"samegoal.{view}") == seen, view


def peeking(connection: sa.Connection) -> tuple[Any, list[str]]:
    """A cursor past SQLAlchemy, which throws away what Postgres tells, and what a condition `peek` tells."""
    session = connection.connection.driver_connection
    session.notices = []
    cursor = session.cursor()
    cursor.execute("""
        create function pg_temp.peek(district text, what text) returns boolean
        language plpgsql cost 0.000001 as $$
        begin
            raise notice 'seen: % %', district, what;
            return true;
        end $$
    """)
    return cursor, session.notices


STRANGE = (
    *(None, "", " ", "%", "*", "grand-%", "GRAND-BEND", "grand-bend ", "null"),
    *("grand-bend,riverside", "grand-bend;riverside", "{grand-bend,riverside}", "grand-bend' or '1'='1"),
    *("' or true --", "'; set role samegoal_operator; --", "current_setting('samegoal.district_id')"),
)


def test_a_reader_sees_the_district_that_it_names_and_no_other(act, two_districts):
    """Who names none, or several, or a pattern, or SQL, sees no row."""
    from_all = sources(two_districts)
    for named in (OURS, *STRANGE):
        with act(Role.READER, named) as connection:
            found = {name: districts_in(connection, source) for name, source in from_all.items()}
        seen = {OURS} if named == OURS else set()
        assert found == {name: seen if name in FOR_READERS else None for name in found}, named


def test_a_reader_has_no_right_to_write(act, two_districts):
    rights = "has_table_privilege(:name, 'insert, update, delete, truncate, references, trigger')"
    rights += " or has_any_column_privilege(:name, 'insert, update, references')"
    with act(Role.READER, OURS) as connection:
        for name in relations(two_districts):
            assert not connection.scalar(sa.text(f"select {rights}"), {"name": f"samegoal.{name}"}), name


CHANGES = (
    "truncate samegoal.{table} cascade",
    "alter table samegoal.{table} disable row level security",
    "drop table samegoal.{table}",
    "create trigger mine before insert on samegoal.{table} execute function mine()",
)
WRITES = (
    "insert into samegoal.{table} default values",
    "update samegoal.{table} set {column} = null",
    "delete from samegoal.{table}",
    "truncate samegoal.{table}",
    "select from samegoal.{table} for update",
    "lock table samegoal.{table} in exclusive mode",
)


@pytest.mark.parametrize(("role", "statements"), [(Role.READER, (*CHANGES, *WRITES)), (Role.WRITER, CHANGES)])
def test_a_reader_writes_nothing_and_a_writer_changes_no_table(act, two_districts, role, statements):
    with act(role, OURS) as connection:
        for table in relations(two_districts, "r"):
            column = sa.inspect(two_districts).get_columns(table, "samegoal")[-1]["name"]
            for statement in (one.format(table=table, column=column) for one in statements):
                assert is_refused(connection, statement), statement


FORBIDDEN = (
    "create table samegoal.mine (n int)",
    "create table public.mine (n int)",
    "create view samegoal.mine as select 1",
    "create function samegoal.mine() returns int language sql as 'select 1'",
    "create function public.mine() returns int language sql as 'select 1'",
    "create schema mine",
    "create role mine",
    "alter table samegoal.student_status_history disable row level security",
    "alter table samegoal.student_status_history no force row level security",
    "create policy mine on samegoal.student_status_history using (true)",
    "alter policy named_district on samegoal.student_status_history using (true)",
    "create or replace view samegoal.student_status as select 1 as district_id",
    "alter role samegoal_reader bypassrls",
    "grant samegoal_operator to samegoal_reader",
    "select pg_read_file('postgresql.conf')",
    "copy samegoal.student_status_history to program 'cat'",
    "select * from pg_statistic",
)


def test_a_reader_makes_and_changes_nothing(act):
    with act(Role.READER, OURS) as connection:
        for statement in FORBIDDEN:
            assert is_refused(connection, statement), statement


def test_whoever_logs_in_as_a_role_cannot_take_on_another(two_districts):
    for role in Role:
        engine = login(two_districts, role)
        with engine.connect() as connection:
            for other in (*(other for other in Role if other != role), "postgres"):
                assert is_refused(connection, f"set role {other}"), (role, other)
                assert is_refused(connection, f"set session authorization {other}"), (role, other)
            connection.execute(sa.text("reset role"))
            assert connection.scalar(sa.text("select current_user")) == role
        engine.dispose()


def test_switching_row_level_security_off_is_an_error_and_shows_nothing(act, two_districts):
    with act(Role.READER, OURS) as connection:
        connection.execute(sa.text("set local row_security = off"))
        found = {districts_in(connection, source) for source in sources(two_districts).values()}
    assert found == {None}


@pytest.mark.parametrize("named", [OURS, None])
def test_conditions_that_speak_of_what_they_see_see_neither_another_district_nor_the_past(act, named):
    """Neither a cheap function of one's own nor an error may be evaluated before the rule of districts.

    Ana is published. Ben, who has left, is in the ledgers of what has changed, and in no view.
    """
    with act(Role.READER, named) as connection:
        cursor, notices = peeking(connection)
        for name in FOR_READERS:
            notices.clear()
            for condition in (
                f"1 / (case when district_id = '{THEIRS}' then 0 else 1 end) = 1",
                f"(case when district_id = '{THEIRS}' then row_to_json(found)::text else '1' end)::int = 1",
                "pg_temp.peek(district_id, row_to_json(found)::text)",
                f"district_id = '{THEIRS}' and pg_temp.peek(district_id, '')",
                f"district_id = '{THEIRS}' or pg_temp.peek(district_id, '')",
            ):
                cursor.execute(f"select from samegoal.{name} as found where {condition}")
            told = "".join(notices)
            assert THEIRS not in told, name
            assert ("seen: grand-bend" in told) == (named == OURS), name
            if name in VIEWS and named == OURS:
                assert '"student_id":101' in told
                assert '"student_id":102' not in told


def test_what_postgres_remembers_of_columns_shows_no_value(act, two_districts):
    with two_districts.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("analyze"))
        kept = "select from pg_stats where schemaname = 'samegoal' and attname = 'district_id'"
        assert len(connection.execute(sa.text(kept)).all()) >= len(guarded(two_districts))
    for role in (Role.READER, Role.WRITER, Role.OWNER):
        with act(role, OURS) as connection:
            for table in ("pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"):
                query = f"select tablename from {table} where schemaname = 'samegoal'"
                assert set(connection.scalars(sa.text(query))) <= WITHOUT_DISTRICTS, (role, table)


@pytest.mark.parametrize("role", [Role.READER, Role.WRITER])
def test_a_pooled_session_forgets_the_district_with_the_transaction(two_districts, role):
    engine = login(two_districts, role)
    seen, sessions = [], set()
    for named in (OURS, None, THEIRS, None):
        with engine.begin() as connection:
            if named is not None:
                name_district(connection, named)
            seen.append(districts_in(connection, "samegoal.student_details"))
            sessions.add(connection.scalar(sa.text("select pg_backend_pid()")))
    engine.dispose()
    assert seen == [{OURS}, set(), {THEIRS}, set()]
    assert len(sessions) == 1


# -- writing --


@pytest.mark.parametrize("role", [Role.WRITER, Role.OWNER])
def test_who_writes_one_district_reaches_no_other(act, warehouse, tmp_path, role):
    fill(warehouse, tmp_path)
    theirs = every_byte(warehouse, THEIRS)
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
    assert every_byte(warehouse, THEIRS) == theirs
    assert not any(every_byte(warehouse, OURS).values())


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
