"""Compare a live warehouse with the data contract (`tables.contract`), as the reader role."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from psycopg2.errors import InsufficientPrivilege
from sqlalchemy.exc import DBAPIError

from samegoal_pipelines.tables.contract import Contract
from samegoal_pipelines.warehouse.engine import Role, take_role, transaction
from samegoal_pipelines.warehouse.errors import WarehouseError

_STEP = "checking the data contract"
_MAY_TAKE_ROLE = sa.text("select pg_has_role(oid, 'member') from pg_roles where rolname = :role")
_IS_PUBLISHED = sa.text("select exists (select from samegoal.snapshots where state = 'published')")
_COLUMNS = sa.text(
    """
    select attname, format_type(atttypid, atttypmod), attnotnull
    from pg_attribute
    where attrelid = to_regclass(:name) and attnum > 0 and not attisdropped
    """
)


def broken_promises(engine: sa.Engine, contract: Contract, districts: Sequence[str] = ()) -> list[str]:
    """The promises of the contract that the warehouse breaks, one sentence each.

    Args:
        districts: also check these districts' rows.
    """
    one_snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    with transaction(one_snapshot, _STEP) as connection:
        if not connection.scalar(_MAY_TAKE_ROLE, {"role": Role.READER}):
            raise WarehouseError(
                f"this login cannot act as {Role.READER}",
                step=_STEP,
                next_step="migrate the warehouse, or use a login that is a member of that role",
            )
        take_role(connection, Role.READER)
        found = {described["name"]: list(_shape(connection, described)) for described in contract["schema"]}
        for district in districts:
            take_role(connection, Role.READER, district)
            if not found["snapshots"] and not connection.scalar(_IS_PUBLISHED):
                raise WarehouseError(
                    "no rows to check",
                    step=_STEP,
                    district_id=district,
                    next_step="check the id, or publish its first snapshot",
                )
            for described in contract["schema"]:
                if not found[described["name"]]:
                    broken = _rows(connection, described)
                    found[described["name"]] += [f"{district}: {sentence}" for sentence in broken]
    return [sentence for sentences in found.values() for sentence in sentences]


def _shape(connection: sa.Connection, described: Contract) -> Iterator[str]:
    """Check that the reader can read the promised columns, and sees no row without naming a district."""
    name = described["physicalName"]
    columns = {column: facts for column, *facts in connection.execute(_COLUMNS, {"name": name})}
    if not columns:
        yield f"{name} does not exist"
        return
    for column in described["properties"]:
        if column["name"] not in columns:
            yield f"{name}.{column['name']} does not exist"
            continue
        kind, not_null = columns[column["name"]]
        if kind != column["physicalType"]:
            yield f"{name}.{column['name']} is {kind}, not {column['physicalType']}"
        if described["physicalType"] == "table" and column["required"] and not not_null:
            yield f"{name}.{column['name']} may be null"
    listed = ", ".join(column["name"] for column in described["properties"] if column["name"] in columns)
    try:
        with connection.begin_nested():
            shows_rows = connection.scalar(sa.text(f"select exists (select {listed} from {name})"))  # noqa: S608
    except DBAPIError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        yield f"{name} cannot be read by {Role.READER}"
        return
    if shows_rows:
        yield f"{name} shows rows to a transaction that names no district"


def _rows(connection: sa.Connection, described: Contract) -> Iterator[str]:
    """Check the rows of the district that the transaction names."""
    name = described["physicalName"]
    key = [column["name"] for column in described["properties"] if column.get("primaryKey")]
    counts = {f"rows of {name} repeat a key": f"count(*) - count(distinct ({', '.join(key)}))"}
    values: dict[str, list[str]] = {}
    for column in described["properties"]:
        if column["required"]:
            counts[f"rows of {name} have no {column['name']}"] = (
                f"count(*) filter (where {column['name']} is null)"
            )
        if "enum" in column:
            values[column["name"]] = [each["value"] for each in column["enum"]]
            counts[f"rows of {name} have another {column['name']} than promised"] = (
                f"count(*) filter (where not {column['name']} = any (:{column['name']}))"
            )
    for reference in described.get("relationships", []):
        view, _, _ = reference["to"][0].partition(".")
        own, other = ([each.partition(".")[2] for each in reference[end]] for end in ("from", "to"))
        matches = " and ".join(f"a.{one} = b.{two}" for one, two in zip(own, other, strict=True))
        counts[f"rows of {name} have no row in {view}"] = (
            f"count(*) filter (where not exists (select from samegoal.{view} as b where {matches}))"
        )
    query = f"select {', '.join(counts.values())} from {name} as a"  # noqa: S608
    for sentence, count in zip(counts, connection.execute(sa.text(query), values).one(), strict=True):
        if count:
            yield f"{count:,} {sentence}"
