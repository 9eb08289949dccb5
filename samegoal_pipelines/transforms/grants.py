"""Which Qmlativ fields are not granted tonight, which were withdrawn, and which columns are empty for it.

This module compares tables of reads. Which column comes from which field is in `tables.lineage`; asking
Qmlativ for its grants is in `qmlativ`.
"""

import json
from collections.abc import Collection, Mapping
from typing import NamedTuple

import pandas as pd

from samegoal_pipelines.tables.lineage import empty_without, fed_by

RESTRICTION = "raw_parents.StudentGuardian.HasActiveRestrictedAccess"
COURSE_FLAG = "raw_enrollments.EntryWithdrawal.IsCrossEntityCourseEnrollment"

# What you lose with a missing field, besides empty columns.
_ALSO = {
    RESTRICTION: "it is unknown which parents are under active restricted access",
    COURSE_FLAG: "no published column; course enrollments without the code CECS go unnoticed",
}


class MissingField(NamedTuple):
    """An optional field that the Integration Access does not grant, and what you lose without it.

    `field` is `raw asset.Object.Field`. `empty` are published columns (`view.column`) without a value
    tonight, `poorer` are columns with one source less. `lost` is true if the field was granted when the
    asset was last read.
    """

    field: str
    lost: bool
    empty: tuple[str, ...]
    poorer: tuple[str, ...]

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
    tonight: Mapping[str, pd.DataFrame], last: Mapping[str, pd.DataFrame]
) -> tuple[MissingField, ...]:
    """The fields that are missing in tonight's tables of reads (raw asset → `tables.reads.READS`).

    `last` are the tables of the last night before, if there are any. Withdrawn fields come first.
    """
    return costs_of(_fields(tonight, "Missing"), _fields(last, "Fields"))


def costs_of(missing: Collection[str], granted: Collection[str] = ()) -> tuple[MissingField, ...]:
    """What you lose without these fields (`raw asset.Object.Field`) together.

    `granted` are fields that were granted before; if one of them is missing, it was withdrawn. Those come
    first.
    """
    empty = set(empty_without(missing))
    found = []
    for field in sorted(missing):
        fed = fed_by(field)
        found.append(
            MissingField(
                field,
                lost=field in granted,
                empty=tuple(column for column in fed if column in empty),
                poorer=tuple(column for column in fed if column not in empty),
            )
        )
    return tuple(sorted(found, key=lambda each: not each.lost))


def _fields(reads: Mapping[str, pd.DataFrame], column: str) -> set[str]:
    """`raw asset.Object.Field` of every field in a column of the tables of reads."""
    return {
        f"{asset}.{qmlativ_object}.{field}"
        for asset, table in reads.items()
        for qmlativ_object, fields in zip(table["Object"], table[column], strict=True)
        for field in json.loads(fields)
    }
