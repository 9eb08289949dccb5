"""Who the students with a status are, and who their parents are: names, contacts, restricted access.

A column takes its value from the field that `tables.people` declares, unless it needs a rule. Which students
have a status is decided in `status`, and which are published in `snapshot`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines import phones
from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.lineage import LINEAGE
from samegoal_pipelines.tables.people import (
    CONFIDENTIAL_PHONES,
    PARENT_DEMOGRAPHICS,
    RESTRICTED_PAIRS,
    STUDENT_DEMOGRAPHICS,
    WITHHOLDING_USED,
)
from samegoal_pipelines.transforms.columns import (
    MISSING,
    NOWHERE,
    Columns,
    Frames,
    best_row_of,
    clean,
    columns_of,
    find_rows,
    first_that_holds,
    flags,
    frame_from,
    frame_of,
    given,
    ids,
    lowest_first,
    present,
    storable,
    take,
)
from samegoal_pipelines.transforms.reads import is_granted
from samegoal_pipelines.transforms.withholding import WITHHOLD, Withholding

Tables = Mapping[str, Columns]
_Confidential = dict[int, set[str]] | None
"""Person → digits of confidential numbers; `phones.ANY` withholds all. None: the district shows them."""

_NUMBER_FIELDS = ("FormattedPhoneNumber", "PhoneNumber")  # the first nonblank one is shown
# Districts name their phone types themselves, so we derive the kind from code and description.
_PHONE_KINDS = {"home_phone": ("home",), "cell_phone": ("cell", "mobile"), "work_phone": ("work", "business")}


def student_tables(
    raw: Frames, statuses: pd.DataFrame, withholding: Withholding = WITHHOLD
) -> dict[str, pd.DataFrame]:
    """Describe the students of `statuses`, in its order, from `raw_students` (Qmlativ object → frame).

    Returns the landed tables of `student_demographics`. A student without a usable row of Student or Name is
    only in `without_record`.
    """
    status = columns_of(statuses)
    tables = _sound_tables(raw) | {"student_status": status}
    records, names = tables["Student"], tables["Name"]
    at_record = _records_of(records, status)
    at_name = _follow(tables, "Name", records["NameID"], at_record)
    known = at_name != NOWHERE
    rows, record, name = np.flatnonzero(known), at_record[known], at_name[known]

    persons, confidential = ids(names["NameID"])[name], _confidential_phones(raw, withholding)
    primary, native = (
        _follow(tables, "Language", records[f"LanguageID{kind}"], record) for kind in ("Primary", "Native")
    )
    has_primary = present(take(given(tables["Language"]["Description"]), primary))
    at = {
        "student_status": rows,
        "Student": record,
        "Name": name,
        "NameSuffix": _follow(tables, "NameSuffix", names["NameSuffixID"], name),
        "Language": np.where(has_primary, primary, native),
        **_find_contacts(tables, persons, preferred=("IsPhysical", "IsMailing")),
    }
    special = {
        "student_number": take(storable(records["StudentNumber"]), record),  # as sent, even blank or padded
        **_find_phones(tables, persons, confidential, {"phone": ()}),
        "building": take(status["building"], rows),
        "building_reporting_id": take(status["building_reporting_id"], rows),
    }
    return {
        "student_demographics": frame_of(_describe(STUDENT_DEMOGRAPHICS, tables, at, special)),
        "without_record": frame_of({"student_id": take(status["student_id"], np.flatnonzero(~known))}),
        "confidential": _list_numbers(raw, confidential),
        "withholding": _switches(withholding),
    }


def restriction_is_known(raw: Frames) -> bool:
    """Whether the district grants HasActiveRestrictedAccess, from `raw_parents`, even without any rows."""
    return is_granted(raw["Reads"], "StudentGuardian", "HasActiveRestrictedAccess")


def parent_tables(
    raw: Frames, statuses: pd.DataFrame, withholding: Withholding
) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """Describe the parents of the students of `statuses`, in its order, from `raw_parents` (object → frame).

    Returns the landed tables of `parent_demographics`, and the number of unused guardianships by reason.

    A guardian whose access is restricted or unknown keeps the row and loses every contact, unless the
    district shows them. If the field is not granted, no restriction is known, and the flag is null.
    """
    guardianships = columns_of(raw["StudentGuardian"])
    tables = _sound_tables(raw) | {"StudentGuardian": guardianships}
    students, guardians = ids(guardianships["StudentID"]), ids(guardianships["NameIDGuardian"])
    at_status = find_rows(students, ids(columns_of(statuses)["student_id"]))
    at_name = find_rows(guardians, ids(tables["Name"]["NameID"]), "NameID")
    excluded = {
        "unreadable": present(guardianships["Unreadable"]),
        "no_student_or_parent": (students == MISSING) | (guardians == MISSING),
        "student_without_status": at_status == NOWHERE,
        "unknown_name": at_name == NOWHERE,
    }
    outcome = first_that_holds(excluded, excluded)
    counted = outcome == NOWHERE
    counts = {reason: int(np.count_nonzero(outcome == n)) for n, reason in enumerate(excluded)}

    # One usable row per pair, in the order of the statuses: the lowest rank, then the first.
    found, guardian_codes = np.unique(guardians, return_inverse=True)
    pairs = at_status * (len(found) + 1) + guardian_codes
    order = [lowest_first(ids(guardianships[field])) for field in ("Rank", "StudentGuardianID")]
    rows = best_row_of(np.unique(pairs[counted]), pairs, counted, order)
    counts["repeated"] = int(np.count_nonzero(counted)) - len(rows)

    # A pair is restricted if any of its rows says so, even a quarantined one.
    known, restricts = restriction_is_known(raw), ~_is_denied(guardianships["HasActiveRestrictedAccess"])
    hides = known and not withholding.show_restricted_contacts
    restricted = np.isin(pairs[rows], pairs[restricts])
    persons = np.where(restricted & hides, MISSING, guardians[rows])  # nobody has contacts
    confidential = _confidential_phones(raw, withholding)
    at = {
        "StudentGuardian": rows,
        "Name": at_name[rows],
        "NameSuffix": _follow(tables, "NameSuffix", tables["Name"]["NameSuffixID"], at_name[rows]),
        "Relationship": _follow(tables, "Relationship", guardianships["RelationshipID"], rows),
        **_find_contacts(tables, persons, preferred=("IsMailing", "IsPhysical")),
    }
    special = {
        "has_restricted_access": pa.array(restricted) if known else pa.nulls(len(rows), pa.bool_()),
        "home_language": pa.nulls(len(rows), pa.string()),
        **_find_phones(tables, persons, confidential, _PHONE_KINDS),
    }
    # Also of students who are not published tonight: their last published rows must hide it too.
    hidden = raw["StudentGuardian"].loc[restricts & hides, ["StudentID", "NameIDGuardian"]].dropna()
    hidden = hidden.drop_duplicates(ignore_index=True).set_axis([*RESTRICTED_PAIRS.names], axis="columns")
    return {
        "parent_demographics": frame_of(_describe(PARENT_DEMOGRAPHICS, tables, at, special)),
        "restriction": frame_of({"is_known": pa.array([known])}),
        "restricted": hidden,
        "confidential": _list_numbers(raw, confidential),
        "withholding": _switches(withholding),
    }, counts


def find_confidential_phones(raw: Frames, withholding: Withholding) -> pd.DataFrame:
    """The confidential numbers of the people in `raw_students` or `raw_parents`, published tonight or not."""
    return _list_numbers(raw, _confidential_phones(raw, withholding))


def _list_numbers(raw: Frames, confidential: _Confidential) -> pd.DataFrame:
    """The table `CONFIDENTIAL_PHONES`. The last published rows of any student must hide these numbers too."""
    numbers = confidential or {}
    owners: list[tuple[int | None, int | None, int]] = [(None, person, person) for person in numbers]
    if "Student" in raw:
        records = raw["Student"][["StudentID", "NameID"]].dropna().drop_duplicates()
        records = records[records["NameID"].isin(list(numbers))]
        owners = [(student, None, person) for student, person in records.itertuples(index=False)]
    rows = [
        {"student_id": student, "parent_id": parent, "digits": digits}
        for student, parent, person in owners
        for digits in sorted(numbers[person])
    ]
    return frame_from(rows, CONFIDENTIAL_PHONES.arrow_types)


def _switches(withholding: Withholding) -> pd.DataFrame:
    """The contact switches, to be landed with the contacts that were made with them."""
    switches = zip(WITHHOLDING_USED.names, astuple(withholding), strict=True)
    return frame_from([dict(switches)], WITHHOLDING_USED.arrow_types)


# -- lookups --


def _records_of(records: Columns, statuses: Columns) -> np.ndarray:
    """For each status, the row of Student of the deciding enrollment's school year, or else of the latest."""
    student_ids, asked = ids(statuses["student_id"]), ids(records["SchoolYearIDAsked"])
    at_status = find_rows(ids(records["StudentID"]), student_ids)
    fits = asked == np.append(ids(statuses["school_year_id"]), MISSING)[at_status]
    order = [fits.view(np.int8), asked]
    return best_row_of(student_ids, ids(records["StudentID"]), at_status != NOWHERE, order)


def _is_denied(flag: pa.Array) -> np.ndarray:
    """True where the flag is false. An unanswered one is not."""
    return flags(pc.invert(flag))


def _sound_tables(raw: Frames) -> dict[str, dict[str, pa.Array]]:
    """The raw tables' columns without rows that have an unreadable field; those are quarantined."""
    sound = {name: frame["Unreadable"].isna() for name, frame in raw.items()}
    return {
        name: columns_of(frame if sound[name].all() else frame[sound[name]]) for name, frame in raw.items()
    }


def _describe(
    declared: Table, tables: Tables, at: Mapping[str, np.ndarray], special: Mapping[str, pa.Array]
) -> dict[str, pa.Array]:
    """The declared columns: `special` ones, and the others from their declared origin, in the rows `at`."""
    columns = {**special, **_street_and_zip(tables, at)}
    for column in declared.columns:
        if column.name not in columns:
            sources = [source.split(".")[-2:] for source in LINEAGE[declared.name][column.name].value]
            values = [clean(tables[table][field]) for table, field in sources]
            columns[column.name] = take(pc.coalesce(*values), at[sources[0][0]])
    return {name: columns[name] for name in declared.names}


def _follow(tables: Tables, name: str, keys: pa.Array, rows: np.ndarray) -> np.ndarray:
    """The row of the table `name` that the key in each of these rows refers to, or `NOWHERE`."""
    return find_rows(ids(take(keys, rows)), ids(tables[name][f"{name}ID"]), f"{name}ID")


def _find_contacts(tables: Tables, people: np.ndarray, preferred: tuple[str, str]) -> dict[str, np.ndarray]:
    """The rows of each person's best address, with its ZIP code, state and county, and first e-mail address.

    `preferred` are flags of NameAddress, the most important first. Of equal uses, the first recorded wins.
    """
    uses, emails = tables["NameAddress"], tables["NameEmail"]
    at_address = _follow(tables, "Address", uses["AddressID"], np.arange(len(uses["AddressID"])))
    best = [flags(uses[flag]).view(np.int8) for flag in preferred]
    first = lowest_first(ids(uses["NameAddressID"]))
    chosen = best_row_of(people, ids(uses["NameID"]), at_address != NOWHERE, [*best, first])
    address = np.append(at_address, NOWHERE)[chosen]
    at_zip = _follow(tables, "Zip", tables["Address"]["ZipID"], address)
    order = [lowest_first(ids(emails[field])) for field in ("Rank", "NameEmailID")]
    has_address = present(given(emails["EmailAddress"]))
    return {
        "Address": address,
        "Zip": at_zip,
        "State": _follow(tables, "State", tables["Zip"]["StateID"], at_zip),
        "County": _follow(tables, "County", tables["Address"]["CountyID"], address),
        "NameEmail": best_row_of(people, ids(emails["NameID"]), has_address, order),
    }


def _confidential_phones(raw: Frames, withholding: Withholding) -> _Confidential:
    """The confidential numbers in raw phones, quarantined rows included.

    A phone that does not say counts as confidential. An unreadable number may be any number of that person.
    """
    if withholding.show_confidential_phones:
        return None
    rows = columns_of(raw["NamePhone"])
    people = ids(rows["NameID"])
    chosen = np.flatnonzero(~_is_denied(rows["IsConfidential"]) & (people != MISSING))
    unreadable = take(rows["Unreadable"], chosen).to_pylist()
    found: dict[int, set[str]] = {}
    for person, texts, fields in zip(people[chosen].tolist(), _texts(rows, chosen), unreadable, strict=True):
        numbers = phones.numbers_in(*texts)
        if not any(texts) and fields and not json.loads(fields).keys().isdisjoint(_NUMBER_FIELDS):
            numbers = {phones.ANY}
        found.setdefault(person, set()).update(numbers)
    return found


def _find_phones(
    tables: Tables, people: np.ndarray, confidential: _Confidential, kinds: Mapping[str, tuple[str, ...]]
) -> dict[str, pa.Array]:
    """The first phone of each person by rank, of each kind (column → words), never a confidential one."""
    rows = tables["NamePhone"]
    numbers, owners = pc.coalesce(*(given(rows[field]) for field in _NUMBER_FIELDS)), ids(rows["NameID"])
    usable = present(numbers)
    if confidential is not None:
        usable &= _is_denied(rows["IsConfidential"]) & ~_may_be_confidential(rows, owners, confidential)
    extensions = given(rows["Extension"])
    both = pa.array(present(numbers) & present(extensions))
    pairs = zip(numbers.filter(both).to_pylist(), extensions.filter(both).to_pylist(), strict=True)
    extended = pa.array([phones.with_extension(*pair) for pair in pairs], pa.string())
    numbers = pc.replace_with_mask(numbers, both, extended)
    order = [lowest_first(ids(rows[field])) for field in ("Rank", "NamePhoneID")]
    return {
        kind: take(numbers, best_row_of(people, owners, usable & _of_kind(tables, words), order))
        for kind, words in kinds.items()
    }


def _may_be_confidential(
    rows: Columns, people: np.ndarray, confidential: Mapping[int, set[str]]
) -> np.ndarray:
    """True for rows that may be a confidential number of the same person."""
    found = np.isin(people, np.asarray(list(confidential), np.int64))
    chosen = np.flatnonzero(found)
    found[chosen] = [
        any(phones.may_be_one_of(text, confidential[person]) for text in texts if text)
        for person, texts in zip(people[chosen].tolist(), _texts(rows, chosen), strict=True)
    ]
    return found


def _texts(rows: Columns, chosen: np.ndarray) -> Iterator[tuple[str | None, ...]]:
    """The number fields of the chosen rows."""
    return zip(*(take(given(rows[field]), chosen).to_pylist() for field in _NUMBER_FIELDS), strict=True)


def _of_kind(tables: Tables, words: tuple[str, ...]) -> np.ndarray | bool:
    """For each phone, whether its type's code or description has one of the words. No words: any phone."""
    if not words:
        return True
    types, keys = tables["PhoneType"], tables["NamePhone"]["PhoneTypeID"]
    texts = zip(*(given(types[field]).to_pylist() for field in ("Code", "Description")), strict=True)
    names = (" ".join(filter(None, both)).lower() for both in texts)
    about = np.asarray([*(any(word in name for word in words) for name in names), False])
    return np.asarray(about[_follow(tables, "PhoneType", keys, np.arange(len(keys)))])


def _street_and_zip(tables: Tables, at: Mapping[str, np.ndarray]) -> dict[str, pa.Array]:
    """Street with its second line, or else the post office box; ZIP code with its four further digits."""

    def of_address(field: str) -> pa.Array:
        return take(given(tables["Address"][field]), at["Address"])

    street, box = of_address("StreetNumberAndNameIncludeSecondaryUnit"), of_address("POBox")
    both_lines = pc.binary_join_element_wise(street, of_address("AddressLine2"), ", ")
    prefixed = pc.binary_join_element_wise(pa.scalar("PO Box "), box, "")
    named = pc.if_else(pc.match_substring(box, "box", ignore_case=True), box, prefixed)
    zip_code = take(given(tables["Zip"]["ZipCode"]), at["Zip"])
    whole = pc.binary_join_element_wise(zip_code, of_address("ZipCodeAddOn"), "-")
    return {"street": pc.coalesce(both_lines, street, named), "zip": pc.coalesce(whole, zip_code)}
