"""The table of reads, landed beside each raw asset's rows: what was asked of Qmlativ, and how it went.

Here: counts and names. Not here: anything that Qmlativ said about a person.
"""

import json
from collections.abc import Iterable
from typing import Annotated

import pandas as pd
import pyarrow

from samegoal_pipelines.schemas.fields import Flag, Integer, Table, Text, column_check, required, row_check

Number = Annotated[pd.ArrowDtype, pyarrow.float64()]


class Reads(Table):
    """One row per Qmlativ object that was read for the asset."""

    Object: Text = required("Qmlativ's object, as the landed file is called")
    Path: Text = required("What was asked for, below the base URL")
    Fields: Text = required("JSON list of the fields that were asked for")
    Missing: Text = required("JSON list of the optional fields that the Integration Access does not grant")
    SchoolYearIDs: Text = required("JSON list of the school years that were asked for; empty: not year-bound")
    Arrived: Text = required("JSON object: rows that came, per listing; tomorrow's guess at the pages")
    Rows: Integer = required("Rows that were kept")
    Unreadable: Integer = required("Of these, rows with a value of the wrong type")
    Repeats: Integer = required("Exact repeats that were dropped")
    Pages: Integer = required("Pages read")
    ShortPages: Integer = required("Pages shorter than asked for that were not the last")
    Retries: Integer = required("Requests that had to be repeated")
    Rereads: Integer = required(
        "Times the object was read again because its pages did not fit together or could not be checked"
    )
    GapsChecked: Flag = required(
        "Whether Qmlativ showed that no row was lost between pages; if not, two equal reads had to do"
    )
    Seconds: Number = required("Time from the first request to the last row, in seconds")

    @row_check
    @classmethod
    def an_object_stands_once(cls, frame: pd.DataFrame) -> pd.Series:
        """One row per object."""
        return ~frame["Object"].duplicated(keep=False)

    @column_check("Rows")
    @classmethod
    def is_a_count(cls, column: pd.Series) -> pd.Series:
        """Not negative."""
        return (column >= 0).astype(bool)


def is_granted(reads: pd.DataFrame, qmlativ_object: str, field: str) -> bool:
    """Whether a field was asked for, from the table of reads; granted fields are, whatever came back."""
    (fields,) = reads.loc[reads["Object"] == qmlativ_object, "Fields"]
    return field in json.loads(fields)


def unchecked_objects(reads: Iterable[pd.DataFrame]) -> list[str]:
    """Objects read twice, because one read could not show whether a row was lost between its pages."""
    frames = [frame for frame in reads if "GapsChecked" in frame]  # older files do not tell
    paths = [
        path for frame in frames for path in frame.loc[frame["GapsChecked"].eq(False).fillna(False), "Path"]
    ]
    return sorted({"/".join(path.split("/")[-2:]) for path in paths})


def rows_by_listing(arrived: Iterable[str]) -> dict[str, int]:
    """Rows that came, per listing, from `Arrived` of any tables of reads; where two tell of one, the last."""
    return {listing: rows for each in arrived for listing, rows in json.loads(each).items()}


def rows_by_object(arrived: Iterable[str]) -> dict[str, int]:
    """The same per object, over all school years."""
    found: dict[str, int] = {}
    for listing, rows in rows_by_listing(arrived).items():
        name = listing.partition("?")[0]
        found[name] = found.get(name, 0) + rows
    return found
