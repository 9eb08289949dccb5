"""The registrar's worklist: which problems there are, what to do about each, and the list's columns.

Here: words, and `REGISTRAR_WORKLIST`. Not here: how a problem is found (transforms/worklist), where the
list is kept (warehouse).

Fields are called as Qmlativ's API calls them. "Entry/Withdrawal of the student" is where Qmlativ shows an
EntryWithdrawal; menus differ from district to district and are not named.
"""

from __future__ import annotations

from samegoal_pipelines.tables.declaration import Table, integer, text
from samegoal_pipelines.tables.vocabulary import UNCERTAIN

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

REGISTRAR_WORKLIST = Table(
    "registrar_worklist",
    "What a registrar should look at in Qmlativ, one row per student, enrollment and problem",
    (
        integer("student_id", "Qmlativ's StudentID; null where the enrollment has none"),
        text("student_number", "Qmlativ's StudentNumber as it came; null where Student has none"),
        text("building", "Name of the enrollment's school"),
        text("building_reporting_id", "The state's number of that school; text"),
        text("problem", f"One of: {', '.join(PROBLEMS)}", required=True),
        integer("enrollment_id", "Qmlativ's EntryWithdrawalID; null where it was unreadable"),
        text(
            "detail",
            "Days, codes and ids by which to find the enrollment, and what is odd about it",
            required=True,
        ),
        text("fix", "The Qmlativ screen, and what to change there", required=True),
    ),
    key=("problem", "student_id", "enrollment_id"),
)
