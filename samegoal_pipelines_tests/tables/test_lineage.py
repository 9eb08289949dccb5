"""The map of lineage says what the transforms do: tried field by field on a generated district."""

from collections.abc import Callable, Iterator
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.reading import read_district
from samegoal_pipelines.sandbox import Sandbox, serve
from samegoal_pipelines.tables.catalog import NEEDED, OBJECTS, PUBLISHED
from samegoal_pipelines.tables.checks import arrow
from samegoal_pipelines.tables.declaration import QmlativObject
from samegoal_pipelines.tables.lineage import LINEAGE, empty_without, fed_by
from samegoal_pipelines.transforms.reads import RESTRICTION
from samegoal_pipelines.transforms.snapshot import compute_night
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines_tests.qmlativ.scripted import connection_to
from samegoal_pipelines_tests.transforms.builders import reads

TODAY = date(2026, 10, 12)


@cache
def fields_behind(source: str) -> frozenset[str]:
    """The Qmlativ fields (`raw asset.Object.Field`) that a column (`asset.column`) ultimately comes from."""
    asset, _, column = source.partition(".")
    if asset not in LINEAGE:
        return frozenset({source})
    origin = LINEAGE[asset].get(column)
    return frozenset().union(*map(fields_behind, origin.sources)) if origin else frozenset()


BEHIND = {
    f"{view}.{column}": fields_behind(f"published_snapshot.{view}.{column}")
    for view, table in PUBLISHED.items()
    for column in table.names
}
"""Published column → the Qmlativ fields that it ultimately comes from."""
ORIGINS = [origin for columns in LINEAGE.values() for origin in columns.values()]
FIELDS = [
    f"{asset}.{wanted.name}.{field.name}"
    for asset, objects in NEEDED.items()
    for wanted in objects
    for field in wanted.fields
]

BESIDE_COLUMNS = {
    "raw_enrollments.EntryWithdrawal.IsCrossEntityCourseEnrollment": "a check counts rows that have the flag "
    "and not the code CECS",
    "raw_enrollments.SchoolYear.NumericYear": "tells which school year is the one before the current one",
    "raw_enrollments.SchoolYear.Description": "`explain`, `verify` and the worklist name the year",
    "raw_enrollments.Entity.EntityID": "`verify` tells which entities are granted",
    "raw_enrollments.Entity.Name": "`verify` tells which entities are granted",
}
"""Fields that no published column is made of, and what they are asked for all the same."""

CURRENT_YEAR = "raw_enrollments.SchoolYear.IsCurrentYearForProvidedEntity"  # no night goes without it

Raw = dict[str, dict[str, pd.DataFrame]]
Views = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def landed() -> Raw:
    """A generated district, as it is read; with something in every column that a district may leave empty."""
    sandbox = Sandbox.generate(districts=1, students=150, seed=3, today=TODAY)
    (district,) = sandbox.districts
    with serve(sandbox) as server:
        with QmlativClient(connection_to(server, district)) as client:
            frames = read_district(client, list(NEEDED))
    frames["raw_parents"]["Reads"] = reads("StudentGuardian", ["HasActiveRestrictedAccess"])
    for asset in ("raw_students", "raw_parents"):
        addresses, kinds = frames[asset]["Address"], frames[asset]["PhoneType"]
        addresses["POBox"] = addresses["POBox"].fillna("12")
        kinds["Code"] = kinds["Description"].str.upper()
        for wanted in NEEDED[asset]:
            fill_empty_texts(frames[asset][wanted.name], wanted)
    return frames


def fill_empty_texts(frame: pd.DataFrame, wanted: QmlativObject) -> None:
    """Give each text field that the sandbox does not generate a value in every row."""
    for field in wanted.fields:
        if field.type == "text" and frame[field.name].isna().all():
            values = pa.array([f"{field.name} {row % 7}" for row in range(len(frame))])
            frame[field.name] = pd.arrays.ArrowExtensionArray(values)


@pytest.fixture(scope="module")
def published(landed: Raw) -> Views:
    return publish(landed)


def publish(raw: Raw) -> Views:
    """The views' columns from the raw frames, each indexed by its key."""
    assets = (raw["raw_enrollments"], raw["raw_students"], raw["raw_parents"])
    frames = compute_night(*assets, TODAY, withholding=Withholding()).published().values()
    return {
        view: frame.set_index(list(table.key), drop=False).sort_index()
        for (view, table), frame in zip(PUBLISHED.items(), frames, strict=True)
    }


def with_field(raw: Raw, field: str, change: Callable[[pa.Array], pa.Array]) -> Raw:
    """The raw frames with one field's values changed."""
    asset, name, column = field.split(".")
    frame = raw[asset][name]
    changed = frame.assign(**{column: pd.arrays.ArrowExtensionArray(change(arrow(frame[column])))})
    return {**raw, asset: {**raw[asset], name: changed}}


def without_field(raw: Raw, field: str) -> Raw:
    """The raw frames of a district that does not grant a field."""
    raw = with_field(raw, field, emptied)
    if field == RESTRICTION:
        raw["raw_parents"]["Reads"] = reads("StudentGuardian", [])
    return raw


def shuffled(values: pa.Array) -> pa.Array:
    """The same values in other rows."""
    return values.take(pa.array(np.random.default_rng(1).permutation(len(values))))


def emptied(values: pa.Array) -> pa.Array:
    return pa.nulls(len(values), values.type)


def columns_of_both(before: Views, after: Views) -> Iterator[tuple[str, pa.Array, pa.Array]]:
    """Each column (`view.column`) in the rows that both have."""
    for view, frame in before.items():
        rows = frame.index.intersection(after[view].index)
        old, new = frame.loc[rows], after[view].loc[rows]
        for column in frame:
            yield f"{view}.{column}", arrow(old[column]), arrow(new[column])


def changed_columns(before: Views, after: Views) -> set[str]:
    """The columns that differ in a row that both have."""
    return {name for name, old, new in columns_of_both(before, after) if old != new}


def emptied_columns(before: Views, after: Views) -> tuple[set[str], set[str]]:
    """Of the columns that have values in the rows that both have: those that have none any more, and all."""
    asked = {name: new for name, old, new in columns_of_both(before, after) if old.null_count < len(old)}
    return {name for name, new in asked.items() if new.null_count == len(new)}, set(asked)


# -- what the map must cover --


def test_every_field_that_is_asked_for_makes_a_published_column_or_serves_a_named_rule():
    """Least data: an object that several assets share is asked for once, for all of them."""
    behind = frozenset().union(*BEHIND.values())
    idle = {
        f"{wanted.label}.{field.name}"
        for wanted in OBJECTS.values()
        for field in wanted.fields
        if not any(
            f"{asset}.{wanted.name}.{field.name}" in behind | BESIDE_COLUMNS.keys()
            for asset, objects in NEEDED.items()
            if wanted in objects
        )
    }
    assert idle == set()
    assert BESIDE_COLUMNS.keys() <= {*FIELDS} - behind


# -- whether the map is true --


def test_the_district_that_this_is_tried_on_has_values_in_every_column(published):
    names = {name for name, old, _ in columns_of_both(published, published) if old.null_count == len(old)}
    assert names == {"parent_demographics.home_language"}


@pytest.mark.slow
@pytest.mark.parametrize("field", [field for field in FIELDS if field != CURRENT_YEAR])
def test_a_field_changes_and_empties_the_columns_that_the_map_says(landed, published, field):
    named = {column for column, fields in BEHIND.items() if field in fields}
    other, missing = publish(with_field(landed, field, shuffled)), publish(without_field(landed, field))

    assert changed_columns(published, other) - named == set(), "other values"
    assert changed_columns(published, missing) - named == set(), "no values"
    empty, asked = emptied_columns(published, missing)
    assert empty == set(empty_without([field])) & asked


ALTERNATIVES = sorted({group for origin in ORIGINS for group in origin.needs if len(group) > 1})


@pytest.mark.slow
@pytest.mark.parametrize("group", ALTERNATIVES)
def test_of_fields_that_stand_in_for_each_other_the_last_one_must_not_go(landed, published, group):
    raw = landed
    for field in group:
        views = publish(raw)
        assert emptied_columns(published, views)[0] == set(), f"{field} alone is not enough"
        raw = without_field(raw, field)
    empty, asked = emptied_columns(published, publish(raw))
    assert empty == set(empty_without(group)) & asked
    assert empty


def test_a_field_feeds_the_columns_that_are_made_of_it_and_not_those_that_it_only_orders():
    assert fed_by("raw_students.NamePhone.FormattedPhoneNumber") == ("student_demographics.phone",)
    assert fed_by("raw_students.NamePhone.Rank") == ()
    assert "raw_students.NamePhone.Rank" in fields_behind("published_snapshot.student_demographics.phone")
    building = ("student_status.building", "student_demographics.building")
    assert fed_by("raw_enrollments.School.Name") == building
