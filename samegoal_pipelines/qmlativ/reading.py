"""Read all objects of one district, by asset: first the school years, then everything else.

Staff and vendors share Qmlativ's objects with students and guardians, and their rows are dropped here. How an
object is read is in `client`, and the objects are declared in `tables`.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from datetime import date
from functools import partial
from itertools import chain, product
from typing import Any

import pandas as pd
import pyarrow as pa

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.errors import (
    GRANT_ENTITY,
    AccessRefusedError,
    QmlativError,
    RateLimitedError,
    ReadCancelledError,
)
from samegoal_pipelines.qmlativ.listing import SEARCH_FAILED, Reading, count_rows, without_repeats
from samegoal_pipelines.qmlativ.paging import SearchCondition
from samegoal_pipelines.tables.catalog import NEEDED
from samegoal_pipelines.tables.declaration import YEAR_ASKED, QmlativObject
from samegoal_pipelines.tables.enrollments import (
    ENTITY,
    ENTRY_WITHDRAWAL,
    SCHOOL,
    SCHOOL_YEAR,
    WITHDRAWAL_CODE,
)
from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.transforms.columns import frame_from
from samegoal_pipelines.transforms.entities import ALL, chosen_entities, entity_access
from samegoal_pipelines.transforms.erasure import without_strangers

_LAST_PLACEHOLDER = "1900-01-01T00:00:00"
"""Some screens save this day or an earlier one for "no date". Such a row is open."""
Progress = Callable[[str, int], None]
_SUMMED = ("Pages", "ShortPages", "Retries", "Rereads")  # over school years
Frames = dict[str, dict[str, pd.DataFrame]]
"""Asset → table → frame."""


def read_district(
    client: QmlativClient,
    assets: Collection[str],
    *,
    ended_since: date | None = None,
    expected_rows: Mapping[str, int] | None = None,
    entities: str = ALL,
    progress: Progress | None = None,
) -> Frames:
    """Read what these raw assets need in one pass, several objects at a time.

    Args:
        client: a failure ends its other requests, and it cannot be used again.
        ended_since: the first day of the import window. From school years before the previous one, only
            enrollments that are open or ended on this day or later are read. None skips these years.
        expected_rows: rows by listing, as they arrived last night. It only saves time.
        entities: whose enrollments count: all, granted, or EntityIDs; the table EntityAccess says so.
        progress: called with object and rows of each page, from several threads at once.

    Returns:
        Frames of Arrow dtypes with the columns of `QmlativObject.table`, and each asset's table of reads.

    Raises:
        AccessRefusedError: a chosen entity is not granted; no student was read.
        QmlativError: the first error of any object. Nothing is returned in part.
    """
    needed = {asset: wanted for asset, wanted in NEEDED.items() if asset in assets}
    objects = list(dict.fromkeys(chain.from_iterable(needed.values())))
    if ENTRY_WITHDRAWAL in objects:
        refuse_missing_grants(client, entities)
    readings = _read_all(client, objects, ended_since, expected_rows or {}, progress)
    frames: Frames = {}
    for asset, wanted in needed.items():
        tables = without_strangers({each.name: readings[each].table for each in wanted})
        frames[asset] = {name: table.to_pandas(types_mapper=pd.ArrowDtype) for name, table in tables.items()}
        reads = (
            {"Object": each.name, **readings[each].account, **count_rows(tables[each.name])}
            for each in wanted
        )
        frames[asset][READS.name] = frame_from(map(_lists_as_json, reads), READS.arrow_types)
    if raw := frames.get("raw_enrollments"):
        named = pd.concat([raw["Entity"]["EntityID"], raw["EntryWithdrawal"]["EntityID"]]).dropna()
        raw["EntityAccess"] = read_entity_access(client, entities, named.unique().tolist())
    return frames


def _lists_as_json(account: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(value) if isinstance(value, list | dict) else value
        for name, value in account.items()
    }


def refuse_missing_grants(client: QmlativClient, entities: str) -> None:
    """Raise `AccessRefusedError`, which names them, if entities that the district chose are not granted."""
    granted = client.grants(chosen_entities(entities))
    missing = [entity for entity in granted if not granted[entity]]
    if not missing:
        return
    names = {each["EntityID"]: each["Name"] for each in client.read(ENTITY).table.to_pylist()}
    labels = [f"{entity} {names.get(entity) or ''}".rstrip() for entity in missing]
    raise AccessRefusedError(
        f"chosen with --entities, but not granted (any more): {', '.join(labels)}",
        ENTITY.label,
        next_step=f"ask the district to {GRANT_ENTITY}, or choose others: "
        "samegoal-pipelines districts set ID --entities …",
    )


def read_entity_access(client: QmlativClient, setting: str, entities: Iterable[int]) -> pd.DataFrame:
    """The table EntityAccess of these entities and the chosen ones."""
    return entity_access(setting, client.grants({*entities, *chosen_entities(setting)}))


def school_years(table: pa.Table) -> tuple[list[int], list[int]]:
    """Ids of the previous, current and upcoming school year, if they exist; and of older ones, newest first.

    The current and upcoming years are flagged, and the previous one has the NumericYear before the current.
    If the flags are wrong, this raises `QmlativError`: a guess from GetSystemMetadata could leave a
    whole year's enrollments unread.
    """
    years = [year for year in table.to_pylist() if year["SchoolYearID"] is not None]
    current = [year for year in years if year["IsCurrentYearForProvidedEntity"]]
    if len(current) != 1 or current[0]["NumericYear"] is None:
        raise QmlativError(
            "not exactly one school year is flagged as current",
            SCHOOL_YEAR.label,
            kind=Kind.SCHOOL_YEAR,
            next_step="set this entity's current year in Qmlativ",
        )
    number = current[0]["NumericYear"]
    previous = [year for year in years if year["NumericYear"] == number - 1]
    upcoming = [year for year in years if year["IsUpcomingYearForProvidedEntity"]]
    older = [year for year in years if (year["NumericYear"] or 0) < number]
    older.sort(key=lambda year: year["NumericYear"] or 0, reverse=True)
    main = dict.fromkeys(year["SchoolYearID"] for year in (*previous, *current, *upcoming))
    others = dict.fromkeys(year["SchoolYearID"] for year in older)
    return list(main), [each for each in others if each not in main]


def _read_all(
    client: QmlativClient,
    objects: Sequence[QmlativObject],
    ended_since: date | None,
    expected_rows: Mapping[str, int],
    progress: Progress | None,
) -> dict[QmlativObject, Reading]:
    """Read every object, after checking the grants of all. One failure ends the rest."""

    def read(
        wanted: QmlativObject, year: int | None = None, only_rows: SearchCondition | None = None
    ) -> Reading:
        label = wanted.listing(year, in_part=only_rows is not None)
        return client.read(
            wanted,
            school_year_id=year,
            only_rows=only_rows,
            expected_rows=expected_rows.get(label),
            progress=progress and partial(progress, wanted.name),
        )

    yearly = [each for each in objects if each.year_bound]
    older: list[int] = []  # school years that are searched
    with ThreadPoolExecutor(3 * len(objects), thread_name_prefix="reading") as threads:  # they only wait
        try:
            reading: dict[tuple[QmlativObject, int | None], Future[Reading]] = {
                (each, None): threads.submit(read, each)
                for each in (SCHOOL_YEAR, ENTITY)
                if each in objects or (yearly and each is SCHOOL_YEAR)
            }
            _results([threads.submit(client.granted, each) for each in objects])
            for each in objects:
                if not each.year_bound and (each, None) not in reading:
                    reading[each, None] = threads.submit(read, each)
            searched = threads.submit(dict[tuple[QmlativObject, int], Reading])
            if yearly:
                years, past_years = school_years(reading[SCHOOL_YEAR, None].result().table)
                for each, year in product(yearly, years):
                    reading[each, year] = threads.submit(read, each, year)
                if ended_since is not None and ENTRY_WITHDRAWAL in yearly:
                    older = past_years
                    searched = threads.submit(read_older_years, older, ended_since, read)
            *whole, past = _results([*reading.values(), searched])
        except BaseException:
            client.cancel()
            raise
    readings = dict(zip(reading, whole, strict=True)) | past
    merged = {
        each: _over_years([found for (wanted, _), found in readings.items() if wanted is each], each)
        for each in objects
    }
    if ENTRY_WITHDRAWAL in merged:
        not_read = [year for year in older if (ENTRY_WITHDRAWAL, year) not in readings]
        merged[ENTRY_WITHDRAWAL].account["YearsNotRead"] = not_read
    return merged


def read_older_years(
    years: Sequence[int], since: date, read: Callable[[QmlativObject, int, SearchCondition | None], Reading]
) -> dict[tuple[QmlativObject, int], Reading]:
    """Read the enrollments of these years (newest first) that are open or ended on `since` or later.

    Codes and schools have other ids each year, so those of a year come along where it has such an enrollment.
    If the search fails, read the newest of the years whole. An outage may be over by then, so the other years
    are searched once more; but not if the server refused the search. A year without a reading was not read.
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
    return readings


def open_or_ended_since(since: date) -> SearchCondition:
    """The search for enrollments without an end, or with one on this day or later.

    It may find more rows. The import window decides later.
    """
    start = f"{since}T00:00:00"
    conditions = [
        {"FieldName": "EndDate", "ConditionType": "GreaterEqual", "Value": start},
        {"FieldName": "WithdrawalDate", "ConditionType": "GreaterEqual", "Value": start},
        {"FieldName": "EndDate", "ConditionType": "Null"},
        {"FieldName": "EndDate", "ConditionType": "LessEqual", "Value": _LAST_PLACEHOLDER},
    ]
    alternatives = [{"DateTimeSearchCondition": condition} for condition in conditions]
    return {"SearchConditionGroup": {"ConditionGroupType": "Or", "Conditions": alternatives}}


def _results(futures: Sequence[Future[Any]]) -> list[Any]:
    """All results, or the first real error as soon as it occurs."""
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    errors = [error for future in done if (error := future.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, ReadCancelledError)):
        raise error
    return [future.result() for future in futures]


def _over_years(readings: Sequence[Reading], wanted: QmlativObject) -> Reading:
    """The readings of one object for several school years, merged into one."""
    if not wanted.year_bound:
        return readings[0]
    accounts = [reading.account for reading in readings]
    table = pa.concat_tables([reading.table for reading in readings])
    if YEAR_ASKED.name not in table.column_names and not wanted.keep_repeats:
        # A server that ignores the year returns the rows of all years each time.
        table = without_repeats(table, wanted.key)
    account = {
        **accounts[0],
        "Missing": sorted({name for each in accounts for name in each["Missing"]}),
        "SchoolYearIDs": [year for each in accounts for year in each["SchoolYearIDs"]],
        "Arrived": {label: rows for each in accounts for label, rows in each["Arrived"].items()},
        **count_rows(table),
        "Repeats": sum(each["Rows"] + each["Repeats"] for each in accounts) - table.num_rows,
        **{name: sum(each[name] for each in accounts) for name in _SUMMED},
        "GapsChecked": all(each["GapsChecked"] for each in accounts),
        "Seconds": max(each["Seconds"] for each in accounts),  # they were read at the same time
    }
    return Reading(table, account)
