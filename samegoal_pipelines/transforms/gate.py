"""The gate: whether tonight's snapshot differs so much from the published one that a person must look first.

Pure arithmetic on counts. The limits are in `tables.limits`, and `warehouse.session` holds a snapshot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from samegoal_pipelines import printable
from samegoal_pipelines.errors import SYNC
from samegoal_pipelines.tables.limits import BY_NAME, SHARES, Limit, Limits

EMPTIED_LEAST = 5  # rows
Students = npt.NDArray[np.int64]
"""StudentIDs."""


@dataclass(frozen=True)
class Measured:
    """How tonight's snapshot differs from a published one."""

    numbers: Mapping[str, int]
    """The numbers that the limits refer to, by name. One that is not there is 0."""
    dropped: Students
    """Students published as ENROLLED or PRE-ENROLLED who tonight are gone, INACTIVE or GRADUATED."""
    graduated: npt.NDArray[np.bool_]
    """For each of them, whether tonight says GRADUATED."""


class Reason(NamedTuple):
    """One reason to hold a snapshot, and what a person should check first."""

    kind: str
    """The name of the limit that is exceeded, `nobody` or `emptied`."""
    sentence: str
    next_step: str


@dataclass(frozen=True)
class Verdict:
    """The gate's verdict. Without a reason, the snapshot passes."""

    found: tuple[Reason, ...] = ()
    numbers: Counter[str] = field(default_factory=Counter)
    """What was compared. Empty: nothing is published yet, or exactly this content is."""
    dropped_by_time: int | None = None
    """Students whom time alone has dropped since the night before. None if not computed."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the snapshot is held, one sentence each."""
        return tuple(reason.sentence for reason in self.found)

    @property
    def kind(self) -> str:
        """Which limits are exceeded."""
        return ", ".join(dict.fromkeys(reason.kind for reason in self.found))

    @property
    def to_check(self) -> str:
        """What a person should check first."""
        return "; ".join(dict.fromkeys(reason.next_step for reason in self.found))

    def next_step(self, night: date) -> str:
        """What to do about a held night. `ID` stands for the district."""
        usual = (
            "look at the students with: samegoal-pipelines changes ID --students; "
            "correct Qmlativ and run the night again, or, if the change is meant, publish what is held: "
            f"{SYNC} --release --today {night} --why REASON"
        )
        return f"{self.to_check}; {usual}" if self.found else usual

    def along_with(self, earlier: Verdict, night: date) -> Verdict:
        """Both verdicts on the same snapshot as one, the other one from comparing it with an earlier night.

        Either may hold it. The numbers are those of the comparison that does, or these if both or neither do.
        """
        compared = f"compared with the night {night}, the last one published before this one: "
        further = tuple(
            reason._replace(sentence=compared + reason.sentence)
            for reason in earlier.found
            if reason not in self.found
        )
        numbers = earlier.numbers if further and not self.found else self.numbers
        return Verdict((*self.found, *further), numbers, earlier.dropped_by_time)


def judge(
    limits: Limits,
    measured: Measured,
    *,
    emptied: Mapping[str, int] | None = None,
    staying: Students | None = None,
) -> Verdict:
    """Judge tonight's snapshot, compared with one published snapshot.

    Args:
        emptied: objects without rows tonight, and their number of rows in the published night.
        staying: who is ENROLLED, PRE-ENROLLED or uncertain tonight by the published night's rows. Time alone
            drops the others. None: not known.
    """
    dropped = len(measured.dropped)
    numbers = Counter({**measured.numbers, "dropped": dropped, "edited": dropped})
    if staying is not None:
        by_time = ~np.isin(measured.dropped, staying)
        numbers["dropped_by_time"] = int(by_time.sum())
        numbers["expired_by_time"] = int((by_time & ~measured.graduated).sum())
        numbers["edited"] -= numbers["dropped_by_time"]
    reasons = tuple(_reasons(limits, numbers, emptied or {}))
    return Verdict(reasons, numbers, numbers.get("dropped_by_time"))


def time_matters(limits: Limits, measured: Measured) -> bool:
    """Whether the verdict depends on how many students passing time alone explains."""
    active, expired = measured.numbers["published_active"], int((~measured.graduated).sum())
    at_most = {"dropped": len(measured.dropped), "expired": expired}
    return any(_is_beyond(limits, BY_NAME[name], part, active) for name, part in at_most.items())


def shares(limits: Limits, numbers: Counter[str]) -> Iterator[tuple[str, ...]]:
    """The gate's shares for people: label, part, whole, share and the limit."""
    for limit in SHARES:
        part, whole = numbers[limit.numerator], numbers[limit.denominator]
        least = f" and at least {limits.least(limit, whole)} students" if limit.or_fifth else ""
        above = limit.shown(limits[limit.name]) + least
        yield limit.label, f"{part:,}", f"{whole:,}", printable.share(part, whole), above


def _reasons(limits: Limits, numbers: Counter[str], emptied: Mapping[str, int]) -> Iterator[Reason]:
    published, carried_over = numbers["published_students"], numbers["carried_over"]
    if nobody := not numbers["students"] and published > 0:
        unread = f" ({carried_over:,} who could not be read would be carried over)" if carried_over else ""
        yield Reason(
            "nobody",
            f"the snapshot has no students{unread}, but the published one has "
            f"{printable.counted(published, 'student')}",
            "check in Qmlativ whether the Integration Access still sees enrollments and students",
        )
    for limit in SHARES:
        if nobody and limit.name in ("dropped", "carried_over"):  # said already
            continue
        if _is_beyond(limits, limit, numbers[limit.numerator], numbers[limit.denominator]):
            yield Reason(limit.name, _sentence(limits, limit, numbers), limit.next_step)
    for qmlativ_object, rows in emptied.items():  # no edit, even if it affects few published rows
        if rows >= EMPTIED_LEAST:
            yield Reason(
                "emptied",
                f"{qmlativ_object} came without a single row, but with {rows:,} for the published snapshot",
                "check in Qmlativ whether they were deleted, or the Integration Access no longer sees them",
            )


def _is_beyond(limits: Limits, limit: Limit, part: int, whole: int) -> bool:
    """Whether the share is above the limit, exactly. A share at the limit is not above it."""
    above = 100 * part > Fraction(str(limits[limit.name])) * whole
    return bool(whole and above and part >= limits.least(limit, whole))


def _sentence(limits: Limits, limit: Limit, numbers: Counter[str]) -> str:
    """The limit's sentence with its numbers, such as `812 of 900 students (90.2%)`."""
    value, part, whole = limits[limit.name], numbers[limit.numerator], numbers[limit.denominator]

    def share(count: int) -> str:
        """A percentage, with enough digits to show on which side of the limit it is."""
        exact = 100 * count / whole
        digits = next((n for n in range(1, 6) if round(exact, n) != value), 6)
        return f"{exact:.{digits}f}%"

    because = f", {part:,} of them ({share(part)}) not because time has passed"
    if "dropped_by_time" not in numbers:
        because = (
            " (how many of them only because time has passed cannot be told: the rows that the published "
            "snapshot was made from are not in the landing)"
        )
    of, dropped = (f"{n:,} of {whole:,} {limit.rows} ({share(n)})" for n in (part, numbers["dropped"]))
    words = {"part": f"{part:,}", "whole": f"{whole:,}", "share": share(part), "because": because}
    words |= {"of": of, "dropped_of": dropped}
    return f"{limit.sentence.format_map({**numbers, **words})}; the limit is {limit.shown(value)}"
