"""The warehouse's roles, which the migrations create, and a URL for tools to act as one."""

from enum import StrEnum

import sqlalchemy as sa

from samegoal_pipelines.postgres.url import DatabaseURL


class Role(StrEnum):
    """A Postgres role. A transaction assumes one, so the login's other rights do not matter."""

    OWNER = "samegoal_owner"
    """Owns the tables and migrates them; reads and writes rows like the writer."""
    WRITER = "samegoal_writer"
    """Reads and writes the one district that its transaction names: the pipeline."""
    OPERATOR = "samegoal_operator"
    """Reads every district, and writes none: data engineers, the schedule."""
    READER = "samegoal_reader"
    """Reads the one district that its transaction names: SameGoal."""


def let_roles_log_in(engine: sa.Engine) -> None:
    """Let everyone who can reach the embedded server log in as each role, with that role's limits.

    On other servers, the migrations create the roles without login.
    """
    try:
        with engine.begin() as connection:
            roles = connection.execute(sa.text("select rolname, rolcanlogin from pg_roles"))
            known: dict[str, bool] = {name: may_log_in for name, may_log_in in roles}
            for role in Role:
                if not known.get(role):
                    verb = "alter" if role in known else "create"
                    connection.execute(sa.text(f"{verb} role {role} login"))
    except (sa.exc.ProgrammingError, sa.exc.IntegrityError, sa.exc.InternalError):
        pass  # another command does the same right now


def role_url(url: str, role: Role, *, as_login: bool) -> str:
    """`url` for a tool that acts as `role`.

    With `as_login`, the tool logs in as the role itself, which the embedded server allows. Otherwise the
    URL's user assumes the role, and must be a member of it.
    """
    parts = DatabaseURL.parse(url)
    # A reader's transaction sees one night, even if it runs several statements.
    if role in (Role.OPERATOR, Role.READER):
        parts = parts.with_settings(default_transaction_isolation="repeatable read")
    if as_login:
        return parts.with_parts(user=role.value, password=None).libpq
    return parts.with_settings(role=role.value).libpq
