"""The words that every form of the report shares: terminal, page, message."""

from __future__ import annotations

from datetime import date

from samegoal_pipelines.printable import in_days, some
from samegoal_pipelines.reporting.forecast import Ahead
from samegoal_pipelines.reporting.nightly_status import Board, DistrictNight

SUMMED_UP = ("failed", "held", "late")
"""The order in which trouble is summed up in a line."""
_NAMED = 20  # districts that are excluded


def summary(board: Board) -> str:
    """One line: `2 failed, 1 held, 1 late of 300`, or that all is well."""
    totals = board.totals
    wrong = ", ".join(f"{totals[state]:,} {state}" for state in SUMMED_UP if totals[state])
    if wrong:
        return f"{wrong} of {board.due:,}"
    if totals["pending"]:
        return f"{totals['published']:,} of {board.due:,} published, {totals['pending']:,} not due yet"
    return f"{board.due:,} of {board.due:,} published" if board.due else "no district is due"


def since(one: DistrictNight) -> str:
    """Since when a district is in trouble."""
    if one.last_published is None:
        return f"never published, {nights(one.nights_in_trouble)} so far"
    if one.last_published >= one.night:
        return "since a rerun of the night"
    return f"for {nights(one.nights_in_trouble)}, last published {one.last_published}"


def nights(count: int) -> str:
    """`1 night`, `2 nights`."""
    return "1 night" if count == 1 else f"{count:,} nights"


def expiry(one: DistrictNight) -> str:
    """When a district's Integration Access expires."""
    days = one.days_to_expiry
    if days is None:
        return "not known"
    if days < 0:
        return (
            f"expired on {one.expires}; once it is renewed: "
            f"samegoal-pipelines districts set {one.district_id} --expires …"
        )
    return f"expires on {one.expires}, {in_days(days)}"


def remarks(one: DistrictNight) -> str:
    """What should be known of a district that is in no trouble."""
    return "; ".join([*([one.reason] if one.reason else []), *one.notes])


def flip(old_status: str | None, new_status: str | None) -> str:
    """What a student goes from and to."""
    return f"{old_status or 'not in the snapshot'} → {new_status or 'not in the snapshot'}"


def looked_at(ahead: Ahead) -> str:
    """How many districts the look ahead is about, and which ones it is not about."""
    if not (ahead.districts or ahead.excluded):
        return "No district is published yet"
    districts = f"Looked at {ahead.districts:,} district{'s' * (ahead.districts != 1)}"
    if not ahead.excluded:
        return districts
    return f"{districts}; not at {some(ahead.excluded, _NAMED)}: their landed rows are gone or cannot be read"


def title(night: date) -> str:
    """How a report and a message are called."""
    return f"SameGoal night {night}"
