"""The gate's limits: the shares above which a snapshot is held until a person has looked.

To add a limit, add a row to `LIMITS` and count its numerator in `warehouse.gate_metrics`.
"""

import math
from dataclasses import dataclass

FEWEST = 3  # students: a fifth of a smaller district means nothing
PERCENT, STUDENTS = "%", "students"
_VALUES = {
    PERCENT: "a percentage: a number from 0 to 100",
    STUDENTS: "a number of students: a whole number from 0",
}


@dataclass(frozen=True)
class Limit:
    """One limit of the gate: a share of two counted numbers beyond which a snapshot is held.

    Attributes:
        default: a percentage, or a number of students for the unit `STUDENTS`.
        label: what is counted, for the UI's table of shares. Empty: the limit is not a share.
        numerator, denominator: names of counted numbers (`warehouse.gate_metrics`).
        rows: what the denominator counts, for the sentence.
        least: the number of rows from which the share counts. Fewer rows mean nothing.
        or_fifth: the share counts from a fifth of the denominator, if that is less than `least`, but at least
            3. Without a `least`, the district's limit `dropped_least` applies.
        sentence: why a snapshot is held; the limit is added. It may use every number, {part}, {whole},
            {share}, and {of}: part of whole, with the share.
        next_step: what a person should check first.
    """

    name: str
    default: float
    help: str
    unit: str = PERCENT
    label: str = ""
    numerator: str = ""
    denominator: str = "published_students"
    rows: str = "students"
    least: int = 0
    or_fifth: bool = False
    sentence: str = ""
    next_step: str = ""

    def shown(self, value: float) -> str:
        """A value with its unit."""
        return f"{value:g}%" if self.unit == PERCENT else f"{value:g} {self.unit}"


LIMITS = (
    Limit(
        name="dropped",
        default=10.0,
        help="students last published as ENROLLED or PRE-ENROLLED who are dropped by edits",
        label="students dropped by edits",
        numerator="edited",
        denominator="published_active",
        or_fifth=True,
        sentence="{dropped_of} last published as ENROLLED or PRE-ENROLLED would be gone, INACTIVE or "
        "GRADUATED{because}",
        next_step="check in Qmlativ whether their enrollments were ended or deleted on purpose",
    ),
    Limit(
        name="dropped_least",
        default=25,
        help="and at least this many of them, or a fifth of the published students if that is less",
        unit=STUDENTS,
    ),
    Limit(
        name="expired",
        default=50.0,
        help="of the same students, those whom passing time alone makes INACTIVE or takes out of the window",
        label="students dropped by time alone",
        numerator="expired_by_time",
        denominator="published_active",
        least=5,
        sentence="{of} last published as ENROLLED or PRE-ENROLLED would be gone or INACTIVE only because "
        "time has passed",
        next_step="enter next year's enrollments in Qmlativ, which are probably not there yet",
    ),
    Limit(
        name="demographics",
        default=75.0,
        help="rows of student and parent demographics that change",
        label="demographics changed",
        numerator="demographics_changed",
        denominator="demographics_published",
        rows="published rows of demographics",
        least=5,
        sentence="{of} would change",
        next_step="check in Qmlativ whether a field was withdrawn, or edited for everybody",
    ),
    Limit(
        name="contacts",
        default=10.0,
        help="students who lose their last parent with a phone, an e-mail address or a street",
        label="students with no contact left",
        numerator="contacts_lost",
        least=5,
        sentence="{of} would lose their last parent with a phone, an e-mail address or a street",
        next_step="check in Qmlativ whether guardians, phones or addresses were withdrawn",
    ),
    Limit(
        name="quarantined",
        default=1.0,
        help="enrollment rows that are quarantined",
        label="enrollments quarantined",
        numerator="quarantined",
        denominator="enrollment_rows",
        rows="enrollment rows",
        least=2,
        sentence="{of} were quarantined",
        next_step="see the reasons in the Dagster UI, and correct the rows in Qmlativ",
    ),
    Limit(
        name="added",
        default=30.0,
        help="students who were not published before, as a share of those who were",
        label="students added",
        numerator="added",
        or_fifth=True,
        sentence="{part} students would be new, beside {whole} published ones ({share})",
        next_step="check in Qmlativ whether the Integration Access was granted one entity too many, or "
        "whether the rows are another district's",
    ),
    Limit(
        name="reassigned",
        default=0.0,
        help="student numbers that now belong to another student, as a share of the published students",
        label="student numbers of other students",
        numerator="reassigned",
        rows="student numbers",
        sentence="{of} would now belong to another student, whom SameGoal would take for the former one",
        next_step="check in Qmlativ whether these student numbers were reused or swapped by mistake",
    ),
    Limit(
        name="carried_over",
        default=10.0,
        help="students who cannot be read and are carried over as last published",
        label="students who cannot be read",
        numerator="carried_over",
        least=25,
        or_fifth=True,
        sentence="{of} cannot be read and would be carried over as last published",
        next_step="see in the Dagster UI which rows were quarantined or unreadable, and correct them in "
        "Qmlativ",
    ),
)
BY_NAME = {limit.name: limit for limit in LIMITS}
SHARES = tuple(limit for limit in LIMITS if limit.numerator)


class Limits(dict[str, float]):
    """The limits in force, by name: the defaults, except those that a district has changed."""

    def __init__(self, **changed: float) -> None:
        """Raise ValueError if there is no such limit, or it cannot have this value."""
        if unknown := sorted(changed.keys() - BY_NAME.keys()):
            raise ValueError(
                f"the gate has no limit named {', '.join(unknown)}; its limits are {', '.join(BY_NAME)}"
            )
        super().__init__({limit.name: limit.default for limit in LIMITS})
        for name, value in changed.items():
            unit = BY_NAME[name].unit
            sound = type(value) in (int, float) and math.isfinite(value) and value >= 0
            if not sound or (value > 100 if unit == PERCENT else value != int(value)):
                raise ValueError(f"the limit {name} is {_VALUES[unit]}")
            self[name] = float(value) if unit == PERCENT else int(value)

    def least(self, limit: Limit, whole: int) -> int:
        """The number of rows from which this limit's share of `whole` rows counts."""
        if not limit.or_fifth:
            return limit.least
        return min(limit.least or int(self["dropped_least"]), max(FEWEST, -(-whole // 5)))
