"""Landed files as another version, or somebody else, would have left them."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from samegoal_pipelines.tables.catalog import landed_types


def replace_file(path: Path, table: pa.Table) -> None:
    """Put another table in place of a landed one; the manifest agrees with it."""
    pq.write_table(table, path)
    manifest = path.parent / "landed.json"
    content = json.loads(manifest.read_text())
    content["rows"][path.stem] = len(table)
    content["sha256"][path.stem] = sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content))


def with_declared_columns(asset: str, table: str, columns: dict[str, list[Any]]) -> pd.DataFrame:
    """A table as it lands, with null in every column that is not given."""
    rows = len(next(iter(columns.values())))
    types = landed_types(asset, table)
    arrays = {name: pa.array(columns.get(name, [None] * rows), kind) for name, kind in types.items()}
    return pa.table(arrays).to_pandas(types_mapper=pd.ArrowDtype)
