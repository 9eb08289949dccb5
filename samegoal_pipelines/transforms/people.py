"""What students and parents have in common: suffixes, addresses, phones, e-mails.

Here: finding them for people by NameID, in the raw frames of either. Not here: which person a row is about,
and whether a contact may be passed on at all (`students`, `parents`).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.schemas.demographics import BESIDE_DIGITS
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

# Districts name their phone types themselves; what a type is about is read from its code and description.
PHONE_KINDS = {"home_phone": ("home",), "cell_phone": ("cell", "mobile"), "work_phone": ("work", "business")}


def sound_tables(raw: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, pa.Array]]:
    """The raw tables' columns without the rows that have an unreadable field: those are set aside."""
    tables = {}
    for name, frame in raw.items():
        columns = columns_of(frame)
        unreadable = present(columns["Unreadable"])
        if unreadable.any():
            columns = {field: take(values, np.flatnonzero(~unreadable)) for field, values in columns.items()}
        tables[name] = columns
    return tables


def rows_by_id(table: Columns, key: str, keys: np.ndarray) -> np.ndarray:
    """For each key the table's row with it, `NOWHERE` where there is none. The table's key must be unique."""
    return RowIndex(ids(table[key]), key).find(keys)


def look_up_text(table: Columns, key: str, keys: np.ndarray, *columns: str) -> pa.Array:
    """For each key the table's text: the first of the columns that is not blank."""
    texts = pc.coalesce(*(given(table[column]) for column in columns))
    return take(texts, rows_by_id(table, key, keys))


def find_suffixes(tables: Tables, suffix_ids: np.ndarray) -> pa.Array:
    """The suffixes of names, as written."""
    return look_up_text(tables["NameSuffix"], "NameSuffixID", suffix_ids, "Description", "Code")


def find_addresses(tables: Tables, people: np.ndarray, preferred: tuple[str, str]) -> dict[str, pa.Array]:
    """Street, city, state, zip and county of each person, from the address that suits best.

    `preferred` are the flags of NameAddress to go by, the more important first; then the use recorded first.
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
    """Numbers that are not passed on: whose they are, and their digits."""

    people: np.ndarray
    digits: pa.Array


def confidential_phones(raw: Mapping[str, pd.DataFrame], withholding: Withholding) -> Confidential:
    """The confidential numbers in raw phones, rows that are set aside included; none where they are shown.

    Whether a phone is confidential must be answered: null counts as confidential.
    """
    phones = columns_of(raw["NamePhone"])
    numbers, people = _numbers(phones), ids(phones["NameID"])
    public = present(phones["IsConfidential"]) & ~flags(phones["IsConfidential"])
    if withholding.show_confidential_phones:
        public[:] = True
    rows = np.flatnonzero(~public & present(numbers) & (people != MISSING))
    return Confidential(people[rows], _digits(take(numbers, rows)))


def find_phones(tables: Tables, people: np.ndarray, confidential: Confidential) -> pa.Array:
    """The first phone of each person by rank, of whatever kind; never a confidential one."""
    phones = _public_phones(tables["NamePhone"], confidential)
    return take(phones.numbers, best_row_of(people, phones.people, phones.usable, phones.order))


def find_phones_by_kind(
    tables: Tables, people: np.ndarray, confidential: Confidential
) -> dict[str, pa.Array]:
    """For each of the `PHONE_KINDS` the first such phone of each person by rank; never a confidential one."""
    phones, types = _public_phones(tables["NamePhone"], confidential), tables["PhoneType"]
    at_type = rows_by_id(types, "PhoneTypeID", ids(tables["NamePhone"]["PhoneTypeID"]))
    found = {}
    for kind, words in PHONE_KINDS.items():
        usable = phones.usable & _types_about(types, words)[at_type]
        found[kind] = take(phones.numbers, best_row_of(people, phones.people, usable, phones.order))
    return found


def find_emails(tables: Tables, people: np.ndarray) -> pa.Array:
    """The first e-mail address of each person by rank."""
    emails = tables["NameEmail"]
    addresses = given(emails["EmailAddress"])
    order = [lowest_first(ids(emails["Rank"])), lowest_first(ids(emails["NameEmailID"]))]
    return take(addresses, best_row_of(people, ids(emails["NameID"]), present(addresses), order))


class _Phones(NamedTuple):
    """NamePhone as arrays: numbers, whose they are, which may be passed on, and what orders them."""

    numbers: pa.Array
    people: np.ndarray
    usable: np.ndarray
    order: list[np.ndarray]


def _public_phones(phones: Columns, confidential: Confidential) -> _Phones:
    numbers, people = _numbers(phones), ids(phones["NameID"])
    with_extension = pc.binary_join_element_wise(numbers, given(phones["Extension"]), " x")
    return _Phones(
        numbers=pc.coalesce(with_extension, numbers),
        people=people,
        usable=present(numbers) & ~_are_confidential(people, numbers, confidential),
        order=[lowest_first(ids(phones["Rank"])), lowest_first(ids(phones["NamePhoneID"]))],
    )


def _are_confidential(people: np.ndarray, numbers: pa.Array, confidential: Confidential) -> np.ndarray:
    """Which numbers are confidential: in their own row, or in another of the same person."""
    found = np.isin(people, confidential.people)
    rows = np.flatnonzero(found)
    theirs = _person_and_digits(people[rows], _digits(take(numbers, rows)))
    found[rows] = flags(pc.is_in(theirs, _person_and_digits(*confidential)))
    return found


def _person_and_digits(people: np.ndarray, digits: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(pa.array(people).cast(pa.string()), digits, " ")


def _numbers(phones: Columns) -> pa.Array:
    return pc.coalesce(given(phones["FormattedPhoneNumber"]), given(phones["PhoneNumber"]))


def _digits(numbers: pa.Array) -> pa.Array:
    """What tells two numbers apart, however they are written."""
    return pc.replace_substring_regex(numbers, BESIDE_DIGITS, "")


def _types_about(types: Columns, words: tuple[str, ...]) -> np.ndarray:
    """For each phone type, and at the end for none, whether its code or description has one of the words."""
    both = zip(given(types["Code"]).to_pylist(), given(types["Description"]).to_pylist(), strict=True)
    names = [f"{code or ''} {description or ''}".lower() for code, description in both]
    return np.asarray([*(any(word in name for word in words) for name in names), False])


def _streets(addresses: Columns) -> pa.Array:
    """Street with its second line; where there is no street, the post office box."""
    street = given(addresses["StreetNumberAndNameIncludeSecondaryUnit"])
    box = given(addresses["POBox"])
    named = pc.if_else(pc.match_substring(box, "box", ignore_case=True), box, _prefixed("PO Box ", box))
    return pc.coalesce(
        pc.binary_join_element_wise(street, given(addresses["AddressLine2"]), ", "), street, named
    )


def _prefixed(prefix: str, texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar(prefix), texts, "")
