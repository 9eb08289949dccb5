"""Models of what lands for enrollments, and what all raw models share.

Here: Qmlativ's objects behind `raw_enrollments`, columns named as Qmlativ names them. Not here: people
(`raw_people`). Raw frames are as Qmlativ sent them, so these models ask for structure and leave odd content
to the rules.
"""

from typing import ClassVar

import pandas as pd
import pyarrow.compute as pc

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
    optional,
    row_check,
    unique,
)


class RawObject(Table):
    """What every raw table has: a key that is given and stands once, and what could not be read."""

    _key: ClassVar[tuple[str, ...]] = ()
    _repeats: ClassVar[bool] = False  # whether the key may come again, which the rules then deal with

    Unreadable: Text = optional(
        "JSON object, field to value as it came, of the fields with a wrong type; null for a sound row"
    )

    @row_check
    @classmethod
    def the_key_is_given_unless_it_was_unreadable(cls, frame: pd.DataFrame) -> Mask:
        """A key is null only in a row that says so in Unreadable."""
        keys = [given(frame[name]) for name in cls._key]
        if all(key.all() for key in keys):
            return all_true(len(frame))
        return pd.concat(keys, axis="columns").all(axis="columns") | given(frame["Unreadable"])

    @row_check
    @classmethod
    def the_key_stands_once(cls, frame: pd.DataFrame) -> Mask:
        """Two rows with one key would make every lookup a guess."""
        return all_true(len(frame)) if cls._repeats else unique(frame, cls._key, null=True)

    @column_check("Unreadable")
    @classmethod
    def is_a_json_object(cls, column: pd.Series) -> Mask:
        """Else the rules cannot tell which field was unreadable."""
        values = arrow(column)
        return mask(pc.and_(pc.starts_with(values, "{"), pc.ends_with(values, "}")))


class SchoolYear(RawObject):
    """Qmlativ's school years; says which one is the current one and which are upcoming."""

    _key = ("SchoolYearID",)

    SchoolYearID: Integer = optional("Key of the school year (District/SchoolYear)")
    NumericYear: Integer = optional("The calendar year in which the school year ends: 2027 for 2026-2027")
    Description: Text = optional("The school year as shown, such as 2026-2027")
    IsCurrentYearForProvidedEntity: Flag = optional(
        "True for the year that the asked entity is in; null counts as false"
    )
    IsUpcomingYearForProvidedEntity: Flag = optional(
        "True for a year set up in advance; its open enrollments count, so nobody drops out in summer"
    )

    @column_check("IsCurrentYearForProvidedEntity")
    @classmethod
    def one_year_is_current(cls, column: pd.Series) -> bool:
        """Without a current year, every open enrollment would look forgotten and every student inactive."""
        return column.empty or bool(column.fillna(False).any())

    @column_check("NumericYear")
    @classmethod
    def is_a_calendar_year(cls, column: pd.Series) -> Mask:
        """Not the year's id, which is also a number."""
        values = arrow(column)
        return mask(pc.and_(pc.greater_equal(values, 1900), pc.less_equal(values, 2200)))


class Entity(RawObject):
    """Qmlativ's entities: the district itself and its schools."""

    _key = ("EntityID",)

    EntityID: Integer = optional("Key of the entity (District/Entity)")
    Name: Text = optional("The entity's name")


class EntryWithdrawal(RawObject):
    """One enrollment of a student at a school, as it came: repeats, contradictions and gaps included."""

    _key = ("EntryWithdrawalID",)
    _repeats = True

    EntryWithdrawalID: Integer = optional(
        "Key of the enrollment (Enrollment/EntryWithdrawal); may come twice"
    )
    StudentID: Integer = optional("The student; a row without one is set aside")
    EntityID: Integer = optional("The entity in which the student is enrolled")
    SchoolID: Integer = optional("The school in which the student is enrolled")
    SchoolYearID: Integer = optional("The school year of the enrollment")
    StartDate: Day = optional("First day enrolled, inclusive; a row without one is set aside")
    EndDate: Day = optional("Last day enrolled, inclusive; null while open")
    WithdrawalDate: Day = optional(
        "Computed by Qmlativ: in Texas the day after the last one; used where EndDate is null"
    )
    WithdrawalCodeID: Integer = optional("Why the student left; the same code has another id each year")
    IsDefaultEntity: Flag = optional("True at the student's home entity; null counts as false")
    IsCrossEntityCourseEnrollment: Flag = optional(
        "Qmlativ's flag for cross-entity courses; the code CECS decides. Null where not granted"
    )


class WithdrawalCode(RawObject):
    """The withdrawal codes of each school year."""

    _key = ("WithdrawalCodeID",)
    _repeats = True

    WithdrawalCodeID: Integer = optional("Key of the code (Enrollment/WithdrawalCode); another one each year")
    Code: Text = optional("The code; text: 01 is not 1. CECS marks a cross-entity course enrollment")


class School(RawObject):
    """The schools of each school year: a student's building."""

    _key = ("SchoolID", "SchoolYearID")
    _repeats = True

    SchoolID: Integer = optional("Key of the school (Enrollment/School)")
    Name: Text = optional("The school's name: the student's building")
    StateAssignedID: Text = optional("The state's number of the school (in Texas nine digits); text")
    SchoolYearID: Integer = optional("The school year for which name and number hold")

    @row_check
    @classmethod
    def one_name_and_number_per_school_and_year(cls, frame: pd.DataFrame) -> Mask:
        """The same row may come again; two different ones would make the building a guess."""
        once = frame[["SchoolID", "SchoolYearID", "Name", "StateAssignedID"]].drop_duplicates()
        clashing = once.loc[once.duplicated(["SchoolID", "SchoolYearID"], keep=False)].index
        return pd.Series(~frame.index.isin(clashing))
