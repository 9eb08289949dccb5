"""The URLs of the roles; and whoever reads while nights are being published sees one night, whole."""

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import psycopg2
import pytest
import sqlalchemy as sa

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.settings import Settings
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import Role, role_url
from samegoal_pipelines_tests.databases import ask
from samegoal_pipelines_tests.warehouse.factories import NIGHT, publish_night, snapshot, student

# -- the URLs for psql and other tools --

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


# -- reading while nights are being published --

PUBLISHES = 60
MARKS = {
    "student_status": "building",
    "student_demographics": "building",
    "parent_demographics": "last_name",
    "student_details": """
        case when exists (select from json_array_elements(parents) p where p ->> 'last_name' <> building)
        then 'mixed with parents of another night' else building end
    """,
}
"""Where in each view's rows a publication has left its mark."""
Night = tuple[date, str]
"""A night, and the mark of what was published for it."""
Published = dict[Night, set[int]]
"""The students of everything that was or is being published."""


def marked(number: int) -> SnapshotPayload:
    """Students who come and go, with one parent each and the number in every row."""
    draw, mark = random.Random(number), f"mark {number}"
    come = [n for n in range(1, 31) if n == 1 or draw.random() < 0.7]
    return snapshot(*(student(n, building=mark, parents={n: {"last_name": mark}}) for n in come))


def look(connection: sa.Connection, published: Mapping[Night, set[int]], *views: str) -> Night:
    """The one night that these views show in one statement, with all of its students."""
    parts = (
        f"select '{view}' as view, snapshot_date, {MARKS[view]} as mark, student_id from samegoal.{view}"
        for view in views
    )
    found: defaultdict[tuple[str, Night], set[int]] = defaultdict(set)
    for view, night, mark, student_id in connection.execute(sa.text(" union all ".join(parts))):
        found[view, (night, mark)].add(student_id)
    (seen,) = {night for _, night in found}
    assert found == {(view, seen): published[seen] for view in views}
    return seen


def transaction_by_transaction(reader: sa.Engine, published: Published) -> set[Night]:
    with reader.begin() as connection:
        connection.execute(sa.text("set local samegoal.district_id = 'grand-bend'"))
        (night,) = {look(connection, published, view) for view in MARKS}
        return {night}


def statement_by_statement(reader: sa.Engine, published: Published) -> set[Night]:
    """Each statement may see a later night than the one before."""
    with reader.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        connection.execute(sa.text("set local samegoal.district_id = 'grand-bend'"))
        one_by_one = {look(connection, published, view) for view in MARKS}
        return one_by_one | {look(connection, published, *MARKS)}


@pytest.mark.slow
def test_sixty_publishes_are_seen_one_at_a_time(warehouse):
    """Reruns of a night and nights without a change are among them."""
    url = warehouse.url.render_as_string(hide_password=False)
    reader = warehouse_engine.connect(role_url(url, Role.READER, as_login=True))
    published: Published = {}
    done = threading.Event()

    def publish(night: int, content: SnapshotPayload) -> None:
        mark = content.status["building"].iloc[0]
        published[NIGHT + timedelta(days=night), mark] = {*content.status["student_id"]}
        publish_night(warehouse, night, content)

    def poll(way: Callable[[sa.Engine, Published], set[Night]]) -> set[Night]:
        seen = set()
        while not done.is_set():
            seen |= way(reader, published)
        return seen

    publish(0, marked(0))
    with ThreadPoolExecutor(2) as threads:
        polls = [threads.submit(poll, way) for way in (transaction_by_transaction, statement_by_statement)]
        try:
            night = 0
            for number in range(1, PUBLISHES):
                night += number % 3 != 0
                publish(night, marked(number - 1 if number % 7 == 0 else number))
        finally:
            done.set()
    for seen in polls:
        assert len(seen.result()) > 10
    reader.dispose()
