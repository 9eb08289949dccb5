"""Who may do what in the warehouse: the roles that the migrations make. Which rows they reach is up to
row-level security, in the migrations too.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """A role of Postgres. Transactions take one on; what a login could do besides does not matter then."""

    OWNER = "samegoal_owner"
    """Owns the tables and migrates them; reads and writes rows like the writer."""
    WRITER = "samegoal_writer"
    """Reads and writes the one district that its transaction names: the pipeline."""
    OPERATOR = "samegoal_operator"
    """Reads every district, and writes none: data engineers, the schedule."""
    READER = "samegoal_reader"
    """Reads the one district that its transaction names: SameGoal."""


_LET_IN = """
    do $$
    declare
        role_name text;
    begin
        foreach role_name in array %s loop
            if not exists (select from pg_roles where rolname = role_name) then
                execute format('create role %%I login', role_name);
            elsif not (select rolcanlogin from pg_roles where rolname = role_name) then
                execute format('alter role %%I login', role_name);
            end if;
        end loop;
    end
    $$
    """


def let_roles_log_in(connection: Any) -> None:
    """Let whoever may reach the server log in as each of the pipeline's roles, to be held by its limits.

    The migrations make the roles on any server, and without login.
    """
    import psycopg2.errors

    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_LET_IN, ([role.value for role in Role],))
    except (psycopg2.errors.DuplicateObject, psycopg2.errors.UniqueViolation, psycopg2.errors.InternalError):
        pass  # another command's start does the same at this moment
    finally:
        connection.close()
