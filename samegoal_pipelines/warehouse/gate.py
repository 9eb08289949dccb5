"""The gate: whether tonight's snapshot differs so much from the published one that a person must look first.

Arithmetic on counts, and the sentences that say what came of it. What is counted is `measuring`'s business;
who is told, and what becomes of a held snapshot, is `publish`'s and `release`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from fractions import Fraction

import numpy as np
import pandas as pd

from samegoal_pipelines.warehouse.rows import Keys
from samegoal_pipelines.warehouse.snapshots import Attempt

# Below so many, a share says nothing: a district of ten students is not held for two of them.
EXPIRED_LEAST = 5  # students
DEMOGRAPHICS_LEAST = 5  # rows
CONTACTS_LEAST = 5  # students
SET_ASIDE_LEAST = 2  # rows
EMPTIED_LEAST = 5  # rows
KEPT_LEAST = 25  # students, or a fifth of the published ones
FEWEST = 3  # students: a fifth of a smaller district says nothing


@dataclass(frozen=True)
class Limits:
    """Beyond which share a snapshot is held: percentages, except `lost_least`, a number of students."""

    lost: float = 10.0
    """Students last published as ENROLLED or PRE-ENROLLED who are gone, INACTIVE or GRADUATED, time apart."""
    lost_least: int = 25
    """And at least so many of them, or a fifth of the published students where that is less; see `floor`."""
    expired: float = 50.0
    """Of the same students, those whom passing time alone makes INACTIVE or takes out of the window."""
    demographics: float = 75.0
    """Rows of student and parent demographics that change."""
    contacts: float = 10.0
    """Students who lose their last parent with a phone, an e-mail address or a street."""
    set_aside: float = 1.0
    """Enrollment rows that cannot be relied on."""
    kept: float = 10.0
    """Students who cannot be read and keep what was last published: beyond, it would be half a night."""
    added: float = 30.0
    """Students who were not published before, as a share of those who were; and from the same number on."""

    def floor(self, published: int, least: int | None = None) -> int:
        """From how many students on a share is looked at.

        `least` (`lost_least` where not given) or a fifth of the published students, whichever is less, but at
        least 3. If a district has set a smaller number, that number counts.
        """
        return min(self.lost_least if least is None else least, max(FEWEST, -(-published // 5)))

    @classmethod
    def of(cls, changed: Mapping[str, float]) -> Limits:
        """The usual limits, but for these.

        Raises:
            ValueError: an unknown name, or a value that is no percentage (no number of students).
        """
        names = [one.name for one in fields(cls)]
        if unknown := sorted(changed.keys() - set(names)):
            raise ValueError(
                f"the gate has no limit named {', '.join(unknown)}; its limits are {', '.join(names)}"
            )
        for name, value in changed.items():
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if name == "lost_least" and not (number and value >= 0 and value == int(value)):
                raise ValueError("the limit lost_least is a number of students: a whole number from 0")
            if not (number and value >= 0 and (value <= 100 or name == "lost_least")):
                raise ValueError(f"the limit {name} is a percentage: a number from 0 to 100")
        least = int(changed.get("lost_least", cls.lost_least))
        shares = {name: float(value) for name, value in changed.items() if name != "lost_least"}
        return cls(lost_least=least, **shares)


@dataclass(frozen=True)
class Gate:
    """What the gate must know besides the rows.

    Attributes:
        enrollment_rows: rows of EntryWithdrawal that came, repeats apart.
        set_aside: of these, rows set aside, except those that were never effective.
        status_by_time: given the published attempt, the statuses that its landed rows give as of tonight:
            `student_id` and `status`, which is null for a student whose rows there leave it open. None if
            these rows are not there any more. Asked only where the lost students exceed a limit: it is slow.
        emptied: given the same, the objects of which Qmlativ gave rows then and gives none tonight, and how
            many rows those were.
    """

    limits: Limits
    enrollment_rows: int
    set_aside: int
    status_by_time: Callable[[Attempt], pd.DataFrame | None]
    emptied: Callable[[Attempt], Mapping[str, int]] = lambda _: {}


@dataclass(frozen=True)
class Verdict:
    """What the gate found; no reason means that it lets the snapshot pass."""

    reasons: tuple[str, ...] = ()
    numbers: dict[str, int | float] = field(default_factory=dict)

    def along_with(self, earlier: Verdict, night: date) -> Verdict:
        """Both verdicts on the same snapshot as one, the other one from comparing it with an earlier night.

        Either may hold it. The numbers are those of the comparison that does; of both or neither, these.
        """
        further = tuple(
            f"compared with the night {night}, the last one published before this one: {reason}"
            for reason in earlier.reasons
            if reason not in self.reasons
        )
        numbers = earlier.numbers if further and not self.reasons else self.numbers
        return Verdict((*self.reasons, *further), numbers)


@dataclass(frozen=True)
class Measured:
    """How tonight's snapshot differs from a published one.

    Attributes:
        students, kept: students with rows of tonight's own, and students who keep the published ones.
        published: students of the published one.
        published_active: of these, the ENROLLED and PRE-ENROLLED.
        lost: ids of the latter who tonight are gone, INACTIVE or GRADUATED.
        graduated: for each of them, whether tonight says GRADUATED.
        demographics_changed, demographics_published: published rows of both demographics tables; changed are
            those that say something else tonight or, of a student who stays, are gone.
        contacts_lost: students of both nights who had a parent who could be reached, and have none now.
        added: students who are not published and would be.
    """

    students: int
    kept: int
    published: int
    published_active: int
    lost: Keys
    graduated: np.ndarray
    demographics_changed: int
    demographics_published: int
    contacts_lost: int
    added: int = 0


def judge(gate: Gate, measured: Measured, published: Attempt) -> Verdict:
    """What the gate says to tonight's snapshot.

    Args:
        published: the attempt that it was measured against.
    """
    limits, active, lost = gate.limits, measured.published_active, len(measured.lost)
    numbers = _numbers(measured) | {"enrollment_rows": gate.enrollment_rows, "set_aside": gate.set_aside}
    expired = int((~measured.graduated).sum())  # at most so many have expired
    too_many = lost >= limits.floor(measured.published) and _exceeds(lost, active, limits.lost)
    if too_many or (expired >= EXPIRED_LEAST and _exceeds(expired, active, limits.expired)):
        by_time = _by_time(gate, measured, published)
        if by_time is not None:
            numbers["lost_by_time"] = int(by_time.sum())
            numbers["expired_by_time"] = int((by_time & ~measured.graduated).sum())
    reasons = (*_reasons(limits, measured, numbers), *_reasons_of_emptied(gate.emptied(published)))
    return Verdict(reasons, numbers)


def judge_passing_time(limits: Limits, measured: Measured) -> Verdict:
    """What the gate says where nobody has edited anything: whoever is lost, time alone has taken.

    Of a night to come, for a forecast; by the same arithmetic as of a night that is there.
    """
    by_time = {"lost_by_time": len(measured.lost), "expired_by_time": int((~measured.graduated).sum())}
    numbers = _numbers(measured) | by_time | {"enrollment_rows": 0, "set_aside": 0}
    return Verdict(tuple(_reasons(limits, measured, numbers)), numbers)


def _numbers(measured: Measured) -> dict[str, int | float]:
    return {
        "students": measured.students,
        "kept": measured.kept,
        "published_students": measured.published,
        "published_active": measured.published_active,
        "lost": len(measured.lost),
        "demographics_changed": measured.demographics_changed,
        "demographics_published": measured.demographics_published,
        "contacts_lost": measured.contacts_lost,
        "added": measured.added,
    }


def _by_time(gate: Gate, measured: Measured, published: Attempt) -> np.ndarray | None:
    """For each lost student, whether the rows that were published would say so tonight as well."""
    statuses = gate.status_by_time(published)
    if statuses is None:
        return None
    staying = statuses["status"].isna() | statuses["status"].isin(["ENROLLED", "PRE-ENROLLED"])
    return ~np.isin(measured.lost, statuses.loc[staying, "student_id"].to_numpy(dtype=np.int64))


def _reasons(limits: Limits, measured: Measured, numbers: Mapping[str, int | float]) -> Iterator[str]:
    active, lost = measured.published_active, len(measured.lost)
    if nobody := not measured.students and measured.published > 0:
        kept = f" ({measured.kept:,} who could not be read would stay as they are)" if measured.kept else ""
        yield (
            f"nobody is in the snapshot{kept}, but {measured.published:,} student(s) are in the published "
            "one: check in Qmlativ whether the Integration Access still sees enrollments and students"
        )
    edited = lost - int(numbers.get("lost_by_time", 0))
    floor = limits.floor(measured.published)
    if not nobody and edited >= floor and _exceeds(edited, active, limits.lost):
        if "lost_by_time" in numbers:
            share = _share(edited, active, limits.lost)
            because = f", {edited:,} of them ({share}) not because time has passed"
        else:
            because = " (how many of them only because time has passed cannot be told: the rows that the "
            because += "published snapshot was made from are not in the landing)"
        yield (
            f"{part_of(lost, active, 'students', limits.lost)} last published as ENROLLED or PRE-ENROLLED "
            f"would be gone, INACTIVE or GRADUATED{because}; the limit is {limits.lost:g}%: check in "
            "Qmlativ whether their enrollments were ended or deleted on purpose"
        )
    expired = int(numbers.get("expired_by_time", 0))
    if expired >= EXPIRED_LEAST and _exceeds(expired, active, limits.expired):
        yield (
            f"{part_of(expired, active, 'students', limits.expired)} last published as ENROLLED or "
            "PRE-ENROLLED would be gone or INACTIVE only because time has passed; the limit is "
            f"{limits.expired:g}%: next year's enrollments are probably not in Qmlativ yet; enter them there"
        )
    changed, rows = measured.demographics_changed, measured.demographics_published
    if changed >= DEMOGRAPHICS_LEAST and _exceeds(changed, rows, limits.demographics):
        yield (
            f"{part_of(changed, rows, 'published rows of demographics', limits.demographics)} would change; "
            f"the limit is {limits.demographics:g}%: check in Qmlativ whether a field was withdrawn, or "
            "edited for everybody"
        )
    unreachable, students = measured.contacts_lost, measured.published
    if unreachable >= CONTACTS_LEAST and _exceeds(unreachable, students, limits.contacts):
        yield (
            f"{part_of(unreachable, students, 'students', limits.contacts)} would lose their last parent "
            f"with a phone, an e-mail address or a street; the limit is {limits.contacts:g}%: check in "
            "Qmlativ whether guardians, phones or addresses were withdrawn"
        )
    aside, came = int(numbers["set_aside"]), int(numbers["enrollment_rows"])
    if aside >= SET_ASIDE_LEAST and _exceeds(aside, came, limits.set_aside):
        yield (
            f"{part_of(aside, came, 'enrollment rows', limits.set_aside)} were set aside as not to be relied "
            f"on; the limit is {limits.set_aside:g}%: see their reasons in the Dagster UI, and mend them in "
            "Qmlativ"
        )
    if students and measured.added >= floor and _exceeds(measured.added, students, limits.added):
        yield (
            f"{measured.added:,} students would be new, beside {students:,} published ones "
            f"({_share(measured.added, students, limits.added)}); the limit is {limits.added:g}%: check in "
            "Qmlativ whether the Integration Access was granted one entity too many, or whether the rows are "
            "another district's"
        )
    unread = measured.kept
    if (
        not nobody
        and unread >= limits.floor(students, KEPT_LEAST)
        and _exceeds(unread, students, limits.kept)
    ):
        yield (
            f"{part_of(unread, students, 'students', limits.kept)} cannot be read and would stay as they "
            f"were last published; the limit is {limits.kept:g}%: see in the Dagster UI which rows were "
            "set aside or unreadable, and mend them in Qmlativ"
        )


def _reasons_of_emptied(emptied: Mapping[str, int]) -> Iterator[str]:
    """A list that is gone altogether is no edit, however few published rows it touches."""
    for qmlativ_object, rows in emptied.items():
        if rows >= EMPTIED_LEAST:
            yield (
                f"{qmlativ_object} came without a single row, but with {rows:,} for the published snapshot: "
                "check in Qmlativ whether they were deleted, or the Integration Access sees them no more"
            )


def _exceeds(part: int, whole: int, limit: float) -> bool:
    """Whether the share is above the limit, to the last row: exactly at the limit is not above it."""
    return 100 * part > Fraction(str(limit)) * whole


def part_of(part: int, whole: int, what: str, limit: float) -> str:
    """`812 of 900 students (90.2%)`."""
    return f"{part:,} of {whole:,} {what} ({_share(part, whole, limit)})"


def _share(part: int, whole: int, limit: float) -> str:
    """A percentage, with as many digits as it takes to see on which side of the limit it lies."""
    share = 100 * part / whole if whole else 100.0
    digits = next((n for n in range(1, 6) if round(share, n) != limit), 6)
    return f"{share:.{digits}f}%"
