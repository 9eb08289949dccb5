"""Who the parents are: one row for each student and parent.

Guardianships and restricted access are handled here. The student's own record is in `students`, and which
students are published in the end is decided in `snapshot`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.tables.people import PARENT_DEMOGRAPHICS
from samegoal_pipelines.tables.reads import is_granted
from samegoal_pipelines.transforms.columns import (
    MISSING,
    NOWHERE,
    RowIndex,
    best_rows,
    columns_of,
    flags,
    frame_of,
    given,
    ids,
    lowest_first,
    present,
    take,
)
from samegoal_pipelines.transforms.people import (
    Columns,
    Confidential,
    Tables,
    confidential_phones,
    find_addresses,
    find_emails,
    find_phones_by_kind,
    find_suffixes,
    look_up_text,
    rows_by_id,
    sound_tables,
)
from samegoal_pipelines.transforms.withholding import Withholding


class ParentDemographics(NamedTuple):
    """One row per student and parent, and the number of unused guardianships by reason."""

    parents: pd.DataFrame
    counts: dict[str, int]


def restriction_is_known(raw: Mapping[str, pd.DataFrame]) -> bool:
    """Whether the district grants HasActiveRestrictedAccess, from `raw_parents`, even without any rows."""
    return is_granted(raw["Reads"], "StudentGuardian", "HasActiveRestrictedAccess")


def build_parent_demographics(
    raw: Mapping[str, pd.DataFrame],
    statuses: pd.DataFrame,
    *,
    restriction_known: bool,
    withholding: Withholding,
) -> ParentDemographics:
    """Describe the parents of the students of `statuses`, in its order, from `raw_parents` (object → frame).

    `restriction_known` is the result of `restriction_is_known`. If true, a guardian whose access is
    restricted or unknown keeps the row and loses every contact, unless the district shows them. If false,
    no restriction is known, and the flag is null.
    """
    tables = sound_tables(raw)
    guardianships, names = columns_of(raw["StudentGuardian"]), tables["Name"]
    students, guardians = ids(guardianships["StudentID"]), ids(guardianships["NameIDGuardian"])
    at_status = RowIndex(ids(columns_of(statuses)["student_id"]), "student_id of the statuses").find(students)
    at_name = rows_by_id(names, "NameID", guardians)
    excluded = {
        "unreadable": present(guardianships["Unreadable"]),
        "no_student_or_parent": (students == MISSING) | (guardians == MISSING),
        "student_without_status": at_status == NOWHERE,
        "unknown_name": at_name == NOWHERE,
    }
    counted, counts = np.ones(len(students), bool), {}
    for reason, holds in excluded.items():
        counts[reason] = int(np.count_nonzero(counted & holds))
        counted &= ~holds

    pairs = _pair_codes(at_status, guardians)
    rows = _deciding_guardianships(guardianships, pairs, counted)
    counts["repeated"] = int(np.count_nonzero(counted)) - len(rows)

    restricted = _restricted_pairs(guardianships, pairs)[pairs[rows]] if restriction_known else None
    people = guardians[rows]
    columns = (
        _guardianship_columns(tables, guardianships, rows)
        | _name_columns(tables, names, at_name[rows])
        | {
            "has_restricted_access": pa.nulls(len(rows), pa.bool_())
            if restricted is None
            else pa.array(restricted)
        }
        | {"home_language": pa.nulls(len(rows), pa.string())}
        | _withhold(
            _contact_columns(tables, people, confidential_phones(raw, withholding)),
            None if withholding.show_restricted_contacts else restricted,
        )
    )
    return ParentDemographics(
        frame_of({column: columns[column] for column in PARENT_DEMOGRAPHICS.names}),
        counts,
    )


def find_restricted_pairs(
    raw: Mapping[str, pd.DataFrame], *, restriction_known: bool, withholding: Withholding
) -> pd.DataFrame:
    """Pairs of student and guardian with restricted or unknown access, from `raw_parents`.

    Includes students who are not published tonight, because their last published rows must hide it too.
    Returns student_id and parent_id, int64, each pair once. Empty if the restriction is not known, or if the
    district shows these contacts.
    """
    guardianships = columns_of(raw["StudentGuardian"])
    if not restriction_known or withholding.show_restricted_contacts:
        guardianships = {name: column[:0] for name, column in guardianships.items()}
    flag = guardianships["HasActiveRestrictedAccess"]
    students, guardians = ids(guardianships["StudentID"]), ids(guardianships["NameIDGuardian"])
    rows = (flags(flag) | ~present(flag)) & (students != MISSING) & (guardians != MISSING)
    pairs = np.unique(np.stack([students[rows], guardians[rows]]), axis=1)
    return frame_of({"student_id": pa.array(pairs[0]), "parent_id": pa.array(pairs[1])})


def find_confidential_phones(raw: Mapping[str, pd.DataFrame], withholding: Withholding) -> pd.DataFrame:
    """The confidential numbers of the people in `raw_parents`, as `ConfidentialPhones`."""
    people, digits, _ = confidential_phones(raw, withholding)
    return frame_of(
        {"student_id": pa.nulls(len(people), pa.int64()), "parent_id": pa.array(people), "digits": digits}
    )


def _pair_codes(students: np.ndarray, guardians: np.ndarray) -> np.ndarray:
    """A number per row, equal for the same student and guardian, in their order."""
    found, guardian_codes = np.unique(guardians, return_inverse=True)
    return np.unique(students * (len(found) + 1) + guardian_codes, return_inverse=True)[1]


def _deciding_guardianships(guardianships: Columns, pairs: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """One usable row per pair, in the order of the pairs: the lowest rank, then the first."""
    candidates = np.flatnonzero(counted)
    order = [
        lowest_first(ids(guardianships["Rank"])[candidates]),
        lowest_first(ids(guardianships["StudentGuardianID"])[candidates]),
    ]
    best = best_rows(pairs[candidates], int(pairs.max(initial=-1)) + 1, order)
    return np.asarray(candidates[best[best >= 0]])


def _restricted_pairs(guardianships: Columns, pairs: np.ndarray) -> np.ndarray:
    """For each pair, whether any of its rows, even a quarantined one, restricts access or does not say."""
    flag = guardianships["HasActiveRestrictedAccess"]
    restricted = np.zeros(int(pairs.max(initial=-1)) + 1, bool)
    restricted[pairs[flags(flag) | ~present(flag)]] = True
    return restricted


def _guardianship_columns(tables: Tables, guardianships: Columns, rows: np.ndarray) -> dict[str, pa.Array]:
    relationship_ids = ids(guardianships["RelationshipID"])[rows]
    fields = {
        "student_id": "StudentID",
        "parent_id": "NameIDGuardian",
        "rank": "Rank",
        "is_custodial": "IsCustodialGuardian",
        "is_emergency_contact": "IsEmergencyContact",
    }
    relationship = look_up_text(
        tables["Relationship"], "RelationshipID", relationship_ids, "Description", "Code"
    )
    return {column: take(guardianships[field], rows) for column, field in fields.items()} | {
        "relationship": relationship
    }


def _name_columns(tables: Tables, names: Columns, rows: np.ndarray) -> dict[str, pa.Array]:
    return {
        "first_name": take(given(names["FirstName"]), rows),
        "middle_name": take(given(names["MiddleName"]), rows),
        "last_name": take(given(names["LastName"]), rows),
        "suffix": find_suffixes(tables, ids(names["NameSuffixID"])[rows]),
    }


def _contact_columns(tables: Tables, people: np.ndarray, confidential: Confidential) -> dict[str, pa.Array]:
    address = find_addresses(tables, people, preferred=("IsMailing", "IsPhysical"))
    phones = find_phones_by_kind(tables, people, confidential)
    return address | phones | {"email": find_emails(tables, people)}


def _withhold(contacts: dict[str, pa.Array], restricted: np.ndarray | None) -> dict[str, pa.Array]:
    """Contact columns, blank where access is restricted. `None` means nothing is withheld."""
    if restricted is None or not restricted.any():
        return contacts
    hidden = pa.array(restricted)
    return {
        column: pc.if_else(hidden, pa.scalar(None, values.type), values)
        for column, values in contacts.items()
    }
