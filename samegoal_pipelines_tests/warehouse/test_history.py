"""Over random nights, the history says what full copies of each night would say, and takes little space."""

import random
from collections import Counter
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from samegoal_pipelines.tables.vocabulary import DEPARTURES
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.snapshots import last_published
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    Tried,
    absences,
    attempts,
    publish_night,
    rows,
    snapshot,
    student,
    views,
)

Students = dict[int, dict[str, Any]]
"""A full copy of one night."""

COLUMNS = {
    "student_status": "student_id, status, building",
    "student_demographics": "student_id, first_name, building",
    "parent_demographics": "student_id, parent_id, rank",
}
STATUSES = ("ENROLLED", "PRE-ENROLLED", "GRADUATED", "INACTIVE")
WRITTEN_AGAIN = """
    select from {source} as ended join {source} as begun
    on begun.student_id = ended.student_id and begun.valid_from = ended.valid_to
    and begun.row_hash = ended.row_hash
"""
EVERYBODY = range(1, 11)


def somebody(draw: random.Random, student_id: int) -> dict[str, Any]:
    return student(
        student_id,
        status=draw.choice(STATUSES),
        first_name=draw.choice(["Ana", "", None]),
        building=draw.choice(["Elm", "Oak"]),
        parents={n: {"rank": draw.choice([1, 2, None])} for n in range(10, 13) if draw.random() < 0.4},
    )


def copied(students: Students) -> dict[str, list[tuple]]:
    """What the three tables should say, by table, in order of their keys."""
    everyone = [one for _, one in sorted(students.items())]
    return {
        "student_status": [(one["student_id"], one["status"], one["building"]) for one in everyone],
        "student_demographics": [(one["student_id"], one["first_name"], one["building"]) for one in everyone],
        "parent_demographics": [
            (one["student_id"], parent_id, facts["rank"])
            for one in everyone
            for parent_id, facts in sorted(one["parents"].items())
        ],
    }


def changes_between(before: Students, after: Students) -> list[tuple]:
    """What `student_changes` should say: student, change, old and new status, changed columns in order."""
    found = []
    for n in sorted(before.keys() | after.keys()):
        if n not in before:
            found.append((n, "added", None, after[n]["status"], []))
        elif n not in after:
            found.append((n, "removed", before[n]["status"], None, []))
        elif before[n] != after[n]:
            old, new = before[n], after[n]
            status = [name for name in ("status", "building") if old[name] != new[name]]
            demographics = [name for name in ("first_name", "building") if old[name] != new[name]]
            was, now = old["parents"], new["parents"]
            parents = {"parents"} if was.keys() != now.keys() else set()
            if any(was[parent] != now[parent] for parent in was.keys() & now.keys()):
                parents.add("parents.rank")
            change = "status" if status else "demographics" if demographics else "parents"
            names = [*status, *(name for name in demographics if name not in status), *sorted(parents)]
            found.append((n, change, old["status"], new["status"], names))
    return found


def day(night: int) -> date:
    return NIGHT + timedelta(days=night)


def ask(engine: sa.Engine, source: str, columns: str) -> list[tuple]:
    return rows(engine, f"select {columns} from samegoal.{source} order by 1, 2")


def tables(engine: sa.Engine, source: str) -> dict[str, list[tuple]]:
    """What the three tables say by the view, or by the history's own dates."""
    return {name: ask(engine, source.format(name), columns) for name, columns in COLUMNS.items()}


def as_of(engine: sa.Engine, night: int) -> dict[str, list[tuple]]:
    """Every column, as the views' rows are, by the functions."""
    query = "select (to_jsonb(t) - 'district_id')::text from samegoal.{}_as_of('{}') as t order by 1"
    return {name: rows(engine, query.format(name, day(night))) for name in COLUMNS}


def changes(engine: sa.Engine, night: int) -> list[tuple]:
    columns = "student_id, change, old_status, new_status, changed_columns"
    return ask(engine, f"student_changes where snapshot_date = '{day(night)}'", columns)


@pytest.mark.parametrize(("seed", "nights"), [(1, 12), (2, 12), (3, 30)])
def test_history_changes_and_as_of_agree_with_full_copies(warehouse, seed, nights):
    """Students come, go, return, change and are carried over; nights are skipped, and run again otherwise."""
    draw = random.Random(seed)
    copies: dict[int, Students] = {}
    shown: dict[int, dict[str, list[tuple]]] = {}
    night, before, last = 0, Students(), Students()
    for _ in range(nights):
        for _ in range(draw.choice([1, 1, 2, 3])):
            tonight = {
                n: before[n] if n in before and draw.random() < 0.6 else somebody(draw, n)
                for n in EVERYBODY
                if draw.random() < 0.8
            }
            tonight = tonight or {1: somebody(draw, 1)}
            carried_over = frozenset(n for n in EVERYBODY if n not in tonight and draw.random() < 0.5)
            absent = {n: draw.choice(DEPARTURES) for n in {*EVERYBODY} - {*tonight} if draw.random() < 0.5}
            published = publish_night(
                warehouse,
                night,
                snapshot(*tonight.values(), carried_over=carried_over),
                absent=absences(absent),
            )
            now = copies[night] = tonight | {n: before[n] for n in carried_over if n in before}
            replaced, last = last, now
        shown[night] = views(warehouse)
        assert tables(warehouse, "{}") == copied(now)
        assert changes(warehouse, night) == changes_between(before, now)
        departed = f"departures where snapshot_date = '{day(night)}'"
        assert ask(warehouse, departed, "student_id, student_number, last_status, why") == [
            (n, before[n]["student_number"], before[n]["status"], absent.get(n, "no rows in Qmlativ"))
            for n in sorted({*before} - {*now})
        ]
        assert Tried(**vars(last_published(warehouse, "grand-bend"))) == published
        assert published.students == len(now)
        by_status = Counter(one["status"] for one in now.values())
        assert [getattr(published, status.lower().replace("-", "_")) for status in STATUSES] == [
            by_status[status] for status in STATUSES
        ]
        assert published.added == len(now.keys() - replaced.keys())
        assert published.removed == len(replaced.keys() - now.keys())
        since = changes_between(replaced, now)
        assert published.changed == len(since) - published.added - published.removed
        before = now
        night += draw.choice([1, 1, 1, 2, 5])
    for any_day in range(-2, night + 3):
        valid = f"'{day(any_day)}' >= valid_from and ('{day(any_day)}' < valid_to or valid_to is null)"
        by_dates = tables(warehouse, f"{{}}_history where {valid}")
        published_by_then = max((one for one in copies if one <= any_day), default=None)
        if published_by_then is None:
            nobody: dict[str, list[tuple]] = {name: [] for name in COLUMNS}
            assert as_of(warehouse, any_day) == by_dates == nobody
        else:
            assert by_dates == copied(copies[published_by_then])
            assert as_of(warehouse, any_day) == {name: shown[published_by_then][name] for name in COLUMNS}
    before = {}
    for one, students in sorted(copies.items()):  # and nothing that a later night wrote has touched these
        assert changes(warehouse, one) == changes_between(before, students)
        before = students
    total = rows(warehouse, "select count(*) from samegoal.student_changes")
    assert total == [(sum(len(changes(warehouse, one)) for one in copies),)]
    for name in COLUMNS:  # a row is written again only where it differs
        assert rows(warehouse, WRITTEN_AGAIN.format(source=f"samegoal.{name}_history")) == []
    runs = Counter(attempts(warehouse, "snapshot_date", "state"))
    assert {date: runs[date, "published"] for date, _ in runs} == {day(night): 1 for night in copies}
    assert {state for _, state in runs} == {"published", "superseded"}


# -- space --

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
