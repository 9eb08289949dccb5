"""What students and parents have in common: suffixes, addresses, phones, e-mails.

They are looked up by NameID in the raw frames. Which person a row is about, and whether a contact may be
published, is decided in `students` and `parents`.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines import phones
from samegoal_pipelines.transforms.columns import (
    MISSING,
    NOWHERE,
    RowIndex,
    best_row_of,
    columns_of,
    flags,
    given,
    ids,
    lowest_first,
    present,
    take,
)
from samegoal_pipelines.transforms.withholding import Withholding

Columns = Mapping[str, pa.Array]
Tables = Mapping[str, Columns]

# Districts name their phone types themselves, so we derive the kind from code and description.
PHONE_KINDS = {"home_phone": ("home",), "cell_phone": ("cell", "mobile"), "work_phone": ("work", "business")}
_NUMBER_FIELDS = ("FormattedPhoneNumber", "PhoneNumber")  # the first nonblank one is shown


def sound_tables(raw: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, pa.Array]]:
    """The raw tables' columns without rows that have an unreadable field; those are quarantined."""
    tables = {}
    for name, frame in raw.items():
        columns = columns_of(frame)
        unreadable = present(columns["Unreadable"])
        if unreadable.any():
            columns = {field: take(values, np.flatnonzero(~unreadable)) for field, values in columns.items()}
        tables[name] = columns
    return tables


def rows_by_id(table: Columns, key: str, keys: np.ndarray) -> np.ndarray:
    """The table's row for each key, or `NOWHERE`. The table's key must be unique."""
    return RowIndex(ids(table[key]), key).find(keys)


def look_up_text(table: Columns, key: str, keys: np.ndarray, *columns: str) -> pa.Array:
    """The table's text for each key: the first column that is not blank."""
    texts = pc.coalesce(*(given(table[column]) for column in columns))
    return take(texts, rows_by_id(table, key, keys))


def find_suffixes(tables: Tables, suffix_ids: np.ndarray) -> pa.Array:
    """The suffixes of names, as written."""
    return look_up_text(tables["NameSuffix"], "NameSuffixID", suffix_ids, "Description", "Code")


def find_addresses(tables: Tables, people: np.ndarray, preferred: tuple[str, str]) -> dict[str, pa.Array]:
    """Street, city, state, zip and county of each person, from the best address.

    `preferred` are flags of NameAddress, the most important first. Ties go to the use that was recorded
    first.
    """
    uses, addresses, zips = tables["NameAddress"], tables["Address"], tables["Zip"]
    at_address = rows_by_id(addresses, "AddressID", ids(uses["AddressID"]))
    order = [
        *(flags(uses[flag]).view(np.int8) for flag in preferred),
        lowest_first(ids(uses["NameAddressID"])),
    ]
    chosen = best_row_of(people, ids(uses["NameID"]), at_address != NOWHERE, order)

    at = np.append(at_address, NOWHERE)[chosen]
    at_zip = np.append(rows_by_id(zips, "ZipID", ids(addresses["ZipID"])), NOWHERE)[at]
    state_ids = ids(zips["StateID"])
    zip_codes = take(given(zips["ZipCode"]), at_zip)
    add_ons = take(given(addresses["ZipCodeAddOn"]), at)
    return {
        "street": take(_streets(addresses), at),
        "city": take(given(zips["City"]), at_zip),
        "state": take(look_up_text(tables["State"], "StateID", state_ids, "Code"), at_zip),
        "zip": pc.coalesce(pc.binary_join_element_wise(zip_codes, add_ons, "-"), zip_codes),
        "county": take(look_up_text(tables["County"], "CountyID", ids(addresses["CountyID"]), "Name"), at),
    }


class Confidential(NamedTuple):
    """Confidential numbers: whose they are, and their digits.

    `phones.ANY` in place of digits withholds all numbers of that person.
    """

    people: np.ndarray
    digits: pa.Array
    shown: bool
    """Whether the district shows confidential phones. Then there are no numbers here."""


def confidential_phones(raw: Mapping[str, pd.DataFrame], withholding: Withholding) -> Confidential:
    """The confidential numbers in raw phones, quarantined rows included; empty if the district shows them.

    A phone that does not say counts as confidential. An unreadable confidential number may be any number of
    that person.
    """
    rows = columns_of(raw["NamePhone"])
    people = ids(rows["NameID"])
    shown = withholding.show_confidential_phones
    chosen = np.flatnonzero(~_say_public(rows) & (people != MISSING) & (not shown))
    unreadable = take(rows["Unreadable"], chosen).to_pylist()
    found: list[tuple[int, str]] = []
    for person, texts, fields in zip(people[chosen].tolist(), _texts(rows, chosen), unreadable, strict=True):
        numbers = phones.numbers_in(*texts)
        if not any(texts) and fields and not json.loads(fields).keys().isdisjoint(_NUMBER_FIELDS):
            numbers = {phones.ANY}
        found += [(person, digits) for digits in sorted(numbers)]
    return Confidential(
        np.asarray([person for person, _ in found], np.int64),
        pa.array([digits for _, digits in found], pa.string()),
        shown,
    )


def find_phones(tables: Tables, people: np.ndarray, confidential: Confidential) -> pa.Array:
    """The first phone of each person by rank, of any kind, never a confidential one."""
    found = _public_phones(tables["NamePhone"], confidential)
    return take(found.numbers, best_row_of(people, found.people, found.usable, found.order))


def find_phones_by_kind(
    tables: Tables, people: np.ndarray, confidential: Confidential
) -> dict[str, pa.Array]:
    """The first phone of each of the `PHONE_KINDS` of each person by rank, never a confidential one."""
    rows, types = _public_phones(tables["NamePhone"], confidential), tables["PhoneType"]
    at_type = rows_by_id(types, "PhoneTypeID", ids(tables["NamePhone"]["PhoneTypeID"]))
    found = {}
    for kind, words in PHONE_KINDS.items():
        usable = rows.usable & _types_about(types, words)[at_type]
        found[kind] = take(rows.numbers, best_row_of(people, rows.people, usable, rows.order))
    return found


def find_emails(tables: Tables, people: np.ndarray) -> pa.Array:
    """The first e-mail address of each person by rank."""
    emails = tables["NameEmail"]
    addresses = given(emails["EmailAddress"])
    order = [lowest_first(ids(emails["Rank"])), lowest_first(ids(emails["NameEmailID"]))]
    return take(addresses, best_row_of(people, ids(emails["NameID"]), present(addresses), order))


class _Phones(NamedTuple):
    """NamePhone as arrays: numbers, persons, whether they may be published, and their order."""

    numbers: pa.Array
    people: np.ndarray
    usable: np.ndarray
    order: list[np.ndarray]


def _public_phones(rows: Columns, confidential: Confidential) -> _Phones:
    numbers = pc.coalesce(*(given(rows[field]) for field in _NUMBER_FIELDS))
    people = ids(rows["NameID"])
    usable = present(numbers)
    if not confidential.shown:
        usable &= _say_public(rows) & ~_may_be_confidential(rows, people, confidential)
    return _Phones(
        numbers=_with_extensions(numbers, given(rows["Extension"])),
        people=people,
        usable=usable,
        order=[lowest_first(ids(rows["Rank"])), lowest_first(ids(rows["NamePhoneID"]))],
    )


def _say_public(rows: Columns) -> np.ndarray:
    return np.asarray(present(rows["IsConfidential"]) & ~flags(rows["IsConfidential"]))


def _may_be_confidential(rows: Columns, people: np.ndarray, confidential: Confidential) -> np.ndarray:
    """True for rows that may be a confidential number of the same person."""
    numbers: defaultdict[int, set[str]] = defaultdict(set)
    for person, digits in zip(confidential.people.tolist(), confidential.digits.to_pylist(), strict=True):
        numbers[person].add(digits)
    found = np.isin(people, confidential.people)
    chosen = np.flatnonzero(found)
    found[chosen] = [
        any(phones.may_be_one_of(text, numbers[person]) for text in texts if text)
        for person, texts in zip(people[chosen].tolist(), _texts(rows, chosen), strict=True)
    ]
    return found


def _texts(rows: Columns, chosen: np.ndarray) -> Iterator[tuple[str | None, ...]]:
    """The number fields of the chosen rows."""
    return zip(*(take(given(rows[field]), chosen).to_pylist() for field in _NUMBER_FIELDS), strict=True)


def _with_extensions(numbers: pa.Array, extensions: pa.Array) -> pa.Array:
    chosen = np.flatnonzero(present(numbers) & present(extensions))
    if not len(chosen):
        return numbers
    pairs = zip(take(numbers, chosen).to_pylist(), take(extensions, chosen).to_pylist(), strict=True)
    extended = np.zeros(len(numbers), bool)
    extended[chosen] = True
    return pc.replace_with_mask(
        numbers, pa.array(extended), pa.array([phones.with_extension(*pair) for pair in pairs], pa.string())
    )


def _types_about(types: Columns, words: tuple[str, ...]) -> np.ndarray:
    """For each phone type, and last for no type, whether its code or description has one of the words."""
    both = zip(given(types["Code"]).to_pylist(), given(types["Description"]).to_pylist(), strict=True)
    names = [f"{code or ''} {description or ''}".lower() for code, description in both]
    return np.asarray([*(any(word in name for word in words) for name in names), False])


def _streets(addresses: Columns) -> pa.Array:
    """Street with its second line, or else the post office box."""
    street = given(addresses["StreetNumberAndNameIncludeSecondaryUnit"])
    box = given(addresses["POBox"])
    named = pc.if_else(pc.match_substring(box, "box", ignore_case=True), box, _prefixed("PO Box ", box))
    return pc.coalesce(
        pc.binary_join_element_wise(street, given(addresses["AddressLine2"]), ", "), street, named
    )


def _prefixed(prefix: str, texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar(prefix), texts, "")
