"""Find enrollments that ended long ago and have changed since the last published night.

Nothing is said about enrollments whose rows cannot be relied on: they are a problem of their own. How a
registrar gets to see the others is in `worklist`.
"""

from collections.abc import Collection, Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.tables.vocabulary import UNCERTAIN
from samegoal_pipelines.transforms.columns import (
    MISSING,
    NO_DAY,
    NOWHERE,
    RowIndex,
    columns_of,
    days,
    ids,
    take,
    take_text,
)
from samegoal_pipelines.transforms.enrollments import EPOCH, window_start

Columns = Mapping[str, pa.Array]

SETTLED_AFTER = timedelta(days=30)
GONE = "no longer in Qmlativ"

_COMPARED = {
    "first_day": "first day",
    "last_day": "last day",
    "withdrawal_code": "withdrawal code",
    "school_id": "school",
    "entity_id": "entity",
}
"""What should not change any more → its name for people."""
_SHOWN = ("enrollment_id", "student_id", "school_year_id", "building", "building_reporting_id")


def find_moved(
    published: Mapping[str, pd.DataFrame], tonight: Mapping[str, pd.DataFrame], today: date
) -> tuple[Columns, np.ndarray, pa.Array]:
    """The published night's enrollments, those rows that ended long ago and changed, and what changed.

    Counted and excluded rows are compared, because a new code or date may exclude a row. Enrollments of
    entities that did not count are not. A row that is gone is a change if the import window still needs it
    and its school year was read tonight: other rows of older years are no longer asked for.

    Args:
        published, tonight: both frames of `filter_enrollments`, as `enrollments` and `excluded`.
    """
    before, now = _together(published), _together(tonight)
    key, last_day = ids(before["enrollment_id"]), days(before["last_day"])
    settled = (last_day < (today - SETTLED_AFTER - EPOCH).days) & (last_day != NO_DAY) & (key != MISSING)
    rows = np.flatnonzero(settled & ~_with_reason(before, {*UNCERTAIN, "entity_not_included"}))

    now_key, in_doubt = ids(now["enrollment_id"]), _with_reason(now, UNCERTAIN)
    at = RowIndex(np.where(in_doubt, MISSING, now_key), "enrollment_id").find(key[rows])
    gone = (
        ~np.isin(key[rows], now_key)
        & (last_day[rows] >= (window_start(today) - EPOCH).days)
        & np.isin(ids(before["school_year_id"])[rows], ids(now["school_year_id"]))
    )
    differing = [
        pc.if_else(_differ(take(before[column], rows), take(now[column], at)), f", {name}", "")
        for column, name in _COMPARED.items()
    ]
    changed = pc.utf8_slice_codeunits(pc.binary_join_element_wise(*differing, ""), 2)
    moved = gone | ((at != NOWHERE) & pc.not_equal(changed, "").to_numpy(zero_copy_only=False))
    return before, rows[moved], pc.if_else(pa.array(gone), GONE, changed).filter(pa.array(moved))


def _together(filtered: Mapping[str, pd.DataFrame]) -> Columns:
    """Counted and excluded rows in one table, with the reason of those that are excluded."""
    parts = [columns_of(filtered[name]) for name in ("enrollments", "excluded")]
    every = [np.arange(len(part["enrollment_id"])) for part in parts]
    together = {
        name: pa.concat_arrays([take_text(part[name], at) for part, at in zip(parts, every, strict=True)])
        for name in (*_SHOWN, *_COMPARED)
    }
    reasons = [pa.nulls(len(every[0]), pa.string()), take_text(parts[1]["reason"], every[1])]
    return {**together, "reason": pa.concat_arrays(reasons)}


def _with_reason(table: Columns, reasons: Collection[str]) -> np.ndarray:
    found = pc.is_in(table["reason"], pa.array(sorted(reasons), pa.string()))
    return np.asarray(found.to_numpy(zero_copy_only=False))


def _differ(one: pa.Array, other: pa.Array) -> pa.Array:
    """Whether the values differ. Null equals null only."""
    return pc.coalesce(pc.not_equal(one, other), pc.xor(pc.is_null(one), pc.is_null(other)))
