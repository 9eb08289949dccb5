"""What students and parents have in common: suffixes, addresses, phones, e-mails.

Here: finding them for people by NameID, in the raw frames of either. Not here: which person a row is about,
and whether a contact may be passed on at all (`students`, `parents`).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.transforms.columns import (
    NOWHERE,
    RowIndex,
    best_row_of,
    flags,
    given_text,
    ids,
    lowest_first,
    present,
    take,
)

Raw = Mapping[str, pd.DataFrame]

# Districts name their phone types themselves; what a type is about is read from its code and description.
PHONE_KINDS = {"home_phone": ("home",), "cell_phone": ("cell", "mobile"), "work_phone": ("work", "business")}


def sound(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without an unreadable field; the others are set aside."""
    unreadable = present(rows["Unreadable"])
    return rows.loc[~unreadable].reset_index(drop=True) if unreadable.any() else rows


def count_unreadable(raw: Raw) -> dict[str, int]:
    """Of each object that has any, how many rows are set aside because a field could not be read."""
    counts = {name: int(present(rows["Unreadable"]).sum()) for name, rows in raw.items()}
    return {name: count for name, count in counts.items() if count}


def rows_by_id(table: pd.DataFrame, key: str, keys: np.ndarray) -> np.ndarray:
    """For each key the table's row with it, `NOWHERE` where there is none. The table's key must be unique."""
    return RowIndex(ids(table[key]), key).find(keys)


def look_up_text(table: pd.DataFrame, key: str, keys: np.ndarray, *columns: str) -> pa.Array:
    """For each key the table's text: the first of the columns that is not blank."""
    table = sound(table)
    texts = pc.coalesce(*(given_text(table[column]) for column in columns))
    return take(texts, rows_by_id(table, key, keys))


def find_suffixes(raw: Raw, suffix_ids: np.ndarray) -> pa.Array:
    """The suffixes of names, as written."""
    return look_up_text(raw["NameSuffix"], "NameSuffixID", suffix_ids, "Description", "Code")


def find_addresses(raw: Raw, people: np.ndarray, preferred: tuple[str, str]) -> dict[str, pa.Array]:
    """Street, city, state, zip and county of each person, from the address that suits best.

    `preferred` are the flags of NameAddress to go by, the more important first; then the use recorded first.
    """
    uses, addresses, zips = sound(raw["NameAddress"]), sound(raw["Address"]), sound(raw["Zip"])
    at_address = rows_by_id(addresses, "AddressID", ids(uses["AddressID"]))
    order = [
        *(flags(uses[flag]).view(np.int8) for flag in preferred),
        lowest_first(ids(uses["NameAddressID"])),
    ]
    chosen = best_row_of(people, ids(uses["NameID"]), at_address != NOWHERE, order)

    at = np.append(at_address, NOWHERE)[chosen]
    at_zip = np.append(rows_by_id(zips, "ZipID", ids(addresses["ZipID"])), NOWHERE)[at]
    state_ids = ids(zips["StateID"])
    zip_codes = take(given_text(zips["ZipCode"]), at_zip)
    add_ons = take(given_text(addresses["ZipCodeAddOn"]), at)
    return {
        "street": take(_streets(addresses), at),
        "city": take(given_text(zips["City"]), at_zip),
        "state": take(look_up_text(raw["State"], "StateID", state_ids, "Code"), at_zip),
        "zip": pc.coalesce(pc.binary_join_element_wise(zip_codes, add_ons, "-"), zip_codes),
        "county": take(look_up_text(raw["County"], "CountyID", ids(addresses["CountyID"]), "Name"), at),
    }


def find_phones(raw: Raw, people: np.ndarray, kind: str | None = None) -> pa.Array:
    """The first phone of each person by rank, of that kind or of any; never a confidential one.

    Whether a phone is confidential must be answered: null counts as confidential.
    """
    phones = sound(raw["NamePhone"])
    numbers = pc.coalesce(given_text(phones["FormattedPhoneNumber"]), given_text(phones["PhoneNumber"]))
    with_extension = pc.binary_join_element_wise(numbers, given_text(phones["Extension"]), " x")
    public = present(phones["IsConfidential"]) & ~flags(phones["IsConfidential"])
    eligible = public & numbers.is_valid().to_numpy(zero_copy_only=False)
    if kind is not None:
        eligible &= _is_of_kind(sound(raw["PhoneType"]), ids(phones["PhoneTypeID"]), PHONE_KINDS[kind])
    order = [lowest_first(ids(phones["Rank"])), lowest_first(ids(phones["NamePhoneID"]))]
    return take(
        pc.coalesce(with_extension, numbers), best_row_of(people, ids(phones["NameID"]), eligible, order)
    )


def find_emails(raw: Raw, people: np.ndarray) -> pa.Array:
    """The first e-mail address of each person by rank."""
    emails = sound(raw["NameEmail"])
    addresses = given_text(emails["EmailAddress"])
    order = [lowest_first(ids(emails["Rank"])), lowest_first(ids(emails["NameEmailID"]))]
    eligible = addresses.is_valid().to_numpy(zero_copy_only=False)
    return take(addresses, best_row_of(people, ids(emails["NameID"]), eligible, order))


def _streets(addresses: pd.DataFrame) -> pa.Array:
    """Street with its second line; where there is no street, the post office box."""
    street = given_text(addresses["StreetNumberAndNameIncludeSecondaryUnit"])
    box = given_text(addresses["POBox"])
    named = pc.if_else(pc.match_substring(box, "box", ignore_case=True), box, _prefixed("PO Box ", box))
    return pc.coalesce(
        pc.binary_join_element_wise(street, given_text(addresses["AddressLine2"]), ", "), street, named
    )


def _prefixed(prefix: str, texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar(prefix), texts, "")


def _is_of_kind(types: pd.DataFrame, type_ids: np.ndarray, words: tuple[str, ...]) -> np.ndarray:
    codes, descriptions = given_text(types["Code"]).to_pylist(), given_text(types["Description"]).to_pylist()
    named = [
        f"{code or ''} {description or ''}".lower()
        for code, description in zip(codes, descriptions, strict=True)
    ]
    fits = np.asarray([*(any(word in name for word in words) for name in named), False])
    return fits[rows_by_id(types, "PhoneTypeID", type_ids)]
