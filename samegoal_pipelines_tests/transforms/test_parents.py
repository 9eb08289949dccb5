"""Who the parents are, and whose contacts must not be passed on."""

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from samegoal_pipelines.tables.catalog import LANDED, published_tables
from samegoal_pipelines.tables.enrollments import STUDENT_STATUS
from samegoal_pipelines.tables.people import PARENT_CONTACTS, PARENT_DEMOGRAPHICS, parents_table
from samegoal_pipelines.tables.validation import violations
from samegoal_pipelines.transforms.columns import records_of
from samegoal_pipelines.transforms.demographics import parent_tables
from samegoal_pipelines.transforms.withholding import WITHHOLD, Withholding, withholding_notes
from samegoal_pipelines_tests.transforms.builders import Row, raw, reads, table
from samegoal_pipelines_tests.transforms.test_students import phone, status_row, uses

PARENTS = "parent_demographics"
SHOW_RESTRICTED = Withholding(show_restricted_contacts=True)
SHOW_PHONES = Withholding(show_confidential_phones=True)
UNREADABLE = '{"Rank": "first"}'


def guardian(number: int = 1, student: int | None = 1, parent: int | None = 10, **fields: Any) -> Row:
    usual = {"StudentID": student, "NameIDGuardian": parent, "HasActiveRestrictedAccess": False}
    return {"StudentGuardianID": number} | usual | fields


def build(
    guardians: list[Row],
    *,
    restriction_known: bool = True,
    statuses: list[Row] | None = None,
    withholding: Withholding = WITHHOLD,
    **objects: list[Row],
) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """What is landed of the parents of student 1 (or of those in `statuses`), and the unused guardianships.

    The people 10, 11 and 12 are known by name. The restriction is known if its field was asked for.
    """
    usual: dict[str, list[Row]] = {
        "StudentGuardian": guardians,
        "Name": [
            {"NameID": number, "FirstName": f"P{number}", "LastName": "Ruiz"} for number in (10, 11, 12)
        ],
        "Relationship": [
            {"RelationshipID": 1, "Code": "M", "Description": "Mother"},
            {"RelationshipID": 2, "Code": "F"},
        ],
        "PhoneType": [
            {"PhoneTypeID": 1, "Code": "H", "Description": "Home Phone"},
            {"PhoneTypeID": 2, "Code": "MOBILE", "Description": None},
            {"PhoneTypeID": 3, "Code": "B", "Description": "Business"},
            {"PhoneTypeID": 4, "Code": "X", "Description": "Pager"},
        ],
        "Zip": [{"ZipID": 1, "City": "Grand Bend", "ZipCode": "78701", "StateID": 1}],
        "State": [{"StateID": 1, "Code": "TX"}],
        "NameEmail": [{"NameEmailID": 1, "NameID": 10, "EmailAddress": "p@example.org"}],
        "NamePhone": [phone(1, PhoneTypeID=1), phone(2, PhoneTypeID=2), phone(3, PhoneTypeID=3)],
    }
    granted = reads("StudentGuardian", ["HasActiveRestrictedAccess"] if restriction_known else [])
    rows = raw("raw_parents", usual | uses((True, True)) | objects) | {"Reads": granted}
    built, counts = parent_tables(rows, table(STUDENT_STATUS, statuses or [status_row()]), withholding)
    declared = LANDED[PARENTS] | {PARENTS: parents_table(withholding.show_restricted_contacts)}
    assert not any(violations(built[name], table) for name, table in declared.items())
    return built, counts


def parents(*guardians: Row, **more: Any) -> pd.DataFrame:
    return build(list(guardians), **more)[0][PARENTS]


def one(*guardians: Row, **more: Any) -> dict[str, Any]:
    (person,) = records_of(parents(*guardians, **more))
    return person


def contacts(row: dict[str, Any]) -> list[str | None]:
    return [row[column] for column in PARENT_CONTACTS]


EVERYTHING = ["1 Elm St", "Grand Bend", "TX", "78701"]
EVERYTHING += ["555-0101", "555-0102", "555-0103", "p@example.org"]
NOTHING = [None] * len(EVERYTHING)


def test_a_parent_comes_with_relationship_rank_flags_name_and_contacts():
    row = one(guardian(RelationshipID=1, Rank=2, IsCustodialGuardian=True, IsEmergencyContact=None))
    flags = {"is_custodial": True, "is_emergency_contact": None, "has_restricted_access": False}
    names = {"relationship": "Mother", "first_name": "P10", "last_name": "Ruiz", "home_language": None}
    expected = {"student_id": 1, "parent_id": 10, "rank": 2, **names, **flags}
    assert {column: row[column] for column in expected} == expected
    assert contacts(row) == EVERYTHING


@pytest.mark.parametrize("flag", [True, None])
@pytest.mark.parametrize(
    ("withholding", "shown"), [(WITHHOLD, NOTHING), (SHOW_PHONES, NOTHING), (SHOW_RESTRICTED, EVERYTHING)]
)
def test_a_parent_under_restricted_access_keeps_the_row_and_loses_every_contact(flag, withholding, shown):
    """A restriction that is not answered counts as one. A district may show these contacts."""
    row = one(guardian(HasActiveRestrictedAccess=flag), withholding=withholding)
    assert (row["has_restricted_access"], row["last_name"]) == (True, "Ruiz")
    assert contacts(row) == shown


def test_shown_contacts_of_a_restricted_parent_break_the_schema_of_any_other_district():
    shown = parents(guardian(HasActiveRestrictedAccess=True), withholding=SHOW_RESTRICTED)
    assert violations(shown, PARENT_DEMOGRAPHICS)
    shown.insert(1, "student_number", pd.array([None], pd.ArrowDtype(pa.string())))
    assert not violations(shown, published_tables(True)["parents"])
    assert violations(shown, published_tables(False)["parents"])


def test_where_the_restriction_field_is_not_granted_the_flag_is_null_and_contacts_stay():
    row = one(guardian(HasActiveRestrictedAccess=None), restriction_known=False)
    assert row["has_restricted_access"] is None
    assert contacts(row) == EVERYTHING


def test_a_restriction_holds_for_that_student_and_not_for_a_sibling():
    rows = [guardian(1, student=1, HasActiveRestrictedAccess=True), guardian(2, student=2)]
    built = records_of(parents(*rows, statuses=[status_row(1), status_row(2)]))
    assert [(row["student_id"], row["email"]) for row in built] == [(1, None), (2, "p@example.org")]


def test_a_pair_that_comes_several_times_is_one_row_of_the_lowest_rank_then_the_first_recorded():
    rows = [
        guardian(4, Rank=None, RelationshipID=2),
        guardian(3, Rank=2, RelationshipID=1),
        guardian(2, Rank=2, RelationshipID=2),
        guardian(1, Rank=3, RelationshipID=1),
    ]
    built, counts = build(rows)
    assert [(row["rank"], row["relationship"]) for row in records_of(built[PARENTS])] == [(2, "F")]
    assert counts["repeated"] == 3


@pytest.mark.parametrize("flag", [True, None])
@pytest.mark.parametrize("unreadable", [None, UNREADABLE])
def test_a_pair_is_restricted_if_any_of_its_rows_is_even_one_that_is_quarantined(flag, unreadable):
    other = guardian(2, Rank=9, Unreadable=unreadable, HasActiveRestrictedAccess=flag)
    row = one(guardian(1, Rank=1), other)
    assert (row["rank"], row["has_restricted_access"], row["email"]) == (1, True, None)


def test_a_parent_s_address_is_where_mail_goes_then_where_the_parent_lives():
    assert one(guardian(), **uses((True, False), (False, True)))["street"] == "2 Elm St"
    assert one(guardian(), **uses((False, False), (True, False)))["street"] == "2 Elm St"


def numbers(*phones: Row, withholding: Withholding = WITHHOLD) -> list[str | None]:
    row = one(guardian(), NamePhone=list(phones), withholding=withholding)
    return [row[kind] for kind in ("home_phone", "cell_phone", "work_phone")]


def test_phones_go_by_what_code_or_description_of_their_type_say():
    work = (phone(5, PhoneTypeID=3, Rank=2), phone(6, PhoneTypeID=3, Rank=1))
    assert numbers(phone(4, PhoneTypeID=4), *work, phone(7)) == [None, None, "555-0106"]


@pytest.mark.parametrize(
    ("withholding", "home", "cell"),
    [
        *((withheld, "555-0102", None) for withheld in (WITHHOLD, SHOW_RESTRICTED)),
        (SHOW_PHONES, "555-0101", "555-0103"),
    ],
)
def test_a_confidential_phone_is_withheld_from_a_parent_too(withholding, home, cell):
    """Unless the district shows them."""
    phones = [
        phone(1, PhoneTypeID=1, Rank=1, IsConfidential=True),
        phone(2, PhoneTypeID=1, Rank=2),
        phone(3, PhoneTypeID=2, IsConfidential=None),
    ]
    assert numbers(*phones, withholding=withholding) == [home, cell, None]


# What must be hidden about students who keep what was last published


def test_confidential_numbers_are_found_by_person_however_they_are_written():
    phones = [
        phone(1, IsConfidential=True, PhoneNumber="5125550101", FormattedPhoneNumber="(512) 555-0101 x7"),
        phone(2, IsConfidential=None, PhoneNumber="512.555.0102", FormattedPhoneNumber=None, Extension="9"),
        phone(3, PhoneNumber="5125550103"),
        phone(4, IsConfidential=True, PhoneNumber=" ", FormattedPhoneNumber=None),
        phone(5, IsConfidential=True, NameID=None),
        phone(6, IsConfidential=True, Unreadable=UNREADABLE),
    ]
    hidden = ["5125550101", "5125550102", "5550106"]
    for withholding, expected in ((WITHHOLD, hidden), (SHOW_PHONES, [])):
        found = build([], NamePhone=phones, withholding=withholding)[0]["confidential"]
        assert found[["parent_id", "digits"]].values.tolist() == [[10, digits] for digits in expected]


@pytest.mark.parametrize(
    ("known", "withholding", "pairs"),
    [(True, WITHHOLD, [[1, 10], [9, 10]]), (False, WITHHOLD, []), (True, SHOW_RESTRICTED, [])],
)
def test_restricted_pairs_are_none_where_it_is_not_known_or_contacts_are_shown(known, withholding, pairs):
    """Student 9 is not published tonight, but may have been."""
    flags = {1: True, 2: False, 9: None}
    rows = [
        guardian(n, student, HasActiveRestrictedAccess=flag)
        for n, (student, flag) in enumerate(flags.items())
    ]
    rows += [rows[0], guardian(parent=None, HasActiveRestrictedAccess=True)]
    built, _ = build(rows, restriction_known=known, withholding=withholding)
    assert built["restricted"].values.tolist() == pairs


def test_a_snapshot_notes_what_is_not_known_and_what_is_shown():
    assert withholding_notes(True, WITHHOLD) == ()
    (note,) = withholding_notes(False, WITHHOLD)
    assert note.startswith("HasActiveRestrictedAccess of Family/StudentGuardian is not granted")
    assert len(withholding_notes(True, Withholding(True, True))) == 2
    assert withholding_notes(False, SHOW_RESTRICTED) == (note,)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        *((guardian(**none), "no_student_or_parent") for none in ({"student": None}, {"parent": None})),
        (guardian(student=99), "student_without_status"),
        (guardian(parent=99), "unknown_name"),
        (guardian(Unreadable=UNREADABLE), "unreadable"),
        (None, None),
    ],
)
def test_a_guardian_who_cannot_be_placed_is_excluded_and_counted(row, reason):
    built, counts = build([row] if row else [])
    assert built[PARENTS].empty
    assert {name: count for name, count in counts.items() if count} == ({reason: 1} if reason else {})


def test_siblings_share_their_parents_and_rows_come_ordered():
    pairs = [(2, 11), (1, 11), (2, 10), (1, 10)]
    rows = [guardian(n, student, parent) for n, (student, parent) in enumerate(pairs)]
    built = parents(*rows, statuses=[status_row(1), status_row(2)])
    assert built[["student_id", "parent_id"]].values.tolist() == sorted(map(list, pairs))
