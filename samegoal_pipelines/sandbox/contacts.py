"""How to reach people: households with addresses, phones and e-mails, and who is a guardian of whom.

Everything fictional stays fictional: exchanges are 555, mail domains are reserved ones.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.sandbox.draw import chance, generator, joined, nullable, pick, some, where, words
from samegoal_pipelines.sandbox.families import CONTACT, ELSEWHERE, Families
from samegoal_pipelines.sandbox.people import People, plain_ascii
from samegoal_pipelines.sandbox.places import address_columns
from samegoal_pipelines.sandbox.words import AREA_CODES

HOME, CELL, WORK = 1, 2, 3


def contact_tables(
    seed: int,
    number: int,
    families: Families,
    people: People,
    student_id: np.ndarray,
    grade: np.ndarray,
    slug: str,
) -> dict[str, pa.Table]:
    """Tables of phones, e-mails, addresses and guardianships."""
    return {
        **_addresses(seed, number, families, people),
        "Demographics/NamePhone": _phones(seed, number, people, grade),
        "Demographics/NameEmail": _emails(seed, number, people, slug),
        "Family/StudentGuardian": _guardianships(seed, number, families, people, student_id),
    }


def _addresses(seed: int, number: int, families: Families, people: People) -> dict[str, pa.Table]:
    """A home per family, others for parents elsewhere, contacts and staff; PO boxes for some."""
    rng = generator(seed, number, "addresses")
    child, place = families.of_child, families.guardian_place
    own_home = (place == ELSEWHERE) | ((place == CONTACT) & chance(rng, len(place), 0.6))
    at_home = place < ELSEWHERE
    staff_home = chance(rng, len(people.staff_ids()), 0.5)
    boxes = chance(rng, families.count, 0.05)

    # Addresses in this order: homes of families, homes of other guardians, of staff, PO boxes of families.
    homes, others, of_staff = families.count, int(own_home.sum()), int(staff_home.sum())
    other_home = homes + np.cumsum(own_home) - 1
    box = homes + others + of_staff + np.cumsum(boxes) - 1
    count = homes + others + of_staff + int(boxes.sum())
    po_box = np.arange(count) >= homes + others + of_staff

    # Who is linked to which: (name, address, mailing, physical)
    guardian = people.guardian_ids()
    family_of_guardian = families.guardian_family
    home_folk = np.concatenate([people.student_ids(), guardian[at_home]])
    home_family = np.concatenate([child, family_of_guardian[at_home]])
    boxed = boxes[home_family]
    links = [
        (home_folk, home_family, ~boxed, np.ones(len(home_folk), bool)),
        (home_folk[boxed], box[home_family[boxed]], np.ones(boxed.sum(), bool), np.zeros(boxed.sum(), bool)),
        (guardian[own_home], other_home[own_home], np.ones(others, bool), np.ones(others, bool)),
        (
            people.staff_ids()[staff_home],
            homes + others + np.arange(of_staff),
            *(np.ones(of_staff, bool),) * 2,
        ),
    ]
    name, address, mailing, physical = (np.concatenate(column) for column in zip(*links, strict=True))
    address_id = 40_001 + rng.permutation(count)
    return {
        "Demographics/Address": pa.table(
            {"AddressID": pa.array(address_id), **address_columns(rng, count, po_box)}
        ),
        "Demographics/NameAddress": pa.table(
            {
                "NameAddressID": pa.array(900_001 + np.arange(len(name))),
                "NameID": pa.array(name),
                "AddressID": pa.array(address_id[address]),
                "IsMailing": pa.array(mailing),
                "IsPhysical": pa.array(physical),
            }
        ),
    }


def _phones(seed: int, number: int, people: People, grade: np.ndarray) -> pa.Table:
    """Several per guardian, some per older student, one per member of staff and vendor; ranked per person."""
    rng = generator(seed, number, "phones")
    older = np.where(grade >= 6, 0.45, 0.02)
    adults, staff = len(people.guardian_ids()), len(people.staff_ids())
    shares = {
        CELL: np.concatenate([older, np.full(adults, 0.92), np.full(staff, 0.7)]),
        HOME: np.concatenate([np.full(len(grade), 0.1), np.full(adults, 0.24), np.full(staff, 0.1)]),
        WORK: np.concatenate([np.zeros(len(grade)), np.full(adults, 0.34), np.full(staff, 0.9)]),
    }
    who = [np.nonzero(chance(rng, len(share), share))[0] for share in shares.values()]
    person = np.concatenate(who)
    kind = np.repeat(list(shares), [len(each) for each in who])
    # Mostly the cell phone comes first, sometimes another.
    order = np.lexsort((rng.random(len(person)) + np.where(kind == CELL, 0.0, 0.7), person))
    person, kind = person[order], kind[order]
    first = np.searchsorted(person, person)
    count = len(person)
    area, line = pick(rng, AREA_CODES, count), pa.array(rng.integers(0, 10_000, count)).cast(pa.string())
    line = pc.utf8_lpad(line, 4, "0")
    extension = pa.array(rng.integers(100, 9999, count)).cast(pa.string())
    confidential = chance(rng, count, 0.025)
    return pa.table(
        {
            "NamePhoneID": pa.array(2_000_001 + np.arange(count)),
            "NameID": pa.array(people.name_id[person]),
            "PhoneNumber": joined(area, "555", line),
            "FormattedPhoneNumber": joined("(", area, ") 555-", line),
            "Extension": where((kind == WORK) & chance(rng, count, 0.4), extension, None),
            "PhoneTypeID": pa.array(kind),
            "Rank": pa.array(np.arange(count) - first + 1),
            "IsConfidential": pa.array(confidential),
        }
    )


def _emails(seed: int, number: int, people: People, slug: str) -> pa.Table:
    """Most guardians have one, some two, some none; students of the district's own; staff always."""
    rng = generator(seed, number, "emails")
    total = len(people.name_id)
    students, guardians = people.students, people.guardians
    has = np.concatenate(
        [
            chance(rng, students, 0.5),
            chance(rng, guardians, 0.83),
            np.ones(total - students - guardians, bool),
        ]
    )
    second = np.nonzero(has & (np.arange(total) >= students) & chance(rng, total, 0.1))[0]
    person = np.sort(np.concatenate([np.nonzero(has)[0], second]))
    rank = np.arange(len(person)) - np.searchsorted(person, person) + 1
    first = plain_ascii(people.table["FirstName"].combine_chunks()).take(pa.array(person)).fill_null("office")
    last = plain_ascii(people.table["LastName"].combine_chunks()).take(pa.array(person))
    digits = pa.array(rng.integers(1, 9999, len(person))).cast(pa.string())
    private = pick(rng, ("example.com", "example.org", "example.net"), len(person))
    school = np.where(person < students, 0, 1)
    domain = where(
        (person < students) | (person >= students + guardians),
        words([f"students.{slug}.example", f"{slug}.example"], school),
        private,
    )
    return pa.table(
        {
            "NameEmailID": pa.array(700_001 + np.arange(len(person))),
            "NameID": pa.array(people.name_id[person]),
            "EmailAddress": joined(first, ".", last, digits, "@", domain),
            "EmailTypeID": pa.array(rank),
            "Rank": pa.array(rank),
        }
    )


def _guardianships(
    seed: int, number: int, families: Families, people: People, student_id: np.ndarray
) -> pa.Table:
    """A row per child and guardian, ranked; a few under restricted access, for fewer it is not said."""
    rng = generator(seed, number, "guardianships")
    child, guardian = families.guardianships()
    count, place = len(child), families.guardian_place[guardian]
    rank = np.arange(count) - np.searchsorted(child, child) + 1
    restricted = np.zeros(count, bool)
    unsaid = np.zeros(count, bool)
    elsewhere = np.nonzero(place == ELSEWHERE)[0]
    if len(elsewhere):
        restricted[some(rng, elsewhere, 0.004, count)] = True
    if count:
        unsaid[some(rng, np.nonzero(~restricted)[0], 0.0015, count)] = True
    custodial = (place != CONTACT) & ~restricted & chance(rng, count, 0.97)
    columns: dict[str, Any] = {
        "StudentGuardianID": 3_000_001 + np.arange(count),
        "StudentID": student_id[child],
        "NameIDGuardian": people.guardian_ids()[guardian],
        "RelationshipID": nullable(families.guardian_relationship[guardian], chance(rng, count, 0.004)),
        "Rank": rank,
        "IsCustodialGuardian": custodial,
        "IsEmergencyContact": (place == CONTACT) | chance(rng, count, 0.55),
        "AllowFamilyAccess": custodial & chance(rng, count, 0.9),
        "HasActiveRestrictedAccess": pa.array(restricted, pa.bool_(), mask=unsaid),
    }
    return pa.table({name: pa.array(column) for name, column in columns.items()})
