"""The vocabulary of the rules: statuses and reasons as stored, each with a sentence for people."""

from datetime import date
from typing import NamedTuple


class Reason(NamedTuple):
    """Why an enrollment does not count, in a sentence about the enrollment."""

    sentence: str
    fix: str = ""
    """What a registrar should change in Qmlativ. Empty if nothing is wrong."""


EXCLUDED = {
    "cecs": Reason("a cross-entity course enrollment (CECS)"),
    "entity_not_included": Reason("its entity is not among those whose enrollments count"),
    "outside_window": Reason("it ended more than a year ago"),
    "never_closed": Reason("it is still open, and its school year is neither current nor upcoming"),
}
"""Enrollments that the rules do not count."""

ENTITY_YEAR = "Student Profile > Enrollment > Entity Year"
"""The Qmlativ screen with a student's enrollments, as the integration's documentation names it."""
_OF_STUDENT = f"{ENTITY_YEAR}: "
QUARANTINED = {
    "conflicting_duplicate": Reason(
        "its id comes more than once, with different content",
        f"{_OF_STUDENT}Qmlativ sent this enrollment twice with different content; save it again, and report "
        "it to Skyward if it comes twice again tomorrow",
    ),
    "unreadable": Reason(
        "a field cannot be read",
        f"{_OF_STUDENT}enter the fields named here again, and report the enrollment to Skyward if they are "
        "unreadable again tomorrow",
    ),
    "no_student": Reason(
        "it names no student", f"{ENTITY_YEAR}: this enrollment belongs to no student; report it to Skyward"
    ),
    "no_start_date": Reason("it has no start date", f"{_OF_STUDENT}enter StartDate, the first day enrolled"),
    "no_entity": Reason(
        "it names no entity, and only some entities count",
        f"{ENTITY_YEAR}: this enrollment belongs to no entity; report it to Skyward",
    ),
    "unknown_withdrawal_code": Reason(
        "its withdrawal code is not listed",
        "Withdrawal Codes of the enrollment's school year: add the code once, and not blank; or choose "
        f"another code in {ENTITY_YEAR}",
    ),
    "no_school_year": Reason(
        "it is open, and its school year is not listed",
        f"School Year: add the missing year; or, in {ENTITY_YEAR}, correct the "
        "enrollment's school year or enter EndDate",
    ),
    "never_effective": Reason("it was never effective: its last day is before its first (a no-show)"),
}
"""Enrollments that cannot be relied on, in the order in which reasons are listed."""

OUTCOME_OF_REASON = dict.fromkeys(EXCLUDED, "excluded") | dict.fromkeys(QUARANTINED, "quarantined")
UNCERTAIN = tuple(reason for reason, about in QUARANTINED.items() if about.fix)
"""Reasons that make a student uncertain. A never effective enrollment leaves nothing in doubt."""


class Rule(NamedTuple):
    """A rule of the status: the resulting status, and the condition as a sentence."""

    status: str
    sentence: str


STATUSES = ("ENROLLED", "PRE-ENROLLED", "GRADUATED", "INACTIVE")
ACTIVE = STATUSES[:2]
RULES = {
    "current_enrollment": Rule("ENROLLED", "there is a current enrollment"),
    "upcoming_enrollment_only": Rule(
        "PRE-ENROLLED", "there is an upcoming enrollment, and neither a current nor a past one"
    ),
    "between_enrollments": Rule(
        "ENROLLED",
        "there are a past and an upcoming enrollment and no current one, which keeps a student enrolled "
        "over the summer",
    ),
    "graduated": Rule(
        "GRADUATED", "there are only past enrollments, and the most recent one ended with code 01"
    ),
    "withdrawn": Rule(
        "INACTIVE", "there are only past enrollments, and the most recent one did not end with code 01"
    ),
}
"""The reason of a status → its rule. Rules are numbered in this order."""
STATUS_OF_REASON = {reason: rule.status for reason, rule in RULES.items()}

CECS = "CECS"  # withdrawal code of a cross-entity course enrollment, compared without regard to case
GRADUATED_CODE = "01"  # TEA's leaver code for a graduate

# Why a student is no longer published, as stored in `departures`.
LEFT_WINDOW = "left the import window"
CECS_ONLY = "CECS only"
ROWS_UNREADABLE = "rows unreadable"
NO_ROWS = "no rows in Qmlativ"
NEVER_EFFECTIVE_ONLY = "never effective only"
ENTITY_NOT_INCLUDED = "entity not included"
DEPARTURES = (LEFT_WINDOW, CECS_ONLY, ROWS_UNREADABLE, NO_ROWS, NEVER_EFFECTIVE_ONLY, ENTITY_NOT_INCLUDED)

# What some screens and imports write for "no date".
PLACEHOLDER_DATES = (date.min, date(1753, 1, 1), date(1900, 1, 1), date.max)

# A night outside of these dates is a typo. Some rules also need the day one year before it.
FIRST_NIGHT, LAST_NIGHT = date(2000, 1, 1), date(2199, 12, 31)
