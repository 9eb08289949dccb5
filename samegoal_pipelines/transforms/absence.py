"""Why a student is not published, as one cause and one next step, from an explanation of the landed rows.

Which students have a status is decided in `status`, and what is published in `warehouse`.
"""

from datetime import date
from typing import NamedTuple

from samegoal_pipelines.tables.vocabulary import (
    CECS_ONLY,
    ENTITY_NOT_INCLUDED,
    LEFT_WINDOW,
    NEVER_EFFECTIVE_ONLY,
    NO_ROWS,
    QUARANTINED,
    ROWS_UNREADABLE,
)
from samegoal_pipelines.transforms.explanation import Explanation, SeenEnrollment


class Cause(NamedTuple):
    """Why a student is absent, and what to do."""

    name: str
    sentence: str
    next_step: str


_NOTHING = "nothing, if that is right"
_BY_DEPARTURE = {
    LEFT_WINDOW: Cause(
        "outside the window",
        "the last enrollment ended more than a year ago",
        f"{_NOTHING}; else correct EndDate, or add the new enrollment, in Entry/Withdrawal",
    ),
    CECS_ONLY: Cause(
        "CECS only",
        "every enrollment is a cross-entity course enrollment (CECS), which never counts",
        f"{_NOTHING}; a student of this district needs an enrollment at the home campus in Entry/Withdrawal",
    ),
    ENTITY_NOT_INCLUDED: Cause(
        "entity not included",
        "every enrollment is at an entity whose enrollments do not count",
        f"{_NOTHING}; else include the entity: samegoal-pipelines districts set ID --entities …",
    ),
    NEVER_EFFECTIVE_ONLY: Cause(
        "never effective",
        "every enrollment ends before it begins (a no-show)",
        f"{_NOTHING}; if the student came, correct StartDate and EndDate in Entry/Withdrawal",
    ),
    NO_ROWS: Cause(
        "no enrollment",
        "Qmlativ returned no enrollment: there is none, or it ended long before the import window",
        "add the enrollment in Entry/Withdrawal; it may be under another record of the same student",
    ),
    ROWS_UNREADABLE: Cause(
        "quarantined",
        "the enrollments cannot be relied on, and nothing was published before",
        "see the registrar's worklist: samegoal-pipelines worklist ID",
    ),
}
"""Why a student departed → the cause."""
NEVER_CLOSED = Cause(
    "never closed",
    "the enrollment is still open in a school year that is over",
    "enter EndDate and the withdrawal code in Entry/Withdrawal; if the student is still here, add the "
    "enrollment of the current school year",
)
NOT_IN_QMLATIV = Cause(
    "not in Qmlativ",
    "Qmlativ has neither the student nor an enrollment any more",
    "look for the student under another number: of two records that were merged, one stays",
)
NO_RECORD = Cause(
    "no Student or Name row",
    "Student and Name have no row of the student that can be read, and nothing was published before",
    "open the student in Qmlativ and save the profile again; report it to Skyward if that does not help",
)
CHANGED_SINCE = Cause(
    "changed since",
    "the rows of that night give a status today: rules, or what was landed, changed after it was published",
    "run the night again: samegoal-pipelines sync ID",
)


def absence_of(
    explanation: Explanation | None, *, has_record: bool, in_qmlativ: bool, departed_as: str | None
) -> Cause:
    """Why a student is absent.

    Args:
        explanation: of the landed rows. None if they are gone.
        has_record: whether Student and Name have a row that can be read.
        in_qmlativ: whether the object Student has the student at all.
        departed_as: why the student left, in the words of the table `departures`, if ever published.
    """
    if explanation is None:
        return _BY_DEPARTURE[departed_as or NO_ROWS]
    if explanation.decision is not None:
        return CHANGED_SINCE if has_record else NO_RECORD
    if explanation.uncertain:
        reason = QUARANTINED[explanation.uncertain[0]]
        rows = [one for one in explanation.enrollments if one.reason == explanation.uncertain[0]]
        which = f"enrollment {rows[0].enrollment_id}" if rows and rows[0].enrollment_id else "an enrollment"
        return Cause(
            "quarantined",
            f"{which} cannot be relied on: {reason.sentence}; nothing was published before",
            reason.fix,
        )
    if explanation.absent == NO_ROWS and not in_qmlativ:
        return NOT_IN_QMLATIV
    if explanation.absent == LEFT_WINDOW and _newest(explanation.enrollments).reason == "never_closed":
        return NEVER_CLOSED
    return _BY_DEPARTURE[explanation.absent or NO_ROWS]


def _newest(enrollments: tuple[SeenEnrollment, ...]) -> SeenEnrollment:
    """Of the enrollments that the window excludes, the one that began last."""
    windowed = [one for one in enrollments if one.reason in ("outside_window", "never_closed")]
    return max(windowed, key=lambda one: one.first_day or date.min)
