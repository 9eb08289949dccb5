"""A year of nights takes little more space than one."""

import numpy as np
import pytest
import sqlalchemy as sa

from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines_tests.warehouse.factories import publish_night, rows, snapshot, student

STUDENTS = 400
NIGHTS = 37  # each with the changes of ten
CHANGED = 10 * 0.005
ADDRESS = {"street": "1234 North Main Street", "city": "Grand Bend", "state": "TX", "zip": "77001-1234"}
STUDENT = {
    **{"building": "Grand Bend Elementary School", "building_reporting_id": "012345101", "grade": "04"},
    **{"phone": "(281) 555-0100", "email": "student1234@example.org", "home_language": "Spanish"},
}
MOTHER = {"relationship": "Mother", "cell_phone": "(281) 555-0100", "email": "parent1234@example.org"}


def district() -> SnapshotPayload:
    """Students with two parents each, and as much in each row as in a real district."""

    def named(n: int, **facts: str) -> dict[str, str]:
        return {"first_name": f"First{n}", "last_name": f"Lastname{n}", **ADDRESS, **facts}

    return snapshot(
        *(
            student(n, **named(n, **STUDENT), parents={2 * n + side: named(n, **MOTHER) for side in (0, 1)})
            for n in range(STUDENTS)
        )
    )


def one_night_later(before: SnapshotPayload, draw: np.random.Generator, night: int) -> SnapshotPayload:
    """With so many rows of each table changed."""
    frames = {name: frame.copy() for name, frame in before.published().items()}
    for frame, column in zip(frames.values(), ("reason", "phone", "email"), strict=True):
        some = draw.choice(len(frame), round(CHANGED * len(frame)), replace=False)
        frame.loc[some, column] = f"as of night {night}"
    return before._replace(**frames)


def space(engine: sa.Engine) -> int:
    """Bytes of all tables and indexes of the warehouse, vacuumed as a server does by itself in time."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("vacuum"))
    tables = "select sum(pg_total_relation_size(oid)) from pg_class where relkind = 'r'"
    return int(rows(engine, f"{tables} and relnamespace = 'samegoal'::regnamespace")[0][0])


@pytest.mark.slow
def test_a_year_of_nights_takes_less_than_four_times_the_space_of_one(database_url):
    """Three times, measured; without any vacuum on the way, which would leave less."""
    engine = warehouse_engine.connect(database_url)
    draw = np.random.default_rng(365)
    content = district()
    publish_night(engine, 0, content)
    of_one = space(engine)
    for night in range(1, NIGHTS):
        content = one_night_later(content, draw, night)
        assert publish_night(engine, night, content).students == STUDENTS
    assert space(engine) < 4 * of_one
    engine.dispose()
