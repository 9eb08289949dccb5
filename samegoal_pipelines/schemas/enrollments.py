"""Models of enrollments after the rules: those that count, and those left out with a reason.

Here: `FilteredEnrollments` and `LeftOutEnrollments`. Not here: the rules (transforms/enrollments).
"""

import pandas as pd
import pyarrow.compute as pc

from samegoal_pipelines.schemas.fields import (
    Day,
    Flag,
    Integer,
    Mask,
    SharedText,
    Table,
    arrow,
    column_check,
    each_text,
    given,
    mask,
    mostly,
    not_before,
    one_of,
    optional,
    required,
    row_check,
    unique,
    years_between,
)
from samegoal_pipelines.schemas.vocabulary import CECS, FILTERED, SET_ASIDE


class FilteredEnrollments(Table):
    """The enrollments that count: at the home campus, within the import window, and sound."""

    enrollment_id: Integer = required("Qmlativ's EntryWithdrawalID")
    student_id: Integer = required("Qmlativ's StudentID")
    entity_id: Integer = optional("Qmlativ's EntityID")
    school_id: Integer = optional("Qmlativ's SchoolID")
    school_year_id: Integer = optional(
        "Qmlativ's SchoolYearID; an open enrollment counts only in a current or upcoming year"
    )
    building: SharedText = optional("School.Name in that year, else in the latest year that lists the school")
    building_reporting_id: SharedText = optional("School.StateAssignedID, looked up like the building")
    first_day: Day = required("StartDate: the first day enrolled")
    last_day: Day = optional(
        "EndDate, inclusive; where it is null, the day before WithdrawalDate; null while open"
    )
    withdrawal_code: SharedText = optional(
        "WithdrawalCode.Code, trimmed; text, so 01 stays 01; null without one"
    )
    is_default_entity: Flag = required("IsDefaultEntity; null counted as false")
    is_cross_entity_course: Flag = optional(
        "IsCrossEntityCourseEnrollment, which does not decide; null where not granted"
    )

    @row_check
    @classmethod
    def an_enrollment_stands_once(cls, frame: pd.DataFrame) -> Mask:
        """A repeat is one row, a contradiction is none."""
        return unique(frame, ("enrollment_id",))

    @row_check
    @classmethod
    def the_last_day_is_not_before_the_first(cls, frame: pd.DataFrame) -> Mask:
        """Such an enrollment was never effective."""
        return not_before(frame["last_day"], frame["first_day"])

    @column_check("withdrawal_code")
    @classmethod
    def is_not_cecs(cls, column: pd.Series) -> Mask:
        """Cross-entity course enrollments never count."""
        return each_text(
            column, lambda codes: pc.not_equal(pc.utf8_upper(pc.utf8_trim_whitespace(codes)), CECS)
        )

    @column_check("withdrawal_code")
    @classmethod
    def is_trimmed_and_not_blank(cls, column: pd.Series) -> Mask:
        """A padded 01 would not be 01."""
        return each_text(
            column,
            lambda codes: pc.and_(pc.equal(pc.utf8_trim_whitespace(codes), codes), pc.not_equal(codes, "")),
        )

    @column_check("first_day")
    @classmethod
    def mostly_lies_in_1990_to_2100(cls, column: pd.Series) -> Mask:
        """One odd date is a typing error, many are a date read wrongly."""
        return mostly(years_between(column, 1990, 2100))


class LeftOutEnrollments(Table):
    """The enrollments that do not count, each with its reason: filtered by rule, or set aside."""

    enrollment_id: Integer = optional("Qmlativ's EntryWithdrawalID; null where it was unreadable")
    student_id: Integer = optional("Qmlativ's StudentID; null where there is none")
    entity_id: Integer = optional("Qmlativ's EntityID")
    school_id: Integer = optional("Qmlativ's SchoolID")
    school_year_id: Integer = optional("Qmlativ's SchoolYearID")
    building: SharedText = optional("School.Name in that year, else in the latest year that lists the school")
    building_reporting_id: SharedText = optional("School.StateAssignedID, looked up like the building")
    first_day: Day = optional("StartDate")
    last_day: Day = optional(
        "EndDate; where it is null, the day before WithdrawalDate; null while open or unreadable"
    )
    withdrawal_code: SharedText = optional(
        "WithdrawalCode.Code, trimmed; null without one or where it is unknown"
    )
    is_default_entity: Flag = required("IsDefaultEntity; null counted as false")
    is_cross_entity_course: Flag = optional("IsCrossEntityCourseEnrollment; null where not granted")
    outcome: SharedText = required("filtered: the rules leave it out. set_aside: it cannot be relied on")
    reason: SharedText = required(
        f"Why: filtered as {', '.join(FILTERED)}; set aside as {', '.join(SET_ASIDE)}"
    )

    @row_check
    @classmethod
    def outcome_and_reason_belong_together(cls, frame: pd.DataFrame) -> Mask:
        """Each reason has one outcome, and there are no other reasons."""
        filtered = (frame["outcome"] == "filtered") & one_of(frame["reason"], FILTERED).array
        set_aside = (frame["outcome"] == "set_aside") & one_of(frame["reason"], SET_ASIDE).array
        return mask(arrow(filtered | set_aside), null=False)

    @row_check
    @classmethod
    def the_dates_bear_the_reason_out(cls, frame: pd.DataFrame) -> Mask:
        """Never closed is open, outside the window has ended, never effective ends before it begins."""
        reason, ended = frame["reason"], given(frame["last_day"]).array
        wrong = ((reason == "never_closed") & ended) | ((reason == "outside_window") & ~ended)
        effective = not_before(frame["last_day"], frame["first_day"]).array
        return mask(arrow(~(wrong | ((reason == "never_effective") & effective))))

    @row_check
    @classmethod
    def cecs_is_left_out_as_cecs(cls, frame: pd.DataFrame) -> Mask:
        """The reason cecs stands exactly where the code does, contradicting duplicates apart."""
        codes = arrow(frame["withdrawal_code"])
        cecs = pc.equal(pc.utf8_upper(codes.dictionary), CECS).take(codes.indices).fill_null(False)
        said = pc.equal(arrow(frame["reason"]), "cecs")
        contradicting = pc.equal(arrow(frame["reason"]), "conflicting_duplicate")
        return mask(pc.or_(pc.equal(cecs, said), contradicting))
