"""Which Qmlativ fields each column comes from, and what a missing field costs, from the declarations.

An origin is written `Address.ZipID > Zip.ZipCode + Address.ZipCodeAddOn`. What is left of ` > ` leads to what
is right of it, and the last step is the value. Of `A|B`, A takes precedence. After ` + ` come further
sources, which shape the value or choose it among several. With `rules: ` in front, the rules compute the
value from all sources. A path of the asset leads to the first step's object. A source without an object is a
field of the asset's main one.
"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import NamedTuple

from samegoal_pipelines.tables import enrollments, people
from samegoal_pipelines.tables.catalog import PUBLISHED, STUDENT_NUMBER
from samegoal_pipelines.tables.declaration import Table


class Origin(NamedTuple):
    """The sources of a column, each written `asset.column`.

    The columns of a raw asset are `Object.Field`, those of `published_snapshot` `view.column`. A column is
    empty unless each group of `needs` has an available source. The last group is the value itself.
    """

    needs: tuple[tuple[str, ...], ...]
    also: tuple[str, ...] = ()
    computed: bool = False

    @property
    def value(self) -> tuple[str, ...]:
        """The sources of the value itself: the first available one, or all of them if it is computed."""
        return self.sources if self.computed else self.needs[-1]

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources, without repeats."""
        return tuple(dict.fromkeys(source for group in (*self.needs, self.also) for source in group))


def _origin(text: str, main: str, paths: Mapping[str, str]) -> Origin:
    """Read an origin as declared."""
    asset = main.partition(".")[0]

    def split(text: str) -> tuple[list[str], list[str]]:
        path, _, others = text.partition(" + ")
        steps, also = path.split(" > "), others.split()
        if path_to_object := paths.get(path.partition(".")[0]):
            before, more = split(path_to_object)
            return before + steps, also + more
        return steps, also

    def full(source: str) -> str:
        if source.startswith("student_status."):
            return source
        return f"{asset}.{source}" if "." in source else f"{main}.{source}"

    steps, also = split(text.removeprefix("rules: "))
    needs = tuple(tuple(map(full, step.split("|"))) for step in steps)
    return Origin(needs, tuple(map(full, also)), computed=text.startswith("rules: "))


_SOURCES: dict[Table, tuple[str, Mapping[str, str]]] = {
    enrollments.FILTERED_ENROLLMENTS: ("raw_enrollments.EntryWithdrawal", enrollments.ENROLLMENT_PATHS),
    enrollments.STUDENT_STATUS: ("cecs_filtered_enrollments", {}),
    people.STUDENT_DEMOGRAPHICS: ("raw_students", people.STUDENT_PATHS),
    people.PARENT_DEMOGRAPHICS: ("raw_parents.StudentGuardian", people.PARENT_PATHS),
}

LINEAGE: dict[str, dict[str, Origin]] = {
    table.name: {c.name: _origin(c.origin, *sources) for c in table.columns if c.origin}
    for table, sources in _SOURCES.items()
}
_VIEW_COLUMNS = {
    f"{view}.{c.name}": Origin(((c.origin if c is STUDENT_NUMBER else f"{view}.{c.name}",),))
    for view, table in PUBLISHED.items()
    for c in table.columns
    if c.origin
}
LINEAGE["published_snapshot"] = _VIEW_COLUMNS
"""Asset → column → its sources."""
_ORIGINS = {
    f"{asset}.{name}": origin for asset, origins in LINEAGE.items() for name, origin in origins.items()
}


def empty_without(missing: Collection[str]) -> tuple[str, ...]:
    """The published columns (`view.column`) that are empty if these Qmlativ fields are not granted."""
    return tuple(each for each in _VIEW_COLUMNS if _is_empty(f"published_snapshot.{each}", missing))


def fed_by(field: str) -> tuple[str, ...]:
    """The published columns (`view.column`) that can take their value from this field."""
    return tuple(each for each in _VIEW_COLUMNS if field in _alternatives(f"published_snapshot.{each}"))


def made_of(source: str) -> str:
    """The Qmlativ fields that a column's value is ultimately taken or computed from."""
    asset, _, field = source.partition(".")
    if asset not in LINEAGE:
        return field
    origin = _ORIGINS.get(source)
    if origin is None:
        return ""
    values = list(dict.fromkeys(map(made_of, origin.value)))
    return f"the rules, from {', '.join(values)}" if origin.computed else " or ".join(values)


def _is_empty(source: str, missing: Collection[str]) -> bool:
    origin = _ORIGINS.get(source)
    if origin is None:
        return source in missing
    return any(all(_is_empty(one, missing) for one in group) for group in origin.needs)


@cache
def _alternatives(source: str) -> frozenset[str]:
    origin = _ORIGINS.get(source)
    if origin is None:
        return frozenset({source})
    return frozenset().union(*(_alternatives(one) for group in origin.needs for one in group))
