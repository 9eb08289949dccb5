"""Models of what the rules say about each student: a status with its reason, or uncertainty.

Here: also who is uncertain, kept or absent. Not here: the rules (transforms/status).
"""

import pandas as pd
import pyarrow
import pyarrow.compute as pc

from samegoal_pipelines.schemas.fields import (
    Day,
    Integer,
    Mask,
    Table,
    Text,
    arrow,
    column_check,
    mask,
    not_before,
    one_of,
    optional,
    required,
    row_check,
    unique,
)
from samegoal_pipelines.schemas.vocabulary import GRADUATED_CODE, STATUS_OF_REASON, STATUSES, UNCERTAIN


def _left(frame: pd.DataFrame) -> pyarrow.Array:
    status = arrow(frame["status"])
    return pc.or_(pc.equal(status, "GRADUATED"), pc.equal(status, "INACTIVE"))


class StudentStatus(Table):
    """One row per student: the status, why, and the enrollment that decided it."""

    student_id: Integer = required("Qmlativ's StudentID")
    status: Text = required(f"One of {', '.join(STATUSES)}")
    reason: Text = required(f"The rule that applied, one of {', '.join(STATUS_OF_REASON)}")
    enrollment_id: Integer = required("The deciding enrollment: Qmlativ's EntryWithdrawalID")
    first_day: Day = required("First day of the deciding enrollment")
    last_day: Day = optional("Its last day, inclusive; null while open")
    withdrawal_code: Text = optional(
        "Its withdrawal code, trimmed; text, 01 is the state's code for a graduate"
    )
    school_year_id: Integer = optional("Its school year: Qmlativ's SchoolYearID")
    entity_id: Integer = optional("Its entity: Qmlativ's EntityID")
    building: Text = optional("Its school's name: the student's building")
    building_reporting_id: Text = optional("Its school's number at the state; text")

    @row_check
    @classmethod
    def a_student_has_one_status(cls, frame: pd.DataFrame) -> Mask:
        """One row per student."""
        return unique(frame, ("student_id",))

    @row_check
    @classmethod
    def an_enrollment_decides_one_status(cls, frame: pd.DataFrame) -> Mask:
        """An enrollment belongs to one student."""
        return unique(frame, ("enrollment_id",))

    @column_check("status")
    @classmethod
    def is_one_of_the_four(cls, column: pd.Series) -> Mask:
        """There are these statuses and no other."""
        return one_of(column, STATUSES)

    @row_check
    @classmethod
    def status_and_reason_belong_together(cls, frame: pd.DataFrame) -> Mask:
        """Each reason leads to one status, and there are no other reasons."""
        position = pc.index_in(arrow(frame["reason"]), value_set=pyarrow.array(STATUS_OF_REASON))
        expected = pc.index_in(pyarrow.array(STATUS_OF_REASON.values()), value_set=pyarrow.array(STATUSES))
        actual = pc.index_in(arrow(frame["status"]), value_set=pyarrow.array(STATUSES))
        return mask(pc.equal(expected.take(position), actual), null=False)

    @row_check
    @classmethod
    def who_left_has_a_last_day(cls, frame: pd.DataFrame) -> Mask:
        """Graduated and inactive students left on a day."""
        return mask(pc.or_(pc.invert(_left(frame)), arrow(frame["last_day"]).is_valid()))

    @row_check
    @classmethod
    def graduated_means_code_01(cls, frame: pd.DataFrame) -> Mask:
        """Who left with 01 graduated, and nobody else did."""
        said = pc.equal(arrow(frame["status"]), "GRADUATED")
        graduated = pc.equal(arrow(frame["withdrawal_code"]), GRADUATED_CODE).fill_null(False)
        return mask(pc.or_(pc.invert(_left(frame)), pc.equal(graduated, said)))

    @row_check
    @classmethod
    def the_last_day_is_not_before_the_first(cls, frame: pd.DataFrame) -> Mask:
        """No enrollment that was never effective decides."""
        return not_before(frame["last_day"], frame["first_day"])


class PublishedStatus(StudentStatus):
    """The statuses as published: with the number by which the district knows the student."""

    student_number: Text = optional("Student.StudentNumber as it came; text, leading zeros belong to it")


class UncertainStudents(Table):
    """Students whose enrollments cannot be relied on: what was last published about them stays."""

    student_id: Integer = required("Qmlativ's StudentID")
    reasons: Text = required("Why the student's rows were set aside, comma-separated")

    @row_check
    @classmethod
    def a_student_stands_once(cls, frame: pd.DataFrame) -> Mask:
        """One row per student, with all reasons."""
        return unique(frame, ("student_id",))

    @column_check("reasons")
    @classmethod
    def are_reasons_that_make_uncertain(cls, column: pd.Series) -> Mask:
        """An enrollment that was never effective leaves nothing in doubt."""
        return pd.Series(
            [set(reasons.split(",")) <= set(UNCERTAIN) for reasons in column.fillna("").tolist()], dtype=bool
        )


class KeptStudents(Table):
    """Students who keep what was last published about them."""

    student_id: Integer = required("Qmlativ's StudentID")


class AbsentStudents(Table):
    """Students whom the enrollments mention and who have no row, with the reason."""

    student_id: Integer = required("Qmlativ's StudentID")
    why: Text = required("Why the student has no row")
