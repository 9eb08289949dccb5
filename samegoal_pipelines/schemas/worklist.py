"""The registrar's worklist: which problems there are, what to do about each, and the model of the list.

Here: words, and `RegistrarWorklist`. Not here: how a problem is found (transforms/worklist), where the
list is kept (warehouse).

Fields are called as Qmlativ's API calls them. "Entry/Withdrawal of the student" is where Qmlativ shows an
EntryWithdrawal; menus differ from district to district and are not named.
"""

import pandas as pd

from samegoal_pipelines.schemas.fields import (
    Integer,
    Mask,
    Table,
    Text,
    column_check,
    one_of,
    optional,
    required,
    row_check,
    unique,
)
from samegoal_pipelines.schemas.vocabulary import UNCERTAIN

NEVER_CLOSED = "never closed"
UPCOMING_AFTER_WITHDRAWAL = "upcoming enrollment after a withdrawal"
CECS_ONLY = "CECS only"
TIE = "tie"
FLAGGED_WITHOUT_CODE = "flagged without code"


def set_aside_as(reason: str) -> str:
    """The problem of a row that was set aside for this reason of the vocabulary."""
    return f"set aside: {reason.replace('_', ' ')}"


_OF_STUDENT = "Entry/Withdrawal of the student: "
_FIX_SET_ASIDE = {
    "conflicting_duplicate": _OF_STUDENT
    + "Qmlativ gave this enrollment twice, with different content; save it once more, and report it to "
    "Skyward if it comes twice again tomorrow",
    "unreadable": _OF_STUDENT
    + "enter the fields that are named here once more, and report the enrollment to Skyward if they are "
    "unreadable again tomorrow",
    "no_student": "Entry/Withdrawal: this enrollment belongs to no student; report it to Skyward",
    "no_start_date": _OF_STUDENT + "enter StartDate, the first day enrolled",
    "unknown_withdrawal_code": "Withdrawal Codes of the enrollment's school year: make the code that is "
    "meant, once and not blank; or, in Entry/Withdrawal of the student, choose another one",
    "no_school_year": "School Year: make the year that is missing; or, in Entry/Withdrawal of the student, "
    "correct the enrollment's school year or enter EndDate",
}
FIX: dict[str, str] = {
    NEVER_CLOSED: _OF_STUDENT
    + "if the student has left, enter EndDate (the last day enrolled) and the withdrawal code; if not, "
    "close this enrollment and enter one of the current school year",
    UPCOMING_AFTER_WITHDRAWAL: _OF_STUDENT
    + "if the student does not come back, delete this enrollment, because of which the student still "
    "counts as ENROLLED; if the student comes back, nothing",
    CECS_ONLY: _OF_STUDENT
    + "if this district is the student's home, enter the enrollment at the home campus, or replace the "
    "withdrawal code CECS where it is wrong; if the student only takes courses here, nothing",
    TIE: _OF_STUDENT
    + "delete the enrollment that is wrong, or correct StartDate, EndDate or IsDefaultEntity of either, "
    "so that they tell which one goes before the other",
    **{set_aside_as(reason): fix for reason, fix in _FIX_SET_ASIDE.items()},
    FLAGGED_WITHOUT_CODE: _OF_STUDENT
    + "if this is a cross-entity course, give it the withdrawal code CECS; if not, take back "
    "IsCrossEntityCourseEnrollment",
}
"""Problem → the Qmlativ screen and what to change there, in the order in which problems are listed."""

PROBLEMS = tuple(FIX)
# A no-show is sound: an enrollment that was never effective is no problem.
SET_ASIDE_PROBLEMS = tuple(set_aside_as(reason) for reason in UNCERTAIN)


class RegistrarWorklist(Table):
    """What a registrar should look at in Qmlativ, one row per student, enrollment and problem."""

    student_id: Integer = optional("Qmlativ's StudentID; null where the enrollment has none")
    student_number: Text = optional("Student.StudentNumber as it came; null where Student has none")
    building: Text = optional("The school of the enrollment")
    building_reporting_id: Text = optional("That school's number at the state; text")
    problem: Text = required(f"One of: {', '.join(PROBLEMS)}")
    enrollment_id: Integer = optional("Qmlativ's EntryWithdrawalID; null where it was unreadable")
    detail: Text = required("Days, codes and ids by which to find the enrollment, and what is odd about it")
    fix: Text = required("The Qmlativ screen, and what to change there")

    @row_check
    @classmethod
    def a_problem_stands_once(cls, frame: pd.DataFrame) -> Mask:
        """One row per problem, student and enrollment."""
        return unique(frame, ("problem", "student_id", "enrollment_id"))

    @column_check("problem")
    @classmethod
    def is_a_known_problem(cls, column: pd.Series) -> Mask:
        """There are no others."""
        return one_of(column, PROBLEMS)
