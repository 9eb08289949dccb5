"""What the tables of reads say: which Qmlativ fields are not granted, what that costs, and notes for readers.

Which column comes from which field is in `tables.lineage`. The reading itself is in `qmlativ`.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

import pandas as pd

from samegoal_pipelines.tables.lineage import empty_without, fed_by

RESTRICTION = "raw_parents.StudentGuardian.HasActiveRestrictedAccess"

# What you lose with a missing field, besides empty columns.
_ALSO = {
    RESTRICTION: "it is unknown which parents are under active restricted access",
    "raw_enrollments.EntryWithdrawal.IsCrossEntityCourseEnrollment": "no published column; course "
    "enrollments without the code CECS go unnoticed",
}


class MissingField(NamedTuple):
    """An optional field that the Integration Access does not grant, and what you lose without it."""

    field: str
    """`raw asset.Object.Field`."""
    lost: bool
    """Whether the field was granted when the asset was last read."""
    empty: tuple[str, ...]
    """Published columns (`view.column`) without a value tonight."""
    poorer: tuple[str, ...]
    """Published columns with one source less."""

    @property
    def label(self) -> str:
        """The field as Qmlativ's administrators know it: `StudentGuardian.HasActiveRestrictedAccess`."""
        return self.field.partition(".")[2]

    @property
    def cost(self) -> str:
        """What you lose without it, in words."""
        parts = [f"empty: {', '.join(self.empty)}"] if self.empty else []
        parts += [f"one source less: {', '.join(self.poorer)}"] if self.poorer else []
        parts += [_ALSO[self.field]] if self.field in _ALSO else []
        return "; ".join(parts) or "no published column"


def find_missing_fields(
    asset: str, reads: pd.DataFrame, last: pd.DataFrame | None = None
) -> tuple[MissingField, ...]:
    """The fields that are missing in a raw asset's table of reads. `last` is its table of the last night."""
    granted = set() if last is None else _fields(asset, last, "Fields")
    return costs_of(_fields(asset, reads, "Missing"), granted)


def costs_of(missing: Collection[str], granted: Collection[str] = ()) -> tuple[MissingField, ...]:
    """What you lose without these fields (`raw asset.Object.Field`) together.

    A missing field that was `granted` before was withdrawn. Those come first.
    """
    empty = set(empty_without(missing))
    found = []
    for field in sorted(missing):
        fed = fed_by(field)
        without, poorer = (tuple(one for one in fed if (one in empty) is gone) for gone in (True, False))
        found.append(MissingField(field, field in granted, without, poorer))
    return tuple(sorted(found, key=lambda each: not each.lost))


def _fields(asset: str, reads: pd.DataFrame, column: str) -> set[str]:
    """`raw asset.Object.Field` of every field in a column of the table of reads."""
    return {
        f"{asset}.{qmlativ_object}.{field}"
        for qmlativ_object, fields in zip(reads["Object"], reads[column], strict=True)
        for field in json.loads(fields)
    }


def is_granted(reads: pd.DataFrame, qmlativ_object: str, field: str) -> bool:
    """Whether a field is granted. All granted fields are requested."""
    (fields,) = reads.loc[reads["Object"] == qmlativ_object, "Fields"]
    return field in json.loads(fields)


def rows_by_listing(reads: Iterable[pd.DataFrame | None]) -> dict[str, int]:
    """Rows received by listing. The last table of reads wins. None: an asset has no such table."""
    arrived = (each for one in reads if one is not None for each in one["Arrived"])
    return {listing: rows for each in arrived for listing, rows in json.loads(each).items()}


def rows_by_object(reads: Iterable[pd.DataFrame | None]) -> dict[str, int]:
    """Rows received by object, over all school years."""
    found = Counter[str]()
    for listing, rows in rows_by_listing(reads).items():
        found[listing.partition("?")[0]] += rows
    return found


def read_twice(reads: Iterable[pd.DataFrame]) -> tuple[list[str], str]:
    """Objects read twice, as one read could not show whether a row was lost, and a note if there are any."""
    paths = {path for each in reads for path in each.loc[each["GapsChecked"].eq(False).fillna(False), "Path"]}
    objects = sorted("/".join(path.split("/")[-2:]) for path in paths)
    note = (
        f"read twice: {', '.join(objects)}; Qmlativ does not search these by key or ignores their order, so "
        "only two equal reads show that no row was lost: ask Skyward's support about it"
    )
    return objects, note if objects else ""


def years_not_read(reads: Iterable[pd.DataFrame]) -> tuple[list[int], str]:
    """Older school years whose search by date failed, and a note if there are any."""
    lists = [years for each in reads for years in each["YearsNotRead"].dropna()]
    years = sorted({year for years in lists for year in json.loads(years)})
    note = (
        f"not read: enrollments of the school years with SchoolYearID {', '.join(map(str, years))}, because "
        "searching them by date failed; a withdrawal entered there within the past year is not imported: ask "
        "Skyward's support, or the operator of a firewall in front of Qmlativ, about it"
    )
    return years, note if years else ""


def reading_notes(reads: Iterable[pd.DataFrame]) -> tuple[str, ...]:
    """Notes about the reading for readers of the snapshot. They contain object names only."""
    reads = list(reads)
    (_, not_read), (_, twice) = years_not_read(reads), read_twice(reads)
    return tuple(filter(None, (not_read, twice)))
