"""Which Qmlativ fields each column comes from, asset by asset: the one map behind lineage and field grants.

Here: for every column of every table the fields or columns that make it, and from these what a missing field
costs. Not here: how a value is made (transforms), which fields are asked for (qmlativ), Dagster.

A source is written `asset.column`; the columns of a raw asset are `Object.Field`, those of
`published_snapshot` `view.column`. Only what a value is made of or chosen by counts as a source; which rows
there are at all is told by the sources of a table's keys.
"""

from collections.abc import Collection
from functools import cache
from typing import NamedTuple


class Origin(NamedTuple):
    """The sources of a column.

    `needs` are groups of sources, of each of which one at least must be there, or the column is empty; the
    first of a group goes before the others. The last group is the value itself, those before lead to it.
    `also` shape the value or choose it among several.
    """

    needs: tuple[tuple[str, ...], ...]
    also: tuple[str, ...] = ()
    worked_out: bool = False
    """Whether the rules make the value out of all its sources, rather than take it from one."""

    @property
    def value(self) -> tuple[str, ...]:
        """What the value itself is taken from: the first of these that is there; or worked out of."""
        return self.sources if self.worked_out else self.needs[-1]

    @property
    def sources(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys(source for group in (*self.needs, self.also) for source in group))


def _of(asset: str, *needs: str | tuple[str, ...], also: Collection[str] = ()) -> Origin:
    """An origin in one asset; a source in `student_status`, which says who is there, is written with it."""

    def at(source: str) -> str:
        return source if source.startswith("student_status.") else f"{asset}.{source}"

    groups = ((need,) if isinstance(need, str) else need for need in needs)
    return Origin(tuple(tuple(at(one) for one in group) for group in groups), tuple(at(one) for one in also))


# -- enrollments and status --

_CODE = ("EntryWithdrawal.WithdrawalCodeID", "WithdrawalCode.WithdrawalCodeID", "WithdrawalCode.Code")
_SCHOOL = ("EntryWithdrawal.SchoolID", "School.SchoolID")
_SCHOOL_IN_YEAR = ("EntryWithdrawal.SchoolYearID", "School.SchoolYearID")
_CURRENT_YEARS = (
    "EntryWithdrawal.SchoolYearID",
    "SchoolYear.SchoolYearID",
    "SchoolYear.IsCurrentYearForProvidedEntity",
    "SchoolYear.IsUpcomingYearForProvidedEntity",
)
_DATES = ("EntryWithdrawal.StartDate", "EntryWithdrawal.EndDate", "EntryWithdrawal.WithdrawalDate")


def _enrollment(*needs: str | tuple[str, ...], also: Collection[str] = ()) -> Origin:
    return _of("raw_enrollments", *needs, also=also)


_ENROLLMENTS = {
    "enrollment_id": _enrollment(
        "EntryWithdrawal.EntryWithdrawalID", also=(*_DATES, *_CODE, *_CURRENT_YEARS)
    ),
    "student_id": _enrollment("EntryWithdrawal.StudentID"),
    "entity_id": _enrollment("EntryWithdrawal.EntityID"),
    "school_id": _enrollment("EntryWithdrawal.SchoolID"),
    "school_year_id": _enrollment("EntryWithdrawal.SchoolYearID"),
    "building": _enrollment(*_SCHOOL, "School.Name", also=_SCHOOL_IN_YEAR),
    "building_reporting_id": _enrollment(*_SCHOOL, "School.StateAssignedID", also=_SCHOOL_IN_YEAR),
    "first_day": _enrollment("EntryWithdrawal.StartDate"),
    "last_day": _enrollment(("EntryWithdrawal.EndDate", "EntryWithdrawal.WithdrawalDate")),
    "withdrawal_code": _enrollment(*_CODE),
    "is_default_entity": _enrollment("EntryWithdrawal.IsDefaultEntity"),
    "is_cross_entity_course": _enrollment("EntryWithdrawal.IsCrossEntityCourseEnrollment"),
}

_DECIDES = ("student_id", "first_day", "last_day", "is_default_entity", "enrollment_id")


def _deciding(column: str, *also: str) -> Origin:
    """A column of the enrollment that decides the status."""
    return _of("cecs_filtered_enrollments", column, also=(*also, *(one for one in _DECIDES if one != column)))


_STATUS = {
    "student_id": _of("cecs_filtered_enrollments", "student_id"),
    "status": _deciding("first_day", "withdrawal_code")._replace(worked_out=True),
    "reason": _deciding("first_day", "withdrawal_code")._replace(worked_out=True),
    **{
        column: _deciding(column)
        for column in (
            "enrollment_id",
            "first_day",
            "last_day",
            "withdrawal_code",
            "school_year_id",
            "entity_id",
            "building",
            "building_reporting_id",
        )
    },
}

# -- people --

_ADDRESS = ("NameAddress.NameID", "NameAddress.AddressID", "Address.AddressID")
_BEST_ADDRESS = ("NameAddress.IsPhysical", "NameAddress.IsMailing", "NameAddress.NameAddressID")
_ZIP = (*_ADDRESS, "Address.ZipID", "Zip.ZipID")
_NUMBERS = ("NamePhone.FormattedPhoneNumber", "NamePhone.PhoneNumber")
_MAY_BE_CALLED = ("NamePhone.NameID", "NamePhone.IsConfidential")
_FIRST_PHONE = ("NamePhone.Extension", "NamePhone.Rank", "NamePhone.NamePhoneID")
_KIND = ("NamePhone.PhoneTypeID", "PhoneType.PhoneTypeID", ("PhoneType.Code", "PhoneType.Description"))
_SUFFIX = (
    "Name.NameSuffixID",
    "NameSuffix.NameSuffixID",
    ("NameSuffix.Description", "NameSuffix.Code"),
)


def _contacts(
    asset: str, person: tuple[str, ...], withheld_by: tuple[str, ...], phones: dict[str, bool]
) -> dict[str, Origin]:
    """Address, phones (column → whether the kind of phone matters) and e-mail of a person."""

    def contact(*needs: str | tuple[str, ...], also: Collection[str]) -> Origin:
        return _of(asset, *person, *needs, also=(*also, *withheld_by))

    streets = ("Address.StreetNumberAndNameIncludeSecondaryUnit", "Address.POBox")
    return {
        "street": contact(*_ADDRESS, streets, also=("Address.AddressLine2", *_BEST_ADDRESS)),
        "city": contact(*_ZIP, "Zip.City", also=_BEST_ADDRESS),
        "state": contact(*_ZIP, "Zip.StateID", "State.StateID", "State.Code", also=_BEST_ADDRESS),
        "zip": contact(*_ZIP, "Zip.ZipCode", also=("Address.ZipCodeAddOn", *_BEST_ADDRESS)),
        "county": contact(
            *_ADDRESS, "Address.CountyID", "County.CountyID", "County.Name", also=_BEST_ADDRESS
        ),
        **{
            column: contact(*_MAY_BE_CALLED, *(_KIND if by_kind else ()), _NUMBERS, also=_FIRST_PHONE)
            for column, by_kind in phones.items()
        },
        "email": contact(
            "NameEmail.NameID", "NameEmail.EmailAddress", also=("NameEmail.Rank", "NameEmail.NameEmailID")
        ),
    }


_RECORD = ("student_status.student_id", "Student.StudentID")
_RECORD_OF_YEAR = ("student_status.school_year_id",)
_STUDENT = (*_RECORD, "Student.NameID", "Name.NameID")


def _record(*needs: str | tuple[str, ...]) -> Origin:
    return _of("raw_students", *_RECORD, *needs, also=_RECORD_OF_YEAR)


def _student(*needs: str | tuple[str, ...]) -> Origin:
    return _of("raw_students", *_STUDENT, *needs, also=_RECORD_OF_YEAR)


_STUDENTS = {
    "student_id": _of("raw_students", *_STUDENT, "student_status.student_id"),
    "student_number": _record("Student.StudentNumber"),
    "student_reporting_id": _record("Student.CalculatedStudentStateID"),
    "grade": _record("Student.Grade"),
    "home_language": _record(
        ("Student.LanguageIDPrimary", "Student.LanguageIDNative"),
        "Language.LanguageID",
        "Language.Description",
    ),
    **{
        column: _student(f"Name.{field}")
        for column, field in {
            "first_name": "FirstName",
            "middle_name": "MiddleName",
            "last_name": "LastName",
            "legal_first_name": "FirstNameLegal",
            "legal_middle_name": "MiddleNameLegal",
            "legal_last_name": "LastNameLegal",
            "birth_date": "BirthDate",
            "race": "Race",
            "is_hispanic": "IsHispanic",
            "is_white": "IsWhite",
            "is_black": "IsBlack",
            "is_asian": "IsAsian",
            "is_native_american": "IsAlaskan",
            "is_pacific_islander": "IsHawaiian",
        }.items()
    },
    "suffix": _student(*_SUFFIX),
    "gender": _student(("Name.Gender", "Name.GenderCode")),
    **_contacts("raw_students", _STUDENT, _RECORD_OF_YEAR, {"phone": False}),
    "building": _of("student_status", "building"),
    "building_reporting_id": _of("student_status", "building_reporting_id"),
}

_GUARDIAN = ("StudentGuardian.NameIDGuardian", "Name.NameID")
_PAIR = ("StudentGuardian.StudentID", "StudentGuardian.NameIDGuardian")
_FIRST_GUARDIANSHIP = (*_PAIR, "StudentGuardian.Rank", "StudentGuardian.StudentGuardianID")
_RESTRICTED = "StudentGuardian.HasActiveRestrictedAccess"


def _guardianship(*needs: str | tuple[str, ...]) -> Origin:
    return _of("raw_parents", *needs, also=_FIRST_GUARDIANSHIP)


_PARENTS = {
    "student_id": _of("raw_parents", "student_status.student_id", "StudentGuardian.StudentID"),
    "parent_id": _of("raw_parents", "Name.NameID", "StudentGuardian.NameIDGuardian"),
    "relationship": _guardianship(
        "StudentGuardian.RelationshipID",
        "Relationship.RelationshipID",
        ("Relationship.Description", "Relationship.Code"),
    ),
    "rank": _guardianship("StudentGuardian.Rank"),
    "is_custodial": _guardianship("StudentGuardian.IsCustodialGuardian"),
    "is_emergency_contact": _guardianship("StudentGuardian.IsEmergencyContact"),
    "has_restricted_access": _of("raw_parents", _RESTRICTED, also=_PAIR),
    **{
        column: _of("raw_parents", *_GUARDIAN, f"Name.{field}")
        for column, field in {
            "first_name": "FirstName",
            "middle_name": "MiddleName",
            "last_name": "LastName",
        }.items()
    },
    "suffix": _of("raw_parents", *_GUARDIAN, *_SUFFIX),
    **{
        column: origin
        for column, origin in _contacts(
            "raw_parents",
            _GUARDIAN,
            (_RESTRICTED, *_PAIR),
            {"home_phone": True, "cell_phone": True, "work_phone": True},
        ).items()
        if column != "county"
    },
}

# -- what is published --

VIEWS = {
    "student_status": _STATUS,
    "student_demographics": _STUDENTS,
    "parent_demographics": _PARENTS,
}
_STUDENT_NUMBER = Origin((("student_demographics.student_number",),))
_PUBLISHED = {
    f"{view}.{column}": Origin(((f"{view}.{column}",),))
    for view, columns in VIEWS.items()
    for column in columns
} | {f"{view}.student_number": _STUDENT_NUMBER for view in VIEWS}

LINEAGE: dict[str, dict[str, Origin]] = {
    "cecs_filtered_enrollments": _ENROLLMENTS,
    **VIEWS,
    "published_snapshot": _PUBLISHED,
}
"""Asset → column → its sources."""

CONSTANT = {
    "parent_demographics": {"home_language": "Always null: Qmlativ has no field for it"},
    "published_snapshot": {
        **{f"{view}.district_id": "The district, as registered" for view in VIEWS},
        **{f"{view}.snapshot_date": "The night that wrote the row" for view in VIEWS},
        "parent_demographics.home_language": "Always null: Qmlativ has no field for it",
    },
}
"""Asset → column → what stands in it, of the columns that come from nowhere."""


@cache
def fields_behind(source: str) -> frozenset[str]:
    """The Qmlativ fields (`raw asset.Object.Field`) that a column (`asset.column`) comes from in the end."""
    asset, _, column = source.partition(".")
    if asset not in LINEAGE:
        return frozenset({source})
    origin = LINEAGE[asset].get(column)
    return frozenset().union(*map(fields_behind, origin.sources)) if origin else frozenset()


def empty_without(missing: Collection[str]) -> tuple[str, ...]:
    """The published columns (`view.column`) that are empty where these Qmlativ fields are not granted."""
    return tuple(
        column for column in _PUBLISHED if _is_empty(f"published_snapshot.{column}", frozenset(missing))
    )


def fed_by(field: str) -> tuple[str, ...]:
    """The published columns (`view.column`) whose value is made of this field, maybe in place of another."""
    return tuple(column for column in _PUBLISHED if field in _made_of(f"published_snapshot.{column}"))


def _is_empty(source: str, missing: frozenset[str]) -> bool:
    asset, _, column = source.partition(".")
    if asset not in LINEAGE:
        return source in missing
    return any(all(_is_empty(one, missing) for one in group) for group in LINEAGE[asset][column].needs)


@cache
def _made_of(source: str) -> frozenset[str]:
    asset, _, column = source.partition(".")
    if asset not in LINEAGE:
        return frozenset({source})
    needed = (one for group in LINEAGE[asset][column].needs for one in group)
    return frozenset().union(*map(_made_of, needed))
