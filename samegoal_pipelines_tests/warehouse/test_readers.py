"""Whoever reads while nights are being published sees one night, whole, and never nobody."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

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


Night = tuple[date, str]
"""A night, and the mark of what was published for it."""
Seen = dict[str, tuple[set[Night], set[int]]]
"""What one look at each view showed: nights, of which there must be one, and the students."""


class Nights:
    """What is published, noted before it is: the nights, and their students, with parents or not."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.students: dict[Night, tuple[set[int], set[int]]] = {}

    def publish(self, night: int, content: SnapshotPayload) -> None:
        marked = NIGHT + timedelta(days=night), content.status["building"].iloc[0]
        self.students[marked] = {*content.status["student_id"]}, {*content.parents["student_id"]}
        publish_night(self.engine, night, content)

    def check(self, seen: Seen) -> Night:
        """The one night that these looks have in common."""
        (night,) = {night for nights, _ in seen.values() for night in nights}
        everybody, with_parents = self.students[night]
        for view, (_, students) in seen.items():
            assert students == (with_parents if view == "parent_demographics" else everybody), view
        return night


def marked(number: int) -> SnapshotPayload:
    """Students who come and go, with the number in every row."""
    draw, mark = random.Random(number), f"mark {number}"
    come = [n for n in range(1, 31) if n == 1 or draw.random() < 0.7]
    return snapshot(*(student(n, building=mark, parents={n: {"last_name": mark}}) for n in come))


def look(connection: sa.Connection, *views: str) -> Seen:
    """One look at these views, in one statement."""
    parts = (
        f"select '{view}' as view, snapshot_date, {MARKS[view]} as mark, student_id from samegoal.{view}"
        for view in views
    )
    found: Seen = {view: (set(), set()) for view in views}
    for view, night, mark, student_id in connection.execute(sa.text(" union all ".join(parts))):
        found[view][0].add((night, mark))
        found[view][1].add(student_id)
    return found


def transaction_by_transaction(reader: sa.Engine, nights: Nights) -> set[Night]:
    with reader.begin() as connection:
        connection.execute(sa.text("set local samegoal.district_id = 'grand-bend'"))
        return {nights.check({view: look(connection, view)[view] for view in MARKS})}


def statement_by_statement(reader: sa.Engine, nights: Nights) -> set[Night]:
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

    def poll(way: object) -> set[Night]:
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
