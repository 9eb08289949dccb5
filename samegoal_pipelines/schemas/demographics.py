"""Models of who students and parents are, as published.

Here: `StudentDemographics`, `ParentDemographics` and its published form. Not here: how they come about
(transforms).
"""

import pandas as pd

from samegoal_pipelines.schemas.fields import (
    Day,
    Flag,
    Integer,
    Mask,
    Table,
    Text,
    all_true,
    arrow,
    column_check,
    given,
    mask,
    mostly,
    optional,
    required,
    row_check,
    unique,
    years_between,
)

PARENT_CONTACTS = ("street", "city", "state", "zip", "home_phone", "cell_phone", "work_phone", "email")


class StudentDemographics(Table):
    """One row per student with a status: who they are, where they live, how to reach them."""

    student_id: Integer = required("Qmlativ's StudentID")
    student_number: Text = optional("Student.StudentNumber as it came; text, leading zeros belong to it")
    student_reporting_id: Text = optional("Student.CalculatedStudentStateID; text")
    first_name: Text = optional("Name.FirstName")
    middle_name: Text = optional("Name.MiddleName")
    last_name: Text = optional("Name.LastName")
    suffix: Text = optional("NameSuffix.Description, else its Code")
    legal_first_name: Text = optional("Name.FirstNameLegal")
    legal_middle_name: Text = optional("Name.MiddleNameLegal")
    legal_last_name: Text = optional("Name.LastNameLegal")
    birth_date: Day = optional("Name.BirthDate")
    gender: Text = optional("Name.Gender, else GenderCode")
    grade: Text = optional(
        "Student.Grade in the school year of the deciding enrollment, else in the latest year; text"
    )
    race: Text = optional("Name.Race")
    is_hispanic: Flag = optional("Name.IsHispanic; null where not granted or not answered")
    is_white: Flag = optional("Name.IsWhite; null where not granted or not answered")
    is_black: Flag = optional("Name.IsBlack; null where not granted or not answered")
    is_asian: Flag = optional("Name.IsAsian; null where not granted or not answered")
    is_native_american: Flag = optional("Name.IsAlaskan; null where not granted or not answered")
    is_pacific_islander: Flag = optional("Name.IsHawaiian; null where not granted or not answered")
    home_language: Text = optional("Language.Description of LanguageIDPrimary, else of LanguageIDNative")
    street: Text = optional("Where the student lives, else gets mail; a PO box where there is no street")
    city: Text = optional("Zip.City of that address")
    state: Text = optional("State.Code of that address")
    zip: Text = optional("Zip.ZipCode of that address, with ZipCodeAddOn after a hyphen; text")
    county: Text = optional("County.Name of that address")
    phone: Text = optional("The first phone by rank that is not confidential")
    email: Text = optional("The first e-mail address by rank")
    building: Text = optional("The school of the deciding enrollment")
    building_reporting_id: Text = optional("That school's number at the state; text")

    @row_check
    @classmethod
    def a_student_stands_once(cls, frame: pd.DataFrame) -> Mask:
        """One row per student."""
        return unique(frame, ("student_id",))

    @column_check("birth_date")
    @classmethod
    def mostly_lies_in_1980_to_2100(cls, column: pd.Series) -> Mask:
        """One odd date is a typing error, many are a date read wrongly."""
        return mostly(years_between(column, 1980, 2100))


class StudentsWithoutRecord(Table):
    """Students with a status whom Student or Name does not know: what was last published about them stays."""

    student_id: Integer = required("Qmlativ's StudentID")

    @row_check
    @classmethod
    def a_student_stands_once(cls, frame: pd.DataFrame) -> Mask:
        """One row per student."""
        return unique(frame, ("student_id",))


class ShownParents(Table):
    """One row per student and parent: who they are to the student, and how to reach them.

    Of a district that shows the contacts of parents under restriction; any other's are `ParentDemographics`.
    """

    student_id: Integer = required("Qmlativ's StudentID")
    parent_id: Integer = required("Qmlativ's NameIDGuardian")
    relationship: Text = optional("Relationship.Description, else its Code")
    rank: Integer = optional("StudentGuardian.Rank: 1 is the first to turn to")
    first_name: Text = optional("Name.FirstName")
    middle_name: Text = optional("Name.MiddleName")
    last_name: Text = optional("Name.LastName")
    suffix: Text = optional("NameSuffix.Description, else its Code")
    is_custodial: Flag = optional("StudentGuardian.IsCustodialGuardian")
    is_emergency_contact: Flag = optional("StudentGuardian.IsEmergencyContact")
    has_restricted_access: Flag = optional(
        "StudentGuardian.HasActiveRestrictedAccess of any row of the pair; an unanswered one counts as true. "
        "True: all contact columns are empty. Null where the field is not granted"
    )
    home_language: Text = optional("Always null: Qmlativ has no field for it")
    street: Text = optional("Where mail goes, else where the parent lives; a PO box where there is no street")
    city: Text = optional("Zip.City of that address")
    state: Text = optional("State.Code of that address")
    zip: Text = optional("Zip.ZipCode of that address, with ZipCodeAddOn after a hyphen; text")
    home_phone: Text = optional("First phone by rank whose type is home, unless confidential")
    cell_phone: Text = optional("First phone by rank whose type is cell or mobile, unless confidential")
    work_phone: Text = optional("First phone by rank whose type is work or business, unless confidential")
    email: Text = optional("The first e-mail address by rank")

    @row_check
    @classmethod
    def a_parent_stands_once_per_student(cls, frame: pd.DataFrame) -> Mask:
        """Repeated guardianships are one."""
        return unique(frame, ("student_id", "parent_id"))

    @column_check("has_restricted_access")
    @classmethod
    def is_answered_for_all_or_for_none(cls, column: pd.Series) -> Mask:
        """The field is granted or not; where it is, an unanswered one was counted as true."""
        known = given(column)
        return known if known.any() else all_true(len(known))


class ParentDemographics(ShownParents):
    """One row per student and parent: who they are to the student, and how to reach them."""

    @row_check
    @classmethod
    def restricted_access_leaves_no_contact(cls, frame: pd.DataFrame) -> Mask:
        """What must not be passed on is not there."""
        restricted = mask(arrow(frame["has_restricted_access"]), null=False)
        if not restricted.any():
            return all_true(len(frame))
        reachable = pd.concat([given(frame[name]) for name in PARENT_CONTACTS], axis="columns").any(
            axis="columns"
        )
        return ~(restricted & reachable)


class RestrictionKnown(Table):
    """Whether tonight tells who is under restriction: one row, also where there is no parent."""

    is_known: Flag = required("StudentGuardian.HasActiveRestrictedAccess is granted")


class WithholdingUsed(Table):
    """By which of the district's switches contacts were put together: one row."""

    shows_restricted_contacts: Flag = required("Contacts of parents under active restricted access are in it")
    shows_confidential_phones: Flag = required("Phones that are marked as confidential are in it")


class RestrictedPairs(Table):
    """Students and guardians between whom access is restricted tonight, whoever is published tonight."""

    student_id: Integer = required("Qmlativ's StudentID")
    parent_id: Integer = required("Qmlativ's NameIDGuardian")

    @row_check
    @classmethod
    def a_pair_stands_once(cls, frame: pd.DataFrame) -> Mask:
        """Each student and guardian once."""
        return unique(frame, ("student_id", "parent_id"))


class ConfidentialPhones(Table):
    """Phone numbers that are confidential tonight, of students and parents, whoever is published tonight."""

    student_id: Integer = optional("Qmlativ's StudentID; null: the number is a parent's")
    parent_id: Integer = optional("Qmlativ's NameIDGuardian; null: the number is a student's own")
    digits: Text = required(
        "The number without country code and extension, digits only; empty where nobody can read it, which "
        "withholds all phones of that person"
    )

    @row_check
    @classmethod
    def a_number_is_one_person_s(cls, frame: pd.DataFrame) -> Mask:
        """Either a student's or a parent's."""
        return given(frame["student_id"]) ^ given(frame["parent_id"])


class PublishedParents(ParentDemographics):
    """The parents as published: with the number by which the district knows the student."""

    student_number: Text = optional("The student's number, as in student_demographics")


class ShownPublishedParents(ShownParents):
    """The same, of a district that shows the contacts of parents under restriction."""

    student_number: Text = optional("The student's number, as in student_demographics")


def parents_model(show_restricted_contacts: bool) -> type[ShownParents]:
    """The model of `parent_demographics`: contacts under restriction break it unless they are to be shown."""
    return ShownParents if show_restricted_contacts else ParentDemographics


def published_parents_model(show_restricted_contacts: bool) -> type[ShownParents]:
    """The model of the parents as published, likewise."""
    return ShownPublishedParents if show_restricted_contacts else PublishedParents
