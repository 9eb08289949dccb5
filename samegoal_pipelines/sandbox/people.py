"""Families, their members and staff: names, guardianships, addresses, phones and e-mail addresses.

Siblings share a family, and so its guardians, home, last name and attendance zone. Everything fictional stays
fictional: phone numbers have the exchange 555, and mail domains are reserved ones.
"""

import datetime as dt
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from samegoal_pipelines.sandbox import words as w
from samegoal_pipelines.sandbox.district import FIELDS, Rows, grade_code, ids_of

T = TypeVar("T")
Tables = dict[str, Rows]
"""Module/Object → rows, with dates as dates."""
STUDENTS, NAMES, GUARDIANS = "Student/Student", "Demographics/Name", "Family/StudentGuardian"
ADDRESSES, LINKS = "Demographics/Address", "Demographics/NameAddress"
PHONES, EMAILS = "Demographics/NamePhone", "Demographics/NameEmail"
_FIRST_IDS = {
    **{STUDENTS: 20_001, ADDRESSES: 40_001, NAMES: 500_001, EMAILS: 700_001, LINKS: 900_001},
    **{PHONES: 2_000_001, GUARDIANS: 3_000_001},
}
_RELATIONSHIPS, _PHONE_TYPES = ids_of("Demographics/Relationship"), ids_of("Demographics/PhoneType")
_CHILDREN_SHARES = (0.44, 0.36, 0.14, 0.05, 0.01)
_GRADES = range(-2, 16)
"""Grades in the school year of the students: -2 comes next year, 13 and more have graduated."""
_GRADE_SHARES = (0.008, 0.035, *[0.0667] * 13, 0.058, 0.018, 0.0139)
_SPECIALS = (
    *("course", "no-show", "never closed", "second campus", "withdrawal date only", "course last year"),
    *("course only", "one day", "course without a code", "second campus", "withdrawal date only"),
    *("course", "course last year") * 7,
)
"""Every 16th student is in grade 10 and has something special, in this order."""
# How often each guardian is there
_SEPARATED = {"Mother": 1, "Stepfather": 0.4}  # the father lives elsewhere
_HOUSEHOLDS: tuple[dict[str, float], ...] = (
    {"Mother": 1, "Father": 1},
    {"Mother": 1},
    {"Father": 1},
    _SEPARATED,
    {"Grandmother": 1, "Grandfather": 0.5},
)
_HOUSEHOLD_SHARES = (0.58, 0.135, 0.035, 0.18, 0.07)
_CONTACTS = ("Aunt", "Uncle")
_WOMEN = ("Mother", "Grandmother", "Aunt")
_RACES = {
    "IsWhite": "White",
    "IsBlack": "Black or African American",
    "IsAsian": "Asian",
    "IsAlaskan": "American Indian or Alaska Native",
    "IsHawaiian": "Native Hawaiian or Other Pacific Islander",
}
_RACE_SHARES = (0.73, 0.15, 0.07, 0.03, 0.02)
_REACHED_BY = {
    "child": {"Cell": 0.02, "Home": 0.1, "mail": 0.5},
    "teenager": {"Cell": 0.45, "Home": 0.1, "mail": 0.5},
    "guardian": {"Cell": 0.92, "Home": 0.24, "Work": 0.34, "mail": 0.83},
    "staff": {"Cell": 0.7, "Home": 0.1, "Work": 0.9, "mail": 1.0},
}
"""Shares of each who have such a phone, or an e-mail address."""


@dataclass(frozen=True)
class Pupil:
    """A student, before there are enrollments. The zone, 0 to 1, decides the campus."""

    student_id: int
    name_id: int
    grade: int
    zone: float
    special: str


@dataclass
class Town:
    """Writes people into the tables of a district.

    Attributes:
        year: the school year of the students' grades; ``later`` is how many years have passed since.
        slug: of the district, for its mail addresses.
    """

    rng: Random
    tables: Tables
    year: int
    later: int
    slug: str

    def add_people(self, students: int) -> list[Pupil]:
        """Add so many students, their families, and staff."""
        self.tables |= {name: [] for name in _FIRST_IDS}
        numbers = self.rng.sample(range(3_000, 3_000 + 3 * students), students)
        pupils: list[Pupil] = []
        while numbers:
            children = self.rng.choices((1, 2, 3, 4, 5), _CHILDREN_SHARES)[0]
            pupils += self._add_family([numbers.pop() for _ in range(min(children, len(numbers)))])
        for _ in range(max(3, students // 12)):
            person = self._add_person("staff", self._last_name(), female=self._chance(0.7))
            if self._chance(0.55):
                self._add_home([person])
        self.rng.shuffle(self.tables[NAMES])  # nobody may rely on the order of storage
        return pupils

    def _add(self, name: str, **fields: Any) -> int:
        """Add a row with the next id. Return the id."""
        key = _FIRST_IDS[name] + len(self.tables[name])
        self.tables[name].append({next(iter(FIELDS[name])): key, **fields})
        return key

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share

    def _maybe(self, share: float, value: T) -> T | None:
        """The value at about this share of the calls."""
        return value if self._chance(share) else None

    def _last_name(self) -> str:
        """Some have two parts or a hyphen."""
        one, two = self.rng.choice(w.LAST_NAMES), self.rng.choice(w.LAST_NAMES)
        return self.rng.choices((one, f"{one} {two}", f"{one}-{two}"), (88, 7, 5))[0]

    def _add_family(self, numbers: Sequence[int]) -> list[Pupil]:
        """Add a student for each of these numbers, their guardians, and where they live."""
        household = self.rng.choices(_HOUSEHOLDS, _HOUSEHOLD_SHARES)[0]
        at_home = {each: True for each, share in household.items() if self._chance(share)}
        if household is _SEPARATED:
            at_home["Father"] = False
        at_home |= {each: False for each in _CONTACTS if self._chance(0.11)}
        last, zone, guardians = self._last_name(), self.rng.random(), {}
        for relationship in at_home:
            own = last if self._chance(0.75) else self._last_name()
            guardians[relationship] = self._add_person("guardian", own, female=relationship in _WOMEN)
        pupils = [self._add_student(number, last, zone) for number in numbers]
        for pupil in pupils:
            for rank, (relationship, guardian) in enumerate(guardians.items(), start=1):
                contact = relationship in _CONTACTS
                restricted = not contact and not at_home[relationship] and self._chance(0.05)
                self._add(
                    GUARDIANS,
                    StudentID=pupil.student_id,
                    NameIDGuardian=guardian,
                    RelationshipID=self._maybe(0.996, _RELATIONSHIPS[relationship]),
                    Rank=rank,
                    IsCustodialGuardian=not contact and not restricted and self._chance(0.97),
                    IsEmergencyContact=contact or self._chance(0.55),
                    HasActiveRestrictedAccess=self._maybe(0.9985, restricted),
                )
        together = [guardian for each, guardian in guardians.items() if at_home[each]]
        self._add_home([*(pupil.name_id for pupil in pupils), *together])
        for relationship, guardian in guardians.items():
            if not at_home[relationship] and (relationship == "Father" or self._chance(0.55)):
                self._add_home([guardian])
        return pupils

    def _add_student(self, number: int, last: str, zone: float) -> Pupil:
        """Add a record and a name."""
        grade, special = self.rng.choices(_GRADES, _GRADE_SHARES)[0], ""
        cycle, place = divmod(len(self.tables[STUDENTS]), 16)
        if place == 5:
            grade, special = 10, _SPECIALS[cycle % len(_SPECIALS)]
        races = self.rng.choices(list(_RACES), _RACE_SHARES, k=2 if self._chance(0.1) else 1)
        name_id = self._add_person(
            "teenager" if grade >= 6 else "child",
            last,
            female=self._chance(0.49),
            # Children are five on 1 September of kindergarten.
            BirthDate=dt.date(self.year + 1994 - grade, 9, 1) - dt.timedelta(days=self.rng.randrange(365)),
            IsHispanic=self._chance(0.52),
            Race=_RACES[races[0]] if len({*races}) == 1 else "Two or More Races",
            **{flag: flag in races for flag in _RACES},
        )
        language = self.rng.choices((1, 2, 3, 4, 5, 6, None), (72, 20, 1, 1, 1, 1, 4))[0]
        student_id = self._add(
            STUDENTS,
            NameID=name_id,
            StudentNumber=f"{number:06d}",
            Grade=grade_code(grade + self.later),
            GradeNumeric=grade + self.later,
            CalculatedStudentStateID=self._maybe(0.995, f"1{number * 97:09d}"),
            LanguageIDPrimary=language,
            LanguageIDNative=self._maybe(0.6, language),
        )
        return Pupil(student_id, name_id, grade, zone, special)

    def _add_person(self, role: str, last: str, *, female: bool, **fields: Any) -> int:
        """Add a name, phones and e-mail addresses. Return the NameID."""
        student = role in ("child", "teenager")
        legal = first_name(self.rng, female=female)
        middle = self._maybe(0.78, first_name(self.rng, female=female))
        first = w.NICKNAMES.get(legal, legal)
        if student or self._chance(0.3):
            fields |= {"FirstNameLegal": legal, "MiddleNameLegal": middle, "LastNameLegal": last}
        if not student and self._chance(0.2):  # most adults' birth dates are unknown
            fields["BirthDate"] = dt.date(1955, 1, 1) + dt.timedelta(days=self.rng.randrange(19_000))
        name_id = self._add(
            NAMES,
            FirstName=first,
            MiddleName=middle,
            LastName=last,
            NameSuffixID=self._maybe(0.0 if female else 0.04, self.rng.randint(1, 5)),
            IsStudentName=student,
            # Some of the staff have children in the district.
            IsGuardianName=role == "guardian" or (role == "staff" and self._chance(0.08)),
            **gender(female=female),
            **fields,
        )
        shares = _REACHED_BY[role]
        kinds = [kind for kind in ("Cell", "Home", "Work") if self._chance(shares.get(kind, 0.0))]
        for rank, kind in enumerate(kinds[::-1] if self._chance(0.1) else kinds, start=1):
            self._add(
                PHONES,
                NameID=name_id,
                **phone_number(self.rng),
                Extension=self._maybe(0.4 if kind == "Work" else 0.0, str(self.rng.randrange(100, 9999))),
                PhoneTypeID=_PHONE_TYPES[kind],
                Rank=rank,
                IsConfidential=self._chance(0.025),
            )
        private = f"example.{self.rng.choice(('com', 'org', 'net'))}"
        plain = re.sub("[^a-z.]", "", unicodedata.normalize("NFKD", f"{first}.{last}").lower())
        mails = self._chance(shares["mail"]) * (1 + self._chance(0.07))
        for rank in range(1, mails + 1):
            domain = private if role == "guardian" else f"{self.slug}.example"
            address = f"{plain}{self.rng.randrange(1, 9999)}@{domain}"
            self._add(EMAILS, NameID=name_id, EmailAddress=address, Rank=rank)
        return name_id

    def _add_home(self, people: Sequence[int]) -> None:
        """Add the address where these live, and for some a PO box as well."""
        boxed = self._chance(0.05)
        for is_box in (False, True) if boxed else (False,):
            address = address_fields(self.rng)
            if is_box:
                number = str(self.rng.randrange(1, 900))
                address |= {"StreetNumberAndNameIncludeSecondaryUnit": None, "POBox": number}
            address_id = self._add(ADDRESSES, **address)
            for name_id in people:
                kind = {"IsMailing": is_box or not boxed, "IsPhysical": not is_box}
                self._add(LINKS, NameID=name_id, AddressID=address_id, **kind)


def address_fields(rng: Random) -> dict[str, Any]:
    """A street address."""
    street = f"{rng.randrange(100, 19_999)} {rng.choice(w.STREETS)} {rng.choice(w.STREET_TYPES)}"
    unit = f" Apt {rng.randrange(1, 40)}" if rng.random() < 0.1 else ""
    return {
        "StreetNumberAndNameIncludeSecondaryUnit": street + unit,
        "AddressLine2": "Lot 7" if rng.random() < 0.01 else None,
        "CountyID": 10 + (rng.random() < 0.06),
        "ZipID": 300 + min(int(rng.expovariate(0.54)), 6) if rng.random() < 0.998 else None,
        "ZipCodeAddOn": str(rng.randrange(1000, 9999)) if rng.random() < 0.35 else None,
    }


def phone_number(rng: Random) -> dict[str, str]:
    """Both columns of a phone number."""
    area, last = rng.choice(w.AREA_CODES), f"{rng.randrange(10_000):04d}"
    return {"PhoneNumber": f"{area}555{last}", "FormattedPhoneNumber": f"({area}) 555-{last}"}


def first_name(rng: Random, *, female: bool) -> str:
    """A first name."""
    return rng.choice(w.GIRLS if female else w.BOYS)


def gender(*, female: bool) -> dict[str, str]:
    """Both columns of a gender."""
    return {"Gender": "Female", "GenderCode": "F"} if female else {"Gender": "Male", "GenderCode": "M"}
