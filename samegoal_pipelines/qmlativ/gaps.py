"""Find out whether a row was lost between two pages, by searching for keys in the gaps.

Pages are counted from the start. If a row of an earlier page is deleted during a read, all later rows move up
by one, and the first row of the next page slips onto a page that was already read. The pages do not show
this. But the lost row's key is between the last key of one page and the first key of the next, so a search
for keys in these gaps finds it. That is one small request per object, or none if the keys have no gaps. The
requests are sent in `listing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa

_NARROW = 100  # keys; a wider gap is searched by its ends
_LONGEST_LIST = 1000


class Gap(NamedTuple):
    """The keys between two pages, without the ends."""

    after: int
    before: int


def gaps_between(pages: Sequence[pa.Table], key: str) -> list[Gap]:
    """The gaps between the pages of an ordered read. Rows without a readable key do not count."""
    readable = [keys for page in pages if len(keys := page[key].drop_null())]
    gaps = [Gap(before[-1].as_py(), after[0].as_py()) for before, after in pairwise(readable)]
    return [gap for gap in gaps if _width(gap) > 0]


def questions(gaps: Sequence[Gap], key: str) -> list[list[dict[str, Any]]]:
    """The search conditions of each request: narrow gaps as lists of keys, each wide gap by its ends."""
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
    """Whether any of the keys is in a gap."""
    return any(gap.after < key < gap.before for key in keys if key is not None for gap in gaps)


def _width(gap: Gap) -> int:
    return gap.before - gap.after - 1
