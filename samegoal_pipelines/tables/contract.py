"""The data contract of what SameGoal reads, in the Open Data Contract Standard, from the declarations.

`python -m samegoal_pipelines.tables` writes it to `contract.yaml`. `warehouse.contract` compares a database
with it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import sqlalchemy as sa
import yaml

from samegoal_pipelines.tables import warehouse
from samegoal_pipelines.tables.catalog import PARENT_FACTS, VIEWS
from samegoal_pipelines.tables.warehouse import SCHEMA, postgres_type, sql_column

Contract: TypeAlias = dict[str, Any]
"""The parsed YAML document: maps, lists, texts and numbers."""

FILE = Path(__file__).with_name("contract.yaml")
_HEADER = "# `python -m samegoal_pipelines.tables` writes schema and version. The rest is written by hand.\n"
_OF_SNAPSHOTS = """
    district_id snapshot_date state students enrolled pre_enrolled graduated inactive added changed removed
    held_reason run_id started_at published_at snapshot_id notes
"""
"""The promised columns. The others of `snapshots` are internal and may change without notice."""
_STUDENT = ("district_id", "student_id")
_REFERENCES = {"student_status": "student_demographics", "parent_demographics": "student_status"}
"""View → the view with a row for each of its students."""
_LOGICAL_TYPES: dict[type[sa.types.TypeEngine[Any]], str] = {
    sa.Integer: "integer",
    sa.Text: "string",
    sa.Date: "date",
    sa.Boolean: "boolean",
    sa.DateTime: "timestamp",
    sa.ARRAY: "array",
}


def contract(recorded: Contract) -> Contract:
    """The recorded contract, with the schema from today's declarations."""
    return {**recorded, "schema": list(_objects())}


def read(file: Path = FILE) -> Contract:
    """Read a recorded contract, by default the current one."""
    document: Contract = yaml.safe_load(file.read_text(encoding="utf-8"))
    return document


def as_yaml(document: Contract) -> str:
    """The document as YAML text."""
    return _HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def breaking_changes(old: Contract, new: Contract) -> list[str]:
    """The changes that break a reader of the old contract, one sentence each."""
    return list(_broken({"properties": old["schema"]}, {"properties": new["schema"]}, ""))


def _broken(old: Contract, new: Contract, path: str) -> Iterator[str]:
    for fact in ("physicalName", "physicalType", "logicalType", "primaryKeyPosition"):
        if old.get(fact) != new.get(fact):
            yield f"{path}: {fact} was {old.get(fact)} and is {new.get(fact)}"
    if old.get("required") and not new.get("required"):
        yield f"{path} may be null now"
    if "enum" in old and (more := _values(new) - _values(old) if "enum" in new else {"any value"}):
        yield f"{path} may hold {', '.join(sorted(more))} now"
    for gone in [each for each in old.get("relationships", []) if each not in new.get("relationships", [])]:
        yield f"{path}: the reference to {', '.join(gone['to'])} is gone"
    if "items" in old and "items" in new:
        yield from _broken(old["items"], new["items"], path)
    names = {element["name"]: element for element in new.get("properties", [])}
    for before in old.get("properties", []):
        name = f"{path}.{before['name']}".removeprefix(".")
        if before["name"] in names:
            yield from _broken(before, names[before["name"]], name)
        else:
            yield f"{name} is gone"


def next_version(old: Contract, new: Contract) -> str:
    """The version for `new`: a new major if it breaks readers, a minor if its schema grew, else a patch."""
    major, minor, patch = map(int, old["version"].split("."))
    if breaking_changes(old, new):
        return f"{major + 1}.0.0"
    if _without_descriptions(old["schema"]) != _without_descriptions(new["schema"]):
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"


def _values(described: Contract) -> set[str]:
    return {each["value"] for each in described["enum"]}


def _without_descriptions(schema: list[Contract]) -> Any:
    return json.loads(json.dumps(schema), object_hook=lambda facts: facts | {"description": None})


# -- the objects, from the declarations --


def _objects() -> Iterator[Contract]:
    for view in VIEWS.values():
        yield _object(view.name, "view", view.description, map(sql_column, view.columns), view.key)
    for recorded in (warehouse.student_changes, warehouse.departures, warehouse.snapshots):
        promised = _OF_SNAPSHOTS.split() if recorded is warehouse.snapshots else recorded.columns.keys()
        columns = [recorded.columns[name] for name in promised]
        key = [str(column.name) for column in recorded.primary_key]
        yield _object(str(recorded.name), "table", recorded.comment, columns, key)


def _property(column: sa.Column[Any]) -> Contract:
    logical = next(name for kind, name in _LOGICAL_TYPES.items() if isinstance(column.type, kind))
    described: Contract = {
        "name": str(column.name),
        "logicalType": logical,
        "physicalType": postgres_type(column.type),
        "required": not column.nullable,
        "description": column.comment,
    }
    if column.name == "parents":
        facts = [_property(sql_column(fact)) for fact in PARENT_FACTS]
        for fact in facts:
            del fact["physicalType"]
        items = {"logicalType": "object", "properties": facts}
        described |= {"logicalType": "array", "physicalType": "json", "items": items}
    elif logical == "array":
        described["items"] = {"logicalType": "string"}
    if values := column.info.get("values"):
        described["enum"] = [{"value": value} for value in values]
    return described


def _object(
    name: str, kind: str, description: str | None, columns: Iterable[sa.Column[Any]], key: Sequence[str]
) -> Contract:
    described: Contract = {"name": name, "physicalName": f"{SCHEMA}.{name}", "physicalType": kind}
    described["description"] = description
    if other := _REFERENCES.get(name):
        ends = {"from": name, "to": other}
        reference = {end: [f"{table}.{column}" for column in _STUDENT] for end, table in ends.items()}
        described["relationships"] = [reference]
    described["properties"] = properties = [_property(column) for column in columns]
    for each in properties:
        if each["name"] in key:
            each |= {"primaryKey": True, "primaryKeyPosition": key.index(each["name"]) + 1}
    return described
