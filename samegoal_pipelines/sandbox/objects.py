"""The Qmlativ objects that the sandbox knows: their fields, types, primary keys and which are year-bound.

Only declarations live here. No rows, no HTTP, and nothing that other rooms may import: the client has its
own catalogue, so that a slip in one is noticed by the other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

RAW = "_raw_json"
"""A hidden text column: where set, a JSON object of field → value, served in place of the typed cells."""

_INTEGER_FIELD = re.compile(
    r"ID(Primary|Native|Guardian|Current)?$|^(NumericYear|Rank|GradYear|GradeNumeric)$"
)
_TEXT_DESPITE_ITS_NAME = frozenset({"StateAssignedID", "CalculatedStudentStateID"})


@dataclass(frozen=True)
class SandboxObject:
    """One Module/Object: its fields in order (the first is the primary key) with their Arrow types."""

    name: str
    types: Mapping[str, Any]
    optional: frozenset[str]
    year_bound: bool

    @property
    def key(self) -> str:
        """The primary key."""
        return next(iter(self.types))

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of this object's table, without the hidden column."""
        return pa.schema(list(self.types.items()))


def type_of(field: str) -> Any:
    """The Arrow type that a field of this name has; Qmlativ's names tell it."""
    if _INTEGER_FIELD.search(field) and field not in _TEXT_DESPITE_ITS_NAME:
        return pa.int64()
    if field.startswith(("Is", "Has", "Allow")):
        return pa.bool_()
    if field.endswith("Date"):
        return pa.date32()
    return pa.string()


def _declare(name: str, fields: str, *, year_bound: bool = False) -> SandboxObject:
    names = fields.split()
    return SandboxObject(
        name=name,
        types={field.rstrip("*"): type_of(field.rstrip("*")) for field in names},
        optional=frozenset(field.rstrip("*") for field in names if field.endswith("*")),
        year_bound=year_bound,
    )


OBJECTS: dict[str, SandboxObject] = {
    declared.name: declared
    for declared in (
        _declare(
            "District/SchoolYear",
            "SchoolYearID NumericYear Description IsCurrentYearForProvidedEntity "
            "IsUpcomingYearForProvidedEntity",
        ),
        _declare("District/Entity", "EntityID Code Name DistrictID IsDistrictWide SchoolYearIDCurrent"),
        _declare(
            "Enrollment/EntryWithdrawal",
            "EntryWithdrawalID StudentID EntityID SchoolID SchoolYearID CalendarID StartDate EndDate "
            "WithdrawalDate "
            "WithdrawalCodeID EntryCodeID StudentTypeID IsDefaultEntity IsCrossEntityCourseEnrollment* "
            "IsNoShow*",
            year_bound=True,
        ),
        _declare(
            "Enrollment/WithdrawalCode",
            "WithdrawalCodeID Code Description DistrictID SchoolYearID Type TypeCode",
            year_bound=True,
        ),
        _declare("Enrollment/School", "SchoolID Code Name StateAssignedID SchoolYearID", year_bound=True),
        # Year-bound without a SchoolYearID of its own: its Grade is computed for the year that is asked for.
        _declare(
            "Student/Student",
            "StudentID NameID StudentNumber Grade GradeNumeric GradYear CalculatedStudentStateID "
            "LanguageIDPrimary* LanguageIDNative*",
        ),
        _declare(
            "Demographics/Name",
            "NameID FirstName MiddleName LastName FirstNameLegal MiddleNameLegal LastNameLegal NameSuffixID "
            "BirthDate "
            "Gender GenderCode Ethnicity Race EthnicityAndRace IsHispanic* IsWhite* IsBlack* IsAsian* "
            "IsAlaskan* "
            "IsHawaiian* IsStudentName IsGuardianName",
        ),
        _declare("Demographics/NameSuffix", "NameSuffixID Code Description"),
        _declare(
            "Demographics/NamePhone",
            "NamePhoneID NameID PhoneNumber FormattedPhoneNumber Extension PhoneTypeID Rank IsConfidential",
        ),
        _declare("Demographics/PhoneType", "PhoneTypeID Code Description"),
        _declare("Demographics/NameEmail", "NameEmailID NameID EmailAddress EmailTypeID Rank"),
        _declare("Demographics/NameAddress", "NameAddressID NameID AddressID IsMailing IsPhysical"),
        _declare(
            "Demographics/Address",
            "AddressID StreetNumberAndNameIncludeSecondaryUnit AddressLine2 POBox CountyID ZipID "
            "ZipCodeAddOn",
        ),
        _declare("Demographics/Zip", "ZipID City ZipCode StateID"),
        _declare("Demographics/County", "CountyID Name"),
        _declare("SkySys/State", "StateID Code"),
        _declare("Demographics/Language", "LanguageID Code Description"),
        _declare("Demographics/Relationship", "RelationshipID Code Description"),
        _declare(
            "Family/StudentGuardian",
            "StudentGuardianID StudentID NameIDGuardian RelationshipID Rank IsCustodialGuardian "
            "IsEmergencyContact "
            "AllowFamilyAccess HasActiveRestrictedAccess*",
        ),
    )
}
