"""The words of the rules: outcomes, statuses and reasons, as they stand in tables.

Here: which words there are and which belong together. Not here: when each applies (transforms).
"""

from datetime import date

# An enrollment that does not count is either filtered, because the rules leave it out ...
FILTERED = ("cecs", "outside_window", "never_closed")
# ... or set aside, because it cannot be relied on.
SET_ASIDE = (
    "conflicting_duplicate",
    "unreadable",
    "no_student",
    "no_start_date",
    "unknown_withdrawal_code",
    "no_school_year",
    "never_effective",
)
# What makes a student uncertain: an enrollment that was never effective leaves nothing in doubt.
UNCERTAIN = tuple(reason for reason in SET_ASIDE if reason != "never_effective")

STATUSES = ("ENROLLED", "PRE-ENROLLED", "GRADUATED", "INACTIVE")
STATUS_OF_REASON = {
    "current_enrollment": "ENROLLED",
    "upcoming_enrollment_only": "PRE-ENROLLED",
    "between_enrollments": "ENROLLED",
    "graduated": "GRADUATED",
    "withdrawn": "INACTIVE",
}

CECS = "CECS"  # withdrawal code of a cross-entity course enrollment, compared without regard to case
GRADUATED_CODE = "01"  # TEA's leaver code for a graduate

# Why a student who was published is so no longer, as the ledger of departures says it.
LEFT_WINDOW = "left the import window"
CECS_ONLY = "CECS only"
ROWS_UNREADABLE = "rows unreadable"
NO_ROWS = "no rows in Qmlativ"
NEVER_EFFECTIVE_ONLY = "never effective only"
DEPARTURES = (LEFT_WINDOW, CECS_ONLY, ROWS_UNREADABLE, NO_ROWS, NEVER_EFFECTIVE_ONLY)

# What some screens and imports write where there is no date.
PLACEHOLDER_DATES = (date.min, date(1753, 1, 1), date(1900, 1, 1), date.max)

# A night before or after these is a slip of the pen: nobody was in Qmlativ then, and some rules have no day
# a year before it.
FIRST_NIGHT, LAST_NIGHT = date(2000, 1, 1), date(2199, 12, 31)
