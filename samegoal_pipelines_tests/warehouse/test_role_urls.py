"""The URLs for psql and other tools: they act as the role, and a reader's transaction sees one night."""

import psycopg2
import pytest
import sqlalchemy as sa

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.settings import Settings
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import Role, role_url
from samegoal_pipelines_tests.databases import ask
from samegoal_pipelines_tests.warehouse.factories import publish_night, snapshot, student

ISOLATION = {
    Role.OWNER: "read committed",
    Role.WRITER: "read committed",
    Role.OPERATOR: "repeatable read",
    Role.READER: "repeatable read",
}


@pytest.mark.parametrize("as_login", [True, False])
@pytest.mark.parametrize("role", list(Role))
def test_a_roles_url_acts_as_the_role_from_the_first_statement(module_database_url, role, as_login):
    url = role_url(module_database_url, role, as_login=as_login)
    facts = "select current_user, session_user, current_setting('transaction_isolation')"
    assert ask(url, facts) == [(role, role if as_login else "postgres", ISOLATION[role])]
    with warehouse_engine.connect(url).connect() as connection:  # in the pipeline's own form, too
        assert connection.scalar(sa.text("select current_user")) == role


@pytest.mark.parametrize("as_login", [True, False])
def test_a_readers_url_shows_one_night_however_many_statements_there_are(warehouse, as_login):
    publish_night(warehouse, 0, snapshot(student(1, building="Elm")))
    url = warehouse.url.render_as_string(hide_password=False)
    connection = psycopg2.connect(role_url(url, Role.READER, as_login=as_login))
    cursor = connection.cursor()
    seen = []
    for view in ("student_status", "student_demographics"):
        cursor.execute("set local samegoal.district_id = 'grand-bend'")
        cursor.execute(f"select building, snapshot_date::text from samegoal.{view}")
        seen += cursor.fetchall()
        publish_night(warehouse, 1, snapshot(student(1, building="Oak")))
    connection.close()
    assert seen == [("Elm", "2026-09-01")] * 2


def test_a_deployments_url_logs_in_as_the_role_on_its_own_postgres_alone(
    postgres, module_database_url, tmp_path, monkeypatch
):
    configured = Deployment(Settings(home=tmp_path, database_url=module_database_url))
    who = "select session_user, current_user"
    assert ask(configured.role_url(Role.OPERATOR), who) == [("postgres", "samegoal_operator")]
    configured.warehouse.dispose()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(EmbeddedPostgres, "acquire", lambda found: found.url)  # it is running already
    own = Deployment(Settings(home=postgres.folder.parent))
    assert ask(own.role_url(Role.OPERATOR), who) == [("samegoal_operator", "samegoal_operator")]
    own.warehouse.dispose()
