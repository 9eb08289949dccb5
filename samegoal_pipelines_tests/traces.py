"""Search for a text in every place where it must not be."""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

import psutil
import sqlalchemy as sa

SCHEMAS = ("samegoal", "dagster")
NOT_SCANNED = {"secret.key"}
"""Files whose purpose is to hold a secret."""
CLIENT_KEYS = "samegoal.district_credentials"
"""Holds Client Keys in clear text and Client Secrets encrypted."""


def in_database(engine: sa.Engine, words: Collection[str]) -> list[str]:
    """`table: word` for every table of ours and of Dagster's with a row that holds one, in text or bytes."""
    schemas, found = sa.inspect(engine), []
    for table in (f"{schema}.{name}" for schema in SCHEMAS for name in schemas.get_table_names(schema)):
        held = sa.text(f"""
            select word from unnest(cast(:words as text[])) as word where exists (
                select from {table} as t
                where position(word in t::text) > 0
                or position(encode(convert_to(word, 'UTF8'), 'hex') in t::text) > 0
            )""")
        with engine.connect() as connection:
            found += [f"{table}: {word}" for word in connection.scalars(held, {"words": [*words]})]
    return found


def rows_looked_at(engine: sa.Engine) -> int:
    """The number of rows in Dagster's event log. A search in an empty log would prove nothing."""
    with engine.connect() as connection:
        return connection.scalar(sa.text("select count(*) from dagster.event_logs")) or 0


def in_files(folders: Iterable[Path], words: Collection[str]) -> list[str]:
    """`file: word` for every file with one in its content or path."""
    found = []
    for path in (path for folder in folders for path in folder.rglob("*")):
        content = path.read_bytes() if path.is_file() and path.name not in NOT_SCANNED else b""
        found += [f"{path}: {word}" for word in words if word.encode() in content or word in str(path)]
    return found


def in_texts(texts: Iterable[str], words: Collection[str]) -> list[str]:
    """The words that one of these texts contains."""
    return [word for text in texts for word in words if word in text]


def in_processes(processes: Iterable[psutil.Process], words: Collection[str]) -> list[str]:
    """`process: word` for every process that has one in its arguments or its environment."""
    found = []
    for process in processes:
        try:
            seen = [*process.cmdline(), *(f"{name}={value}" for name, value in process.environ().items())]
        except psutil.NoSuchProcess:
            continue
        found += [f"{process.pid} {seen[:3]}: {word}" for word in words if word in os.linesep.join(seen)]
    return found
