"""Write `docs/tables.md` and `contract.yaml`: `python -m samegoal_pipelines.tables [--new-major]`.

The page is the data dictionary: every table that we publish, record, land or read. The contract's version
rises when its content changes. A breaking change needs `--new-major`.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from samegoal_pipelines.tables import catalog, contract
from samegoal_pipelines.tables.declaration import Column
from samegoal_pipelines.tables.history import HISTORIES
from samegoal_pipelines.tables.lineage import made_of
from samegoal_pipelines.tables.warehouse import SCHEMA, metadata, postgres_type

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
_INTRODUCTION = f"""\
# Data dictionary

Generated from `samegoal_pipelines/tables/` by `python -m samegoal_pipelines.tables`. Do not edit it by hand.

- [Published](#published): what SameGoal reads, in the Postgres schema `{SCHEMA}`.
- [Recorded](#recorded): the other tables of that schema.
- [Landed](#landed): what each asset keeps as Parquet, per district and run.
- [Read from Qmlativ](#read-from-qmlativ): the fields that a district grants, and why we read them.
"""


def dictionary() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, *_published(), *_recorded(), *_landed(), *_read()]
    return "\n".join(parts) + "\n"


def _published() -> Iterator[str]:
    yield "## Published\n\nEach view shows the rows of every district's last published snapshot."
    for name, view in catalog.VIEWS.items():
        yield f"\n### {name}\n\n{view.description}. Key: {', '.join(view.key)}.\n"
        if name in catalog.PUBLISHED:
            made = (made_of(f"published_snapshot.{name}.{column}") for column in view.names)
            rows = ((*_facts(column), source) for column, source in zip(view.columns, made, strict=True))
            yield _table(("Column", "Type", "Null", "Description", "Made of"), rows)
        else:
            yield _columns(view.columns)


def _recorded() -> Iterator[str]:
    yield "\n## Recorded"
    histories = {history.table.name: history for history in HISTORIES}
    for table in sorted(metadata.tables.values(), key=lambda table: table.name):
        yield f"\n### {table.name}\n\n{table.comment}. Key: {', '.join(c.name for c in table.primary_key)}.\n"
        columns = list(table.columns)
        if table.name in histories:
            yield f"The columns of `{table.name.removesuffix('_history')}`, and:\n"
            columns = [each for each in columns if each.name not in histories[table.name].loaded[:-2]]
        rows = (
            (column.name, postgres_type(column.type), _yes(column.nullable), column.comment or "")
            for column in columns
        )
        yield _table(("Column", "Type", "Null", "Description"), rows)


def _landed() -> Iterator[str]:
    yield "\n## Landed"
    for asset, tables in catalog.LANDED.items():
        raw = catalog.RAW_TABLES.get(asset, {})
        yield f"\n### {asset}"
        if raw:
            yield f"\nOne file per object ([fields](#read-from-qmlativ)): {', '.join(raw)}."
        for name, table in tables.items():
            if name in raw:
                continue
            yield f"\n**{name}**: {table.description}.\n"
            if table in catalog.PUBLISHED.values():
                yield f"As the view [{table.name}](#{table.name}), without district_id and snapshot_date."
            else:
                yield _columns(table.columns)


def _read() -> Iterator[str]:
    yield "\n## Read from Qmlativ\n"
    yield (
        "A district may decline to grant an optional field; it is null then. Each landed row also has "
        "`Unreadable`: a JSON object of the values that had a wrong type."
    )
    for label, wanted in catalog.OBJECTS.items():
        assets = [asset for asset, objects in catalog.NEEDED.items() if wanted in objects]
        yield f"\n### {label}\n\n{wanted.description}. For {', '.join(assets)}.\n"
        rows = ((each.name, each.type, _yes(each.optional), each.description) for each in wanted.fields)
        yield _table(("Field", "Type", "Optional", "What it is, and why we read it"), rows)


def _columns(columns: Iterable[Column]) -> str:
    return _table(("Column", "Type", "Null", "Description"), map(_facts, columns))


def _facts(column: Column) -> tuple[str, ...]:
    kind = "text" if column.type == "code" else column.type
    return (column.name, kind, _yes(not column.required), column.description)


def _yes(is_so: bool | None) -> str:
    return "yes" if is_so else "no"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_contract(file: Path, *, new_major: bool) -> None:
    """Write today's contract, with the version that its changes require. Exits if they need `--new-major`."""
    old = contract.read(file)
    new = contract.contract(old)
    if new == old:
        return
    breaking = contract.breaking_changes(old, new)
    if breaking and not new_major:
        sys.exit(
            f"error: {file.name} stays as it is, because these changes break its readers: "
            f"{'; '.join(breaking)}. Undo them, or run this again with --new-major"
        )
    new["version"] = contract.next_version(old, new)
    file.write_text(contract.as_yaml(new), encoding="utf-8")


if __name__ == "__main__":
    PAGE.write_text(dictionary(), encoding="utf-8")
    write_contract(contract.FILE, new_major="--new-major" in sys.argv[1:])
