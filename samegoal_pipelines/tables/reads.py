"""The table of reads, landed beside each raw asset's rows: what was requested and received, in counts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from samegoal_pipelines.tables.declaration import flag, integer, number, table, text

if TYPE_CHECKING:
    import pandas as pd

READS = table(
    "Reads",
    "One row per Qmlativ object that was read for the asset",
    text("Object", "Qmlativ's object, also the name of the landed file", required=True),
    text("Path", "The requested path, relative to the base URL", required=True),
    text("Fields", "JSON list of the requested fields", required=True),
    text("Missing", "JSON list of the optional fields that are not granted", required=True),
    text("SchoolYearIDs", "JSON list of the requested school years; empty: not year-bound", required=True),
    text("YearsNotRead", "JSON list of older school years whose search by date failed", required=True),
    text("Arrived", "JSON object: rows per listing, from which tomorrow guesses the pages", required=True),
    integer("Rows", "Rows without repeats and without other people's rows", required=True),
    integer("Unreadable", "Of these, rows with a value of the wrong type", required=True),
    integer("Repeats", "Exact repeats that were dropped", required=True),
    integer("Pages", "Pages read", required=True),
    integer("ShortPages", "Pages shorter than requested that were not the last", required=True),
    integer("Retries", "Requests that had to be repeated", required=True),
    integer("Rereads", "Reads that were repeated: pages did not fit or could not be checked", required=True),
    flag("GapsChecked", "Qmlativ showed that no row was lost; if not, two reads had to agree", required=True),
    number("Seconds", "Seconds from the first request to the last row", required=True),
    key=("Object",),
)


def is_granted(reads: pd.DataFrame, qmlativ_object: str, field: str) -> bool:
    """Whether a field is granted, from the table of reads. All granted fields are requested."""
    (fields,) = reads.loc[reads["Object"] == qmlativ_object, "Fields"]
    return field in json.loads(fields)


def unchecked_objects(reads: Iterable[pd.DataFrame]) -> list[str]:
    """Objects read twice, because one read could not show whether a row was lost between its pages."""
    paths = {path for each in reads for path in each.loc[each["GapsChecked"].eq(False).fillna(False), "Path"]}
    return sorted("/".join(path.split("/")[-2:]) for path in paths)


def years_not_read(reads: Iterable[pd.DataFrame]) -> list[int]:
    """Older school years that were not read, because searching them by date failed."""
    lists = [years for each in reads for years in each["YearsNotRead"].dropna()]
    return sorted({year for years in lists for year in json.loads(years)})


def rows_by_listing(arrived: Iterable[str]) -> dict[str, int]:
    """Rows received by listing, from `Arrived` in these tables of reads. The last table wins."""
    return {listing: rows for each in arrived for listing, rows in json.loads(each).items()}


def rows_by_object(arrived: Iterable[str]) -> dict[str, int]:
    """Rows received by object, over all school years."""
    found: dict[str, int] = {}
    for listing, rows in rows_by_listing(arrived).items():
        name = listing.partition("?")[0]
        found[name] = found.get(name, 0) + rows
    return found
