"""Tables of enrollments and statuses: what Qmlativ gives, what counts, and each student's status."""

from dataclasses import replace

from samegoal_pipelines.tables.declaration import (
    Column,
    Table,
    code,
    day,
    flag,
    integer,
    qmlativ_object,
    table,
    text,
)
from samegoal_pipelines.tables.vocabulary import EXCLUDED, QUARANTINED, STATUS_OF_REASON, STATUSES

# -- as Qmlativ gives them --

SCHOOL_YEAR = qmlativ_object(
    "District/SchoolYear",
    "School years: which one is current and which are upcoming",
    integer("NumericYear", "The calendar year in which the school year ends: 2027 for 2026-2027"),
    text("Description", "The school year as shown, such as 2026-2027"),
    flag("IsCurrentYearForProvidedEntity", "True for the entity's current year; null counts as false"),
    flag("IsUpcomingYearForProvidedEntity", "True for a year set up in advance: its open enrollments count"),
)
ENTITY = qmlativ_object(
    "District/Entity", "Entities: the district itself and its schools", text("Name", "The entity's name")
)
ENTRY_WITHDRAWAL = qmlativ_object(
    "Enrollment/EntryWithdrawal",
    "One enrollment of a student at a school, as sent, with repeats, contradictions and gaps",
    integer("StudentID", "The student; a row without one is quarantined"),
    integer("EntityID", "The entity in which the student is enrolled"),
    integer("SchoolID", "The school in which the student is enrolled"),
    integer("SchoolYearID", "The school year of the enrollment"),
    day("StartDate", "First day enrolled, inclusive; a row without one is quarantined"),
    day("EndDate", "Last day enrolled, inclusive; null while open"),
    day("WithdrawalDate", "Computed: in Texas the day after the last one; used if EndDate is null"),
    integer("WithdrawalCodeID", "Why the student left; the same code has another id each year"),
    flag("IsDefaultEntity", "True at the student's home entity; null counts as false"),
    flag("IsCrossEntityCourseEnrollment", "For cross-entity courses; the code CECS decides", optional=True),
    year_bound=True,
    keep_repeats=True,
)
WITHDRAWAL_CODE = qmlativ_object(
    "Enrollment/WithdrawalCode",
    "The withdrawal codes of each school year",
    text("Code", "The code; text: 01 is not 1. CECS marks a cross-entity course enrollment"),
    year_bound=True,
)
SCHOOL = qmlativ_object(
    "Enrollment/School",
    "The schools of each school year: a student's building",
    text("Name", "The school's name: the student's building"),
    text("StateAssignedID", "The state's number of the school (in Texas nine digits); text"),
    integer("SchoolYearID", "The school year in which name and number are valid"),
    year_bound=True,
    year_column="SchoolYearID",
)
ENTITY_ACCESS = table(
    "EntityAccess",
    "One row per entity that Qmlativ lists or an enrollment names, as of the night's reading",
    integer("EntityID", "Key of the entity", required=True),
    flag("IsGranted", "Whether the Integration Access grants the entity", required=True),
    flag("IsIncluded", "Whether its enrollments count, by the setting --entities", required=True),
    key=("EntityID",),
)

# -- what counts --

ENROLLMENT_PATHS = {
    "WithdrawalCode": "WithdrawalCodeID > WithdrawalCode.WithdrawalCodeID",
    "School": "SchoolID > School.SchoolID + SchoolYearID School.SchoolYearID",
}
_WHAT_COUNTS = (
    "EntityID StartDate EndDate WithdrawalDate WithdrawalCodeID WithdrawalCode.WithdrawalCodeID "
    "WithdrawalCode.Code SchoolYearID SchoolYear.SchoolYearID SchoolYear.IsCurrentYearForProvidedEntity "
    "SchoolYear.IsUpcomingYearForProvidedEntity"
)

FILTERED_ENROLLMENTS = table(
    "cecs_filtered_enrollments",
    "The enrollments that count: at the home campus, within the import window, and sound",
    integer(
        "enrollment_id", "Qmlativ's EntryWithdrawalID", f"EntryWithdrawalID + {_WHAT_COUNTS}", required=True
    ),
    integer("student_id", "Qmlativ's StudentID", "StudentID", required=True),
    integer("entity_id", "Qmlativ's EntityID", "EntityID"),
    integer("school_id", "Qmlativ's SchoolID", "SchoolID"),
    integer("school_year_id", "Qmlativ's SchoolYearID; current or upcoming if still open", "SchoolYearID"),
    code("building", "School.Name in that year, else in the latest that lists the school", "School.Name"),
    code("building_reporting_id", "School.StateAssignedID, looked up the same way", "School.StateAssignedID"),
    day("first_day", "The first day enrolled", "StartDate", required=True),
    day(
        "last_day",
        "The last day enrolled: EndDate, else the day before WithdrawalDate; null while open",
        "EndDate|WithdrawalDate",
    ),
    code("withdrawal_code", "WithdrawalCode.Code, trimmed; text, so 01 stays 01", "WithdrawalCode.Code"),
    flag("is_default_entity", "At the home entity; null counts as false", "IsDefaultEntity", required=True),
    flag(
        "is_cross_entity_course",
        "Qmlativ's flag for cross-entity courses, which does not decide; null where not granted",
        "IsCrossEntityCourseEnrollment",
    ),
    key=("enrollment_id",),
)
EXCLUDED_ENROLLMENTS = table(
    "excluded",
    "The enrollments that do not count, each with its reason: excluded by a rule, or quarantined. A null "
    "may also mean that the value was unreadable",
    *(
        replace(column, origin="", required=column.name == "is_default_entity")
        for column in FILTERED_ENROLLMENTS.columns
    ),
    code("outcome", "excluded by the rules, or quarantined: it cannot be relied on", required=True),
    code("reason", f"excluded: {', '.join(EXCLUDED)}; quarantined: {', '.join(QUARANTINED)}", required=True),
)

# -- what they say about each student --

_DECIDES = "student_id first_day last_day is_default_entity enrollment_id"
_RULES = "rules: first_day + withdrawal_code student_id last_day is_default_entity enrollment_id"

STUDENT_STATUS = table(
    "student_status",
    "One row per student: the status, why, and the enrollment that decided it",
    integer("student_id", "Qmlativ's StudentID", "student_id", required=True),
    text("status", f"One of {', '.join(STATUSES)}", _RULES, required=True, values=STATUSES),
    text("reason", f"The rule that decided the status: {', '.join(STATUS_OF_REASON)}", _RULES, required=True),
    *(
        replace(column, origin=f"{column.name} + {_DECIDES}")
        for column in (
            integer("enrollment_id", "The deciding enrollment: Qmlativ's EntryWithdrawalID", required=True),
            day("first_day", "First day of the deciding enrollment", required=True),
            day("last_day", "Last day of the deciding enrollment, inclusive; null while open"),
            text("withdrawal_code", "Withdrawal code of the deciding enrollment; text, 01 means graduate"),
            integer("school_year_id", "School year of the deciding enrollment: Qmlativ's SchoolYearID"),
            integer("entity_id", "Entity of the deciding enrollment: Qmlativ's EntityID"),
            text("building", "Name of the school of the deciding enrollment"),
            text("building_reporting_id", "The state's number of that school; text"),
        )
    ),
    key=("student_id",),
)


def student_ids(name: str, description: str, *further: Column) -> Table:
    """A table of students, each once."""
    student = integer("student_id", "Qmlativ's StudentID", required=True)
    return table(name, description, student, *further, key=("student_id",))


UNCERTAIN_STUDENTS = student_ids(
    "uncertain",
    "Students whose enrollments cannot be relied on; their last published rows are carried over",
    text("reasons", "Why the student's rows are quarantined, comma-separated", required=True),
)
CARRIED_OVER_STUDENTS = student_ids("carried_over", "Students whose last published rows are carried over")
ABSENT_STUDENTS = student_ids(
    "absent",
    "Students with enrollments but no row, with the reason",
    text("why", "Why the student has no row", required=True),
)
