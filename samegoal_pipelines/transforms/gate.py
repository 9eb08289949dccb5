"""The gate: whether tonight's snapshot differs so much from the published one that a person must look first.

Pure arithmetic on counts. The limits are in `tables.limits`. What becomes of a held snapshot is decided
elsewhere (`warehouse.session`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from samegoal_pipelines import printable
from samegoal_pipelines.errors import SYNC
from samegoal_pipelines.tables.limits import BY_NAME, SHARES, Limit, Limits

EMPTIED_LEAST = 5  # rows


@dataclass(frozen=True)
class Facts:
    """The gate's facts besides the rows to publish, read before anything is locked.

    Attributes:
        enrollment_rows: rows of EntryWithdrawal that came, exact repeats apart.
        quarantined: of these, the quarantined rows, except those that were never effective.
        emptied: objects without rows tonight, and their number of rows in the published night.
        statuses_by_time: the statuses as of tonight from the published night's rows: `student_id` and
            `status`, which is null for an uncertain student. None: unknown.
    """

    enrollment_rows: int = 0
    quarantined: int = 0
    emptied: Mapping[str, int] = field(default_factory=dict)
    statuses_by_time: pd.DataFrame | None = None


@dataclass(frozen=True)
class Measured:
    """How tonight's snapshot differs from a published one.

    Attributes:
        students, carried_over: students with rows of tonight's own, and students who are carried over.
        published: students of the published one.
        published_active: of these, the ENROLLED and PRE-ENROLLED.
        dropped: ids of the latter who tonight are gone, INACTIVE or GRADUATED.
        graduated: for each of them, whether tonight says GRADUATED.
        demographics_changed, demographics_published: published rows of both demographics tables. Changed rows
            differ tonight or, for a student who stays, are gone.
        contacts_lost: students of both nights who had a reachable parent and have none now.
        added: students who are not published and would be.
        more: further numbers that limits refer to, by name.
    """

    students: int
    carried_over: int
    published: int
    published_active: int
    dropped: npt.NDArray[np.int64]
    graduated: npt.NDArray[np.bool_]
    demographics_changed: int
    demographics_published: int
    contacts_lost: int
    added: int = 0
    more: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Reason:
    """One reason to hold a snapshot.

    Attributes:
        kind: the name of the limit that is exceeded, `nobody` or `emptied`.
        next_step: what a person should check first.
    """

    kind: str
    sentence: str
    next_step: str


@dataclass(frozen=True)
class Verdict:
    """The gate's verdict. Without a reason, the snapshot passes.

    Attributes:
        dropped_by_time: students whom time alone has dropped since the night before; None if not computed.
    """

    found: tuple[Reason, ...] = ()
    numbers: dict[str, int] = field(default_factory=dict)
    dropped_by_time: int | None = None

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
        return "; ".join(
            (
                *([self.to_check] if self.found else []),
                "look at the students with: samegoal-pipelines changes ID --students",
                "correct Qmlativ and run the night again, or, if the change is meant, publish what is held: "
                f"{SYNC} --release --today {night} --why REASON",
            )
        )

    def along_with(self, earlier: Verdict, night: date) -> Verdict:
        """Both verdicts on the same snapshot as one, the other one from comparing it with an earlier night.

        Either may hold it. The numbers are those of the comparison that does, or these if both or neither do.
        """
        compared = f"compared with the night {night}, the last one published before this one"
        further = tuple(
            replace(reason, sentence=f"{compared}: {reason.sentence}")
            for reason in earlier.found
            if reason not in self.found
        )
        numbers = earlier.numbers if further and not self.found else self.numbers
        return Verdict((*self.found, *further), numbers, earlier.dropped_by_time)


def judge(limits: Limits, measured: Measured, facts: Facts) -> Verdict:
    """Judge tonight's snapshot, compared with one published snapshot."""
    numbers = _numbers(measured) | {
        "enrollment_rows": facts.enrollment_rows,
        "quarantined": facts.quarantined,
    }
    if facts.statuses_by_time is not None and time_matters(limits, measured):
        by_time = _by_time(facts.statuses_by_time, measured)
        numbers["dropped_by_time"] = int(by_time.sum())
        numbers["expired_by_time"] = int((by_time & ~measured.graduated).sum())
    reasons = (*_reasons(limits, numbers), *_reasons_of_emptied(facts.emptied))
    return Verdict(reasons, numbers, numbers.get("dropped_by_time"))


def time_matters(limits: Limits, measured: Measured) -> bool:
    """Whether the verdict depends on how many students passing time alone explains."""
    active, expired = measured.published_active, int((~measured.graduated).sum())
    at_most = {"edited": len(measured.dropped), "expired_by_time": expired}
    return any(
        _is_beyond(limits, BY_NAME[name], at_most[BY_NAME[name].numerator], active)
        for name in ("dropped", "expired")
    )


def judge_passing_time(limits: Limits, measured: Measured) -> Verdict:
    """The gate's verdict if nobody has edited anything, so that time alone explains every dropped student.

    For the forecast of a coming night, with the arithmetic of a real night. A number that only a real night
    counts is 0: the forecast cannot know it.
    """
    by_time = {"dropped_by_time": len(measured.dropped), "expired_by_time": int((~measured.graduated).sum())}
    unchanged = dict.fromkeys((name for limit in SHARES for name in (limit.numerator, limit.denominator)), 0)
    numbers = unchanged | _numbers(measured) | by_time
    return Verdict(tuple(_reasons(limits, numbers)), numbers)


@dataclass(frozen=True)
class Share:
    """One line of the gate's numbers, for people."""

    label: str
    part: int
    whole: int
    limit: str


def shares(limits: Limits, numbers: Mapping[str, int]) -> list[Share]:
    """The gate's shares, each beside its limit."""
    counted = _derived(numbers)
    return [
        Share(
            limit.label,
            counted[limit.numerator],
            counted[limit.denominator],
            limit.shown(limits[limit.name])
            + (
                f" and at least {limits.least(limit, counted[limit.denominator])} students"
                if limit.or_fifth
                else ""
            ),
        )
        for limit in SHARES
    ]


def _numbers(measured: Measured) -> dict[str, int]:
    return {
        "students": measured.students,
        "carried_over": measured.carried_over,
        "published_students": measured.published,
        "published_active": measured.published_active,
        "dropped": len(measured.dropped),
        "demographics_changed": measured.demographics_changed,
        "demographics_published": measured.demographics_published,
        "contacts_lost": measured.contacts_lost,
        "added": measured.added,
        **measured.more,
    }


def _derived(numbers: Mapping[str, int]) -> dict[str, int]:
    edited = numbers["dropped"] - numbers.get("dropped_by_time", 0)
    return {"expired_by_time": 0, **numbers, "edited": edited}


def _by_time(statuses: pd.DataFrame, measured: Measured) -> npt.NDArray[np.bool_]:
    """For each dropped student, whether the rows that were published would say so tonight as well."""
    staying = statuses["status"].isna() | statuses["status"].isin(["ENROLLED", "PRE-ENROLLED"])
    return ~np.isin(measured.dropped, statuses.loc[staying, "student_id"].to_numpy(dtype=np.int64))


def _reasons(limits: Limits, numbers: Mapping[str, int]) -> Iterator[Reason]:
    counted, published = _derived(numbers), numbers["published_students"]
    if nobody := not counted["students"] and published > 0:
        carried_over = counted["carried_over"]
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
        part, whole = counted[limit.numerator], counted[limit.denominator]
        if _is_beyond(limits, limit, part, whole):
            sentence = limit.sentence.format_map(_words(limits, limit, counted, part, whole))
            yield Reason(limit.name, sentence, limit.next_step)


def _words(limits: Limits, limit: Limit, counted: Mapping[str, int], part: int, whole: int) -> dict[str, Any]:
    """The values that a limit's sentence may use."""
    value = limits[limit.name]
    if "dropped_by_time" in counted:
        share = _share(part, whole, value)
        because = f", {part:,} of them ({share}) not because time has passed"
    else:
        because = " (how many of them only because time has passed cannot be told: the rows that the "
        because += "published snapshot was made from are not in the landing)"
    return {
        **counted,
        "part": f"{part:,}",
        "whole": f"{whole:,}",
        "share": _share(part, whole, value),
        "of": part_of(part, whole, limit.rows, value),
        "dropped_of": part_of(counted["dropped"], whole, limit.rows, value),
        "because": because,
        "limit": limit.shown(value),
    }


def _reasons_of_emptied(emptied: Mapping[str, int]) -> Iterator[Reason]:
    """Reasons for objects without rows. That is no edit, even if it affects few published rows."""
    for qmlativ_object, rows in emptied.items():
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


def part_of(part: int, whole: int, what: str, limit: float) -> str:
    """`812 of 900 students (90.2%)`."""
    return f"{part:,} of {whole:,} {what} ({_share(part, whole, limit)})"


def _share(part: int, whole: int, limit: float) -> str:
    """A percentage, with enough digits to show on which side of the limit it is."""
    share = 100 * part / whole if whole else 100.0
    digits = next((n for n in range(1, 6) if round(share, n) != limit), 6)
    return f"{share:.{digits}f}%"
