"""The Qmlativ objects and fields that are read, with their declared types, and which asset needs which.

The only place that names Qmlativ's objects and fields. Least data: a field that nothing uses is not listed,
and so never asked for. Types are declared, never inferred. No request and no Arrow here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

FieldType = Literal["integer", "text", "date", "flag"]
Asset = Literal["raw_enrollments", "raw_students", "raw_parents"]


class Field(NamedTuple):
    """A field as it is asked for. One that is `optional` may be refused by a district, and is null then."""

    name: str
    type: FieldType
    optional: bool = False


@dataclass(frozen=True)
class QmlativObject:
    """An object as it is asked for, always ordered by its primary `key`.

    `only` names a flag that must be true (a SearchCondition). A `year_bound` object is read once per school
    year. Where `keep_repeats` is set, rows that come twice are left to the transform, which has a rule for
    them.
    """

    path: str
    key: str
    fields: tuple[Field, ...]
    year_bound: bool = False
    only: str | None = None
    keep_repeats: bool = False

    @property
    def name(self) -> str:
        """Name without its module, by which raw frames are known: `EntryWithdrawal`."""
        return self.path.rpartition("/")[2]

    @property
    def label(self) -> str:
        """Name for people, and unique: `Demographics/Name (IsStudentName)`."""
        return f"{self.path} ({self.only})" if self.only else self.path

    def listing(self, school_year_id: int | None) -> str:
        """Name of this object as read for one school year, or for none."""
        return self.label if school_year_id is None else f"{self.label}?SchoolYearID={school_year_id}"


def _integer(*names: str, optional: bool = False) -> tuple[Field, ...]:
    return tuple(Field(name, "integer", optional) for name in names)


def _text(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "text") for name in names)


def _date(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "date") for name in names)


def _flag(*names: str, optional: bool = False) -> tuple[Field, ...]:
    return tuple(Field(name, "flag", optional) for name in names)


def _lookup(path: str) -> QmlativObject:
    """A short list of codes with their descriptions."""
    key = path.rpartition("/")[2] + "ID"
    return QmlativObject(path, key, (*_integer(key), *_text("Code", "Description")))


SCHOOL_YEAR = QmlativObject(
    "District/SchoolYear",
    "SchoolYearID",
    (
        *_integer("SchoolYearID", "NumericYear"),
        *_text("Description"),
        *_flag("IsCurrentYearForProvidedEntity", "IsUpcomingYearForProvidedEntity"),
    ),
)
ENTITY = QmlativObject(
    "District/Entity",
    "EntityID",
    (*_integer("EntityID"), *_text("Name")),
)
ENTRY_WITHDRAWAL = QmlativObject(
    "Enrollment/EntryWithdrawal",
    "EntryWithdrawalID",
    (
        *_integer("EntryWithdrawalID", "StudentID", "EntityID", "SchoolID", "SchoolYearID"),
        *_date("StartDate", "EndDate", "WithdrawalDate"),
        *_integer("WithdrawalCodeID"),
        *_flag("IsDefaultEntity"),
        *_flag("IsCrossEntityCourseEnrollment", optional=True),
    ),
    year_bound=True,
    keep_repeats=True,
)
WITHDRAWAL_CODE = QmlativObject(
    "Enrollment/WithdrawalCode",
    "WithdrawalCodeID",
    (*_integer("WithdrawalCodeID"), *_text("Code")),
    year_bound=True,
)
SCHOOL = QmlativObject(
    "Enrollment/School",
    "SchoolID",
    (*_integer("SchoolID"), *_text("Name", "StateAssignedID"), *_integer("SchoolYearID")),
    year_bound=True,
)
STUDENT = QmlativObject(
    "Student/Student",
    "StudentID",
    (
        *_integer("StudentID", "NameID"),
        *_text("StudentNumber", "Grade", "CalculatedStudentStateID"),
        *_integer("LanguageIDPrimary", "LanguageIDNative", optional=True),
    ),
    year_bound=True,
)
_PERSON = (*_integer("NameID"), *_text("FirstName", "MiddleName", "LastName"), *_integer("NameSuffixID"))
STUDENT_NAME = QmlativObject(
    "Demographics/Name",
    "NameID",
    (
        *_PERSON,
        *_text("FirstNameLegal", "MiddleNameLegal", "LastNameLegal"),
        *_date("BirthDate"),
        *_text("Gender", "GenderCode", "Race"),
        *_flag("IsHispanic", "IsWhite", "IsBlack", "IsAsian", "IsAlaskan", "IsHawaiian", optional=True),
    ),
    only="IsStudentName",
)
GUARDIAN_NAME = QmlativObject("Demographics/Name", "NameID", _PERSON, only="IsGuardianName")
STUDENT_GUARDIAN = QmlativObject(
    "Family/StudentGuardian",
    "StudentGuardianID",
    (
        *_integer("StudentGuardianID", "StudentID", "NameIDGuardian", "RelationshipID", "Rank"),
        *_flag("IsCustodialGuardian", "IsEmergencyContact"),
        *_flag("HasActiveRestrictedAccess", optional=True),
    ),
)
NAME_PHONE = QmlativObject(
    "Demographics/NamePhone",
    "NamePhoneID",
    (
        *_integer("NamePhoneID", "NameID"),
        *_text("PhoneNumber", "FormattedPhoneNumber", "Extension"),
        *_integer("PhoneTypeID", "Rank"),
        *_flag("IsConfidential"),
    ),
)
NAME_EMAIL = QmlativObject(
    "Demographics/NameEmail",
    "NameEmailID",
    (*_integer("NameEmailID", "NameID"), *_text("EmailAddress"), *_integer("Rank")),
)
NAME_ADDRESS = QmlativObject(
    "Demographics/NameAddress",
    "NameAddressID",
    (*_integer("NameAddressID", "NameID", "AddressID"), *_flag("IsMailing", "IsPhysical")),
)
ADDRESS = QmlativObject(
    "Demographics/Address",
    "AddressID",
    (
        *_integer("AddressID"),
        *_text("StreetNumberAndNameIncludeSecondaryUnit", "AddressLine2", "POBox"),
        *_integer("CountyID", "ZipID"),
        *_text("ZipCodeAddOn"),
    ),
)
ZIP = QmlativObject(
    "Demographics/Zip", "ZipID", (*_integer("ZipID"), *_text("City", "ZipCode"), *_integer("StateID"))
)
COUNTY = QmlativObject("Demographics/County", "CountyID", (*_integer("CountyID"), *_text("Name")))
STATE = QmlativObject("SkySys/State", "StateID", (*_integer("StateID"), *_text("Code")))
NAME_SUFFIX = _lookup("Demographics/NameSuffix")
PHONE_TYPE = _lookup("Demographics/PhoneType")
LANGUAGE = QmlativObject(
    "Demographics/Language", "LanguageID", (*_integer("LanguageID"), *_text("Description"))
)
RELATIONSHIP = _lookup("Demographics/Relationship")

# The bulky ones first: whoever reads them all at once starts with those that take longest.
_CONTACTS = (NAME_ADDRESS, ADDRESS, NAME_PHONE, NAME_EMAIL, ZIP, COUNTY, STATE, PHONE_TYPE, NAME_SUFFIX)
NEEDED: dict[Asset, tuple[QmlativObject, ...]] = {
    "raw_enrollments": (ENTRY_WITHDRAWAL, WITHDRAWAL_CODE, SCHOOL, SCHOOL_YEAR, ENTITY),
    "raw_students": (STUDENT, STUDENT_NAME, *_CONTACTS, LANGUAGE),
    "raw_parents": (STUDENT_GUARDIAN, GUARDIAN_NAME, *_CONTACTS, RELATIONSHIP),
}
OBJECTS: dict[str, QmlativObject] = {
    wanted.label: wanted for objects in NEEDED.values() for wanted in objects
}

# What others wait for first, and then those of which a district has the most rows; the rest is short.
_MOST_URGENT = (
    SCHOOL_YEAR,
    ENTITY,
    NAME_ADDRESS,
    NAME_PHONE,
    STUDENT_GUARDIAN,
    NAME_EMAIL,
    GUARDIAN_NAME,
    STUDENT,
    STUDENT_NAME,
    ENTRY_WITHDRAWAL,
    ADDRESS,
)


def urgency(wanted: QmlativObject) -> int:
    """From 1, which comes first: a long listing that begins late is the last to end."""
    ranked = wanted in _MOST_URGENT
    return 1 + (_MOST_URGENT.index(wanted) if ranked else len(_MOST_URGENT))
