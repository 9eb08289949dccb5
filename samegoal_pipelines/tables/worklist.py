"""The registrar's worklist: its problems, what to do about each in Qmlativ, and its columns."""

from samegoal_pipelines.tables.declaration import integer, table, text
from samegoal_pipelines.tables.vocabulary import ENTITY_YEAR, QUARANTINED, UNCERTAIN

NEVER_CLOSED = "never closed"
UPCOMING_AFTER_WITHDRAWAL = "upcoming enrollment after a withdrawal"
CECS_ONLY = "CECS only"
TIE = "tie"
FLAGGED_WITHOUT_CODE = "flagged without code"
POSSIBLE_DUPLICATE = "possible duplicate"
THE_PAST_MOVED = "the past moved"


def quarantined_as(reason: str) -> str:
    """The problem of a row that is quarantined for this reason of the vocabulary."""
    return f"quarantined: {reason.replace('_', ' ')}"


FIX: dict[str, str] = {
    NEVER_CLOSED: f"{ENTITY_YEAR}: if the student has left, enter EndDate (the last day enrolled) and the "
    "withdrawal code; if not, close this enrollment and enter one of the current school year",
    UPCOMING_AFTER_WITHDRAWAL: f"{ENTITY_YEAR}: if the student does not come back, delete this enrollment, "
    "because it keeps the student ENROLLED; if the student comes back, do nothing",
    CECS_ONLY: f"{ENTITY_YEAR}: if this district is the student's home, enter the enrollment at the home "
    "campus, or replace the withdrawal code CECS if it is wrong; if the student only takes courses here, do "
    "nothing",
    TIE: f"{ENTITY_YEAR}: delete the wrong enrollment, or correct StartDate, EndDate or IsDefaultEntity of "
    "either one, so that it is clear which one decides",
    **{quarantined_as(reason): QUARANTINED[reason].fix for reason in UNCERTAIN},
    FLAGGED_WITHOUT_CODE: f"{ENTITY_YEAR}: if this is a cross-entity course, enter the withdrawal code CECS; "
    "if not, clear IsCrossEntityCourseEnrollment",
    POSSIBLE_DUPLICATE: "Student Profile: if these records are one person, merge them; if not, correct what "
    "they share; if both are right, do nothing",
    THE_PAST_MOVED: f"{ENTITY_YEAR}: compare with the dates, school and withdrawal code that the enrollment "
    "had when it ended; undo the change if it is a mistake; if it is a correction, do nothing",
}
"""Problem → the Qmlativ screen and what to change there, in the order in which problems are listed."""

PROBLEMS = tuple(FIX)

REGISTRAR_WORKLIST = table(
    "registrar_worklist",
    "What a registrar should look at in Qmlativ, one row per student, enrollment and problem",
    integer("student_id", "Qmlativ's StudentID; null if the enrollment has none"),
    text("student_number", "Qmlativ's StudentNumber as sent; null if Student has none"),
    text("building", "Name of the enrollment's school"),
    text("building_reporting_id", "The state's number of that school; text"),
    text("problem", f"One of: {', '.join(PROBLEMS)}", required=True),
    integer("enrollment_id", "Qmlativ's EntryWithdrawalID; null if it was unreadable"),
    text("detail", "Days, codes and ids to find the enrollment, and what is odd about it", required=True),
    text("fix", "The Qmlativ screen, and what to change there", required=True),
    key=("problem", "student_id", "enrollment_id"),
)
