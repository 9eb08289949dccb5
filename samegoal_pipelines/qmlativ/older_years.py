"""Older school years: read only the rows that the import window needs.

The previous, current and upcoming year are read completely, in `reading`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, NamedTuple

from samegoal_pipelines.qmlativ.errors import QmlativError, RateLimitedError
from samegoal_pipelines.qmlativ.listing import SEARCH_FAILED, Reading, SearchCondition
from samegoal_pipelines.tables.declaration import QmlativObject
from samegoal_pipelines.tables.enrollments import ENTRY_WITHDRAWAL, SCHOOL, WITHDRAWAL_CODE

_LAST_PLACEHOLDER_BEFORE_ALL = date(1900, 1, 1)
"""Some screens save this day or an earlier one for "no date". Such a row is open."""


class OlderYears(NamedTuple):
    """Readings by object and school year, and the years that were not read."""

    readings: dict[tuple[QmlativObject, int], Reading]
    not_read: tuple[int, ...] = ()


def read_older_years(
    years: Sequence[int], since: date, read: Callable[[QmlativObject, int, SearchCondition | None], Reading]
) -> OlderYears:
    """Read the enrollments of these years (newest first) that are open or ended on `since` or later.

    Codes and schools have other ids each year, so those of a year come along where it has such an enrollment.
    If the search fails, read the newest of the years whole. An outage may be over by then, so the other years
    are searched once more; but not if the server refused the search.
    """

    def search(years: Sequence[int]) -> QmlativError | None:
        try:
            for year in years:
                entries[year] = read(ENTRY_WITHDRAWAL, year, open_or_ended_since(since))
        except RateLimitedError:
            raise
        except SEARCH_FAILED as error:
            return error
        return None

    entries: dict[int, Reading] = {}
    if error := search(years):
        entries = {years[0]: read(ENTRY_WITHDRAWAL, years[0], None)}
        if error.transient:
            search(years[1:])
    readings = {(ENTRY_WITHDRAWAL, year): reading for year, reading in entries.items()}
    for year in [year for year, reading in entries.items() if reading.table.num_rows]:
        readings |= {(each, year): read(each, year, None) for each in (WITHDRAWAL_CODE, SCHOOL)}
    return OlderYears(readings, tuple(year for year in years if year not in entries))


def open_or_ended_since(since: date) -> SearchCondition:
    """The search for enrollments without an end, or with one on this day or later.

    It may find more rows. The import window decides later.
    """
    conditions = [
        _on_date("EndDate", "GreaterEqual", since),
        _on_date("WithdrawalDate", "GreaterEqual", since),
        _on_date("EndDate", "Null"),
        _on_date("EndDate", "LessEqual", _LAST_PLACEHOLDER_BEFORE_ALL),
    ]
    return {"SearchConditionGroup": {"ConditionGroupType": "Or", "Conditions": conditions}}


def _on_date(name: str, how: str, day: date | None = None) -> dict[str, Any]:
    value = {} if day is None else {"Value": f"{day}T00:00:00"}
    return {"DateTimeSearchCondition": {"FieldName": name, "ConditionType": how, **value}}
