"""Recognize erased students by keyed hashes, and drop their rows and those of parents who are only theirs.

The markers are stored by `warehouse.erase`.
"""

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_CONTACTS = {"Name", "NamePhone", "NameEmail", "NameAddress"}
_PEOPLE = {"Student": "NameID", "StudentGuardian": "NameIDGuardian"}
Tables = Mapping[str, pa.Table]


def hash_of(key: bytes, what: str, value: object) -> bytes:
    """The marker's hash of a StudentID or a student number, which only the district's key can reproduce."""
    return hmac.digest(key, f"{what} {value}".encode(errors="backslashreplace"), sha256)


@dataclass(frozen=True)
class ErasedStudents:
    """The erased students of a district, as hashes."""

    key: bytes = b""
    students: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.students)

    def among(self, student_ids: Collection[int | None]) -> set[int]:
        """The ids of erased students among these."""
        if not self:
            return set()
        unique = {one for one in student_ids if one is not None}
        return {one for one in unique if hash_of(self.key, "student", one) in self.students}


def without_erased(
    tables: Tables, erased: ErasedStudents, parents_only_theirs: Collection[int] = ()
) -> dict[str, pa.Table]:
    """The tables of one asset without the rows of erased students, and without people who are only theirs.

    `parents_only_theirs` are ids of parents whose confidential phones go as well, because that table does not
    say whose parents they are.
    """
    kept = dict(tables)
    for name, table in tables.items():
        for column in {"StudentID", "student_id"} & {*table.column_names}:
            ids = erased.among(pc.unique(table[column]).to_pylist())
            kept[name] = _filtered(kept[name], column, pa.array(sorted(ids), pa.int64()), keep=False)
    if "confidential" in kept:
        ids = pa.array(sorted(parents_only_theirs), pa.int64())
        kept["confidential"] = _filtered(kept["confidential"], "parent_id", ids, keep=False)
    return without_strangers(kept)


def without_strangers(tables: Tables) -> dict[str, pa.Table]:
    """The tables of one raw asset with only the contacts of its students or guardians."""
    kept = dict(tables)
    for people, column in _PEOPLE.items():
        if people in kept:
            for name in _CONTACTS & kept.keys():
                kept[name] = _filtered(kept[name], "NameID", kept[people][column], keep=True)
            if {"Address", "NameAddress"} <= kept.keys():
                used = kept["NameAddress"]["AddressID"]
                kept["Address"] = _filtered(kept["Address"], "AddressID", used, keep=True)
    return kept


def drop_erased(
    frames: Mapping[str, Mapping[str, pd.DataFrame]], erased: ErasedStudents
) -> tuple[dict[str, dict[str, pd.DataFrame]], dict[str, int]]:
    """What was just read, without erased students. Asset → table → frame, and asset → rows dropped."""
    left, dropped = {asset: dict(tables) for asset, tables in frames.items()}, dict.fromkeys(frames, 0)
    if not erased:
        return left, dropped
    for asset, tables in frames.items():
        arrow = {name: pa.Table.from_pandas(frame, preserve_index=False) for name, frame in tables.items()}
        for name, table in without_erased(arrow, erased).items():
            if rows := len(tables[name]) - len(table):
                left[asset][name] = table.to_pandas(types_mapper=pd.ArrowDtype)
                dropped[asset] += rows
    return left, dropped


def _filtered(table: pa.Table, column: str, ids: pa.Array | pa.ChunkedArray, *, keep: bool) -> pa.Table:
    wanted = pc.unique(ids).drop_null().cast(table[column].type)
    found = pc.is_in(table[column], value_set=wanted)
    return table.filter(found if keep else pc.invert(found))
