"""Whoever reads while nights are being published sees one night, whole, and never nobody."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.roles import Role, role_url
from samegoal_pipelines_tests.warehouse.factories import NIGHT, publish_night, snapshot, student

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


class Seen(NamedTuple):
    """What one look at one view showed: nights and marks, of which there must be one, and the students."""

    nights: frozenset[tuple[date, str]]
    students: frozenset[int]


class Nights:
    """What is published, noted before it is: mark → students, students with parents; nights and marks."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.students: dict[str, tuple[frozenset[int], frozenset[int]]] = {}
        self.published: set[tuple[date, str]] = set()

    def publish(self, night: int, content: SnapshotPayload) -> None:
        mark = content.status["building"].iloc[0]
        ids = frozenset(content.status["student_id"]), frozenset(content.parents["student_id"])
        self.students[mark] = ids
        self.published.add((NIGHT + timedelta(days=night), mark))
        publish_night(self.engine, night, content)

    def check(self, seen: dict[str, Seen]) -> tuple[date, str]:
        """The one night that these looks have in common."""
        (night,) = {night for look in seen.values() for night in look.nights}
        assert night in self.published
        everybody, with_parents = self.students[night[1]]
        for view, look in seen.items():
            assert look.students == (with_parents if view == "parent_demographics" else everybody), view
        return night


def marked(number: int) -> SnapshotPayload:
    """Students who come and go, with the number in every row."""
    draw = random.Random(number)
    return snapshot(
        *(
            student(n, building=f"mark {number}", parents={n: {"last_name": f"mark {number}"}})
            for n in range(1, 31)
            if n == 1 or draw.random() < 0.7
        )
    )


def look(connection: sa.Connection, *views: str) -> dict[str, Seen]:
    """One look at these views, in one statement."""
    parts = (
        f"select '{view}' as view, snapshot_date, {MARKS[view]} as mark, student_id from samegoal.{view}"
        for view in views
    )
    found = connection.execute(sa.text(" union all ".join(parts))).all()
    return {
        view: Seen(
            frozenset((row[1], row[2]) for row in found if row[0] == view),
            frozenset(row[3] for row in found if row[0] == view),
        )
        for view in views
    }


def transaction_by_transaction(reader: sa.Engine, nights: Nights) -> set[tuple[date, str]]:
    with reader.begin() as connection:
        connection.execute(sa.text("set local samegoal.district_id = 'grand-bend'"))
        return {nights.check({view: look(connection, view)[view] for view in MARKS})}


def statement_by_statement(reader: sa.Engine, nights: Nights) -> set[tuple[date, str]]:
    """Each statement may see a later night than the one before."""
    with reader.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        connection.execute(sa.text("set local samegoal.district_id = 'grand-bend'"))
        one_by_one = {nights.check(look(connection, view)) for view in MARKS}
        return one_by_one | {nights.check(look(connection, *MARKS))}


@pytest.mark.slow
def test_sixty_publishes_are_seen_one_at_a_time(warehouse):
    """Reruns of a night and nights without a change are among them."""
    url = warehouse.url.render_as_string(hide_password=False)
    reader = warehouse_engine.connect(role_url(url, Role.READER, as_login=True))
    nights = Nights(warehouse)
    nights.publish(0, marked(0))
    done = threading.Event()

    def poll(way: object) -> set[tuple[date, str]]:
        seen = set()
        while not done.is_set():
            seen |= way(reader, nights)  # type: ignore[operator]
        return seen

    with ThreadPoolExecutor(2) as threads:
        polls = [threads.submit(poll, way) for way in (transaction_by_transaction, statement_by_statement)]
        try:
            night = 0
            for number in range(1, PUBLISHES):
                night += number % 3 != 0
                nights.publish(night, marked(number - 1 if number % 7 == 0 else number))
        finally:
            done.set()
    for seen in polls:
        assert len(seen.result()) > 10
    reader.dispose()
