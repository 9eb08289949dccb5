"""Publishing alone: a later night of 60,000 students, against replacing everything.

Four contestants, each with a database of its own on one embedded Postgres that waits for the disk: ours with
one row in 200 of each table changed since the night before, ours with nothing changed, and two that replace
everything: in one transaction, `delete` and `COPY` of the same content. One of them has plain tables, with
the same columns and primary keys and nothing else; the other the warehouse's own, with their indexes and
constraints. Neither keeps history or changes, hashes rows or knows row-level security. All begin with frames.

WAL is what the server has written meanwhile. Much of it depends on when the last checkpoint was: the first
change of a page after it writes the whole page. So there are two series: one without a checkpoint on the way,
and one with a checkpoint before every round, which is what a quiet server's night meets at worst. Before each
round comes a vacuum, as autovacuum (which is off) would do in a day; it is neither timed nor counted.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks import first_publish
from benchmarks.cases import Case, compared
from benchmarks.contestant import Contestant, take_turns

STUDENTS = 60_000
CHANGED = 0.005
DISTRICT = "grand-bend"
FIRST_NIGHT = date(2026, 9, 1)
TIME_TARGETS = {"1 row in 200 changed": 0.2, "nothing changed": 0.07}
WAL_TARGETS = {"1 row in 200 changed": 0.05, "nothing changed": None}
REPLACE = "delete and COPY, plain tables"
REPLACE_OURS = "delete and COPY, the warehouse's tables"


def run(runs: int = 5, students: int = STUDENTS) -> list[Case]:
    """Rounds without a checkpoint, then rounds right after one."""
    with _server() as server:
        without = _measure(server, runs, students, checkpoint=False)
        after = _measure(server, runs, students, checkpoint=True)
        cases = first_publish.run(server, runs, students * first_publish.STUDENTS // STUDENTS)
    for name, target in TIME_TARGETS.items():
        label = f"{students:,} students, later publish, {name}"
        mine = without[name]
        for peer in (REPLACE, REPLACE_OURS):
            cases.append(compared(label, mine.seconds, peer, without[peer].seconds, target))
        for series, when in ((without, "WAL"), (after, "WAL right after a checkpoint")):
            wal = (series[name].wal_mb, REPLACE, series[REPLACE].wal_mb, WAL_TARGETS[name])
            cases.append(compared(f"{label}: {when}", *wal, unit="MB"))
    return cases


def _measure(server: Any, runs: int, students: int, *, checkpoint: bool) -> dict[str, SimpleNamespace]:
    who: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "1 row in 200 changed": (ours, (CHANGED,)),
        "nothing changed": (ours, (0.0,)),
        REPLACE: (replace, (CHANGED, False)),
        REPLACE_OURS: (replace, (CHANGED, True)),
    }
    databases = {name: server.new_database() for name in who}
    contestants = {
        name: Contestant(prepare, databases[name], students, runs + 1, *more)
        for name, (prepare, more) in who.items()
    }
    wal: dict[str, list[float]] = {name: [] for name in who}

    def step(name: str, contestant: Contestant) -> None:
        server.tidy(databases[name], checkpoint=checkpoint)
        before = server.wal_bytes()
        contestant.step()
        wal[name].append((server.wal_bytes() - before) / 1e6)

    take_turns(contestants, runs, step)
    return {
        name: SimpleNamespace(seconds=contestant.seconds, peak_mb=contestant.peak_mb, wal_mb=wal[name][1:])
        for name, contestant in contestants.items()
    }


# -- the server --


@contextmanager
def _server() -> Iterator[Any]:
    """An embedded Postgres as a deployment has it, without automatic vacuums and frequent checkpoints."""
    from samegoal_pipelines.postgres.server import EmbeddedPostgres

    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        settings = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "8GB"}
        with EmbeddedPostgres(Path(home), settings) as postgres:
            yield _Server(postgres.url)


class _Server:
    def __init__(self, url: str) -> None:
        self._url = url
        self._databases = 0

    def new_database(self) -> str:
        """The URL of an empty database."""
        from samegoal_pipelines_tests.databases import with_database

        self._databases += 1
        name = f"bench_{self._databases}"
        self._execute(self._url, f"create database {name}")
        return with_database(self._url, name)

    def tidy(self, database: str, *, checkpoint: bool) -> None:
        self._execute(database, "vacuum analyze")
        if checkpoint:
            self._execute(self._url, "checkpoint")

    def empty(self, database: str) -> None:
        """Truncate every table with rows of a district, of the warehouse or plain; and a checkpoint."""
        tables = self._execute(
            database,
            "select string_agg(format('%I.%I', table_schema, table_name), ', ')"
            " from information_schema.columns join information_schema.tables using (table_schema, table_name)"
            " where column_name = 'district_id' and table_type = 'BASE TABLE'"
            " and table_schema in ('samegoal', 'public')",
        )
        self._execute(database, f"truncate {tables}")
        self._execute(database, "checkpoint")

    def wal_bytes(self) -> int:
        """Since the server was made."""
        return int(self._execute(self._url, "select pg_current_wal_insert_lsn() - '0/0'"))

    @staticmethod
    def _execute(url: str, statement: str) -> Any:
        import psycopg2

        connection = psycopg2.connect(url)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchone()[0] if cursor.description else None
        finally:
            connection.close()


# -- the contestants --


def ours(url: str, students: int, rounds: int, share: float) -> Callable[[], range]:
    """A warehouse with a first night in it; each round publishes the next one."""
    from samegoal_pipelines.warehouse import engine as warehouse_engine
    from samegoal_pipelines_tests.warehouse.factories import try_night

    engine = warehouse_engine.connect(url)
    warehouse_engine.migrate(engine)
    nights = list(enumerate(_nights(students, rounds + 1, share)))

    def publish_next() -> range:
        number, snapshot = nights.pop(0)
        published = try_night(
            engine,
            FIRST_NIGHT + timedelta(days=number),
            snapshot,
            district_id=DISTRICT,
            run_id=f"run {number}",
            started_at=datetime(2026, 9, 1, 6, tzinfo=UTC) + timedelta(days=number),
        )
        return range(published.students)

    publish_next()
    return publish_next


def replace(
    url: str, students: int, rounds: int, share: float, as_the_warehouse: bool
) -> Callable[[], range]:
    """Tables of our own with a first night in them; each round replaces all of it."""
    import psycopg2

    from samegoal_pipelines.tables.history import HISTORIES, PARENTS, STATUS, STUDENTS
    from samegoal_pipelines.warehouse import engine as warehouse_engine

    warehouse_engine.migrate(warehouse_engine.connect(url))
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        for history in HISTORIES:
            if as_the_warehouse:
                copied = history.table.name
                cursor.execute(f"create table {copied} (like samegoal.{copied} including all)")
        for statement in () if as_the_warehouse else plain_tables():
            cursor.execute(statement)
    constants: dict[str, Any] = {"valid_from": FIRST_NIGHT, "row_hash": 0} if as_the_warehouse else {}
    nights = _nights(students, rounds + 1, share)

    def replace_all() -> range:
        snapshot = nights.pop(0)
        frames = {STATUS: snapshot.status, STUDENTS: snapshot.students, PARENTS: snapshot.parents}
        with connection, connection.cursor() as cursor:
            for history, frame in frames.items():
                name = history.table.name
                cursor.execute(f"delete from {name} where district_id = %s", (DISTRICT,))  # noqa: S608
                _copy(cursor, name, frame, history.columns, constants)
        return range(len(snapshot.status))

    replace_all()
    return replace_all


def plain_tables() -> Iterator[str]:
    """The statements that create tables with the warehouse's columns and primary keys, and nothing else."""
    from samegoal_pipelines.tables.history import HISTORIES

    for history in HISTORIES:
        name, key = history.table.name, ", ".join(("district_id", *history.key))
        columns = ", ".join(("district_id", *history.columns))
        yield f"create table {name} as select {columns} from samegoal.{name}"  # noqa: S608
        yield f"alter table {name} add primary key ({key})"


def _copy(
    cursor: Any, table: str, frame: pd.DataFrame, columns: tuple[str, ...], constants: dict[str, Any]
) -> None:
    """As `samegoal_pipelines.warehouse.diff` does it: Arrow's CSV, the fastest way in that was found."""
    import io

    import pyarrow.csv

    content = pa.Table.from_pandas(frame, preserve_index=False).select(list(columns))
    for name, value in {"district_id": DISTRICT, **constants}.items():
        content = content.append_column(name, pa.repeat(pa.scalar(value), content.num_rows))
    text = io.BytesIO()
    pyarrow.csv.write_csv(content, text, pyarrow.csv.WriteOptions(include_header=False))
    text.seek(0)
    names = ", ".join(f'"{name}"' for name in content.column_names)
    cursor.copy_expert(f"copy {table} ({names}) from stdin (format csv)", text, 1 << 20)


# -- the nights --


def _nights(students: int, count: int, share: float) -> list[Any]:
    """So many nights, each with this share of the rows of each table changed since the one before."""
    draw = np.random.default_rng(1)
    nights = [first_night(students)]
    while len(nights) < count:
        last, number = nights[-1], len(nights)
        nights.append(
            last._replace(
                status=_changed(last.status, "withdrawal_code", share, draw, number),
                students=_changed(last.students, "phone", share, draw, number),
                parents=_changed(last.parents, "email", share, draw, number),
            )
        )
    return nights


def _changed(
    frame: pd.DataFrame, column: str, share: float, draw: np.random.Generator, number: int
) -> pd.DataFrame:
    values = frame[column].copy()
    some = draw.choice(len(frame), round(share * len(frame)), replace=False)
    values.iloc[some] = f"as of night {number}"
    return frame.assign(**{column: values})


def first_night(students: int) -> Any:
    """Rows as full as a real district's: two parents each, addresses, phones, e-mail addresses."""
    from samegoal_pipelines.tables.history import PARENTS, STATUS, STUDENTS
    from samegoal_pipelines.transforms.snapshot import SnapshotPayload

    ids = np.arange(students) * 7 + 100_000
    number = [f"{n:07}" for n in range(students)]
    both = np.repeat(ids, 2)
    parent = np.arange(2 * students) * 3 + 500_000
    address = {"city": "Grand Bend", "state": "TX", "zip": "77001-1234", "home_language": "Spanish"}
    building = {"building": "Grand Bend Elementary School", "building_reporting_id": "012345101"}
    status = {
        "student_id": ids,
        "student_number": number,
        "status": "ENROLLED",
        "reason": "current_enrollment",
        "enrollment_id": ids * 3,
        "first_day": date(2026, 8, 12),
        "school_year_id": 27,
        "entity_id": 101,
        **building,
    }
    people = {
        "student_id": ids,
        "student_number": number,
        "student_reporting_id": [f"{n:010}" for n in range(students)],
        "first_name": [f"First{n % 4_001}" for n in range(students)],
        "middle_name": [f"M{n % 301}" for n in range(students)],
        "last_name": [f"Lastname{n % 9_001}" for n in range(students)],
        "legal_first_name": [f"First{n % 4_001}" for n in range(students)],
        "legal_middle_name": [f"M{n % 301}" for n in range(students)],
        "legal_last_name": [f"Lastname{n % 9_001}" for n in range(students)],
        "birth_date": date(2016, 5, 2),
        "gender": "F",
        "grade": "04",
        "race": "White",
        "is_hispanic": True,
        "is_white": True,
        "is_black": False,
        "is_asian": False,
        "is_native_american": False,
        "is_pacific_islander": False,
        "street": [f"{n} North Main Street" for n in range(students)],
        "phone": [f"(281) 555-{n % 10_000:04}" for n in range(students)],
        "email": [f"student{n}@example.org" for n in range(students)],
        **address,
        **building,
    }
    guardians = {
        "student_id": both,
        "student_number": np.repeat(number, 2).tolist(),
        "parent_id": parent,
        "relationship": "Mother",
        "rank": np.tile([1, 2], students),
        "first_name": [f"Parent{n % 4_001}" for n in range(2 * students)],
        "last_name": [f"Lastname{n // 2 % 9_001}" for n in range(2 * students)],
        "is_custodial": True,
        "is_emergency_contact": False,
        "has_restricted_access": False,
        "street": [f"{n // 2} North Main Street" for n in range(2 * students)],
        "home_phone": [f"(281) 556-{n // 2 % 10_000:04}" for n in range(2 * students)],
        "cell_phone": [f"(281) 555-{n % 10_000:04}" for n in range(2 * students)],
        "email": [f"parent{n}@example.org" for n in range(2 * students)],
        **address,
    }
    return SnapshotPayload(_frame(STATUS, status), _frame(STUDENTS, people), _frame(PARENTS, guardians))


def _frame(history: Any, facts: dict[str, Any]) -> pd.DataFrame:
    """The table's columns; one value for all, or one per row; a fact that is not given is null."""
    types = {"BIGINT": pa.int64(), "TEXT": pa.string(), "DATE": pa.date32(), "BOOLEAN": pa.bool_()}
    rows = len(facts["student_id"])
    columns = {}
    for name in history.columns:
        wanted, value = types[str(history.table.c[name].type)], facts.get(name)
        if value is None:
            columns[name] = pa.nulls(rows, wanted)
        elif isinstance(value, list | np.ndarray):
            columns[name] = pa.array(value, wanted)
        else:
            columns[name] = pa.repeat(pa.scalar(value, wanted), rows)
    return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)
