"""Was a row lost between two pages? Which keys to ask for, to be sure.

Pages are counted from the start: when a row of an earlier page is deleted in mid-read, all later rows move up
by one, and the first row of the next page slips onto a page that was read already. Nothing in the pages shows
it. But the lost row's key lies between the last key of one page and the first of the next, so asking for keys
in these gaps tells: one small request per object, and none where keys follow each other without a gap. No
requests are sent here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa

_NARROW = 100  # keys; a wider gap is asked for by its ends
_LONGEST_LIST = 1000


class Gap(NamedTuple):
    """Keys between two pages, without the ends."""

    after: int
    before: int


def gaps_between(pages: Sequence[pa.Table], key: str) -> list[Gap]:
    """The gaps between the pages of a read that is in order. Rows without a readable key do not count."""
    readable = [keys for page in pages if len(keys := page[key].drop_null())]
    gaps = [Gap(before[-1].as_py(), after[0].as_py()) for before, after in pairwise(readable)]
    return [gap for gap in gaps if _width(gap) > 0]


def questions(gaps: Sequence[Gap], key: str) -> list[list[dict[str, Any]]]:
    """Conditions that each question joins: narrow gaps by lists of keys, every wide one by its ends."""
    narrow = [gap for gap in gaps if _width(gap) <= _NARROW]
    values = [value for gap in narrow for value in range(gap.after + 1, gap.before)]
    lists = [values[start : start + _LONGEST_LIST] for start in range(0, len(values), _LONGEST_LIST)]
    return [
        *([{"FieldName": key, "ConditionType": "List", "List": some}] for some in lists),
        *(
            [
                {"FieldName": key, "ConditionType": "Greater", "Value": gap.after},
                {"FieldName": key, "ConditionType": "Less", "Value": gap.before},
            ]
            for gap in gaps
            if gap not in narrow
        ),
    ]


def within(keys: Iterable[int | None], gaps: Sequence[Gap]) -> bool:
    """Whether any of the keys lies in a gap."""
    return any(gap.after < key < gap.before for key in keys if key is not None for gap in gaps)


def _width(gap: Gap) -> int:
    return gap.before - gap.after - 1
