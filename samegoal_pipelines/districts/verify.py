"""Whether a night could work for a district: all that can be asked of its Qmlativ without reading a student.

Each question becomes a row of the answer, whatever comes of it; a question that rests on another one is not
asked where that one failed. Rows are counted by their keys alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from samegoal_pipelines.districts.registry import District, DistrictError, Registry
from samegoal_pipelines.qmlativ import QmlativClient, QmlativError

if TYPE_CHECKING:
    from samegoal_pipelines.qmlativ.catalogue import QmlativObject

EXPIRY_WARNING_DAYS = 30


@dataclass(frozen=True)
class Step:
    """One question: what came of it, and what to do if that is not good."""

    name: str
    state: Literal["ok", "warning", "failed"]
    outcome: str
    remedy: str = ""


@dataclass
class Verification:
    """All that was asked about one district."""

    district_id: str
    steps: list[Step] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way of a night."""
        return all(step.state != "failed" for step in self.steps)

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "district_id": self.district_id,
            "ok": self.ok,
            "steps": [asdict(step) for step in self.steps],
        }


class _NotOk(Exception):
    """A question was answered, and the answer is not good."""

    def __init__(self, outcome: str, remedy: str, state: Literal["warning", "failed"] = "failed") -> None:
        super().__init__(outcome)
        self.step_facts = (state, outcome, remedy)


def verify(
    registry: Registry,
    district: District,
    *,
    allow_local: bool = False,
    today: date | None = None,
    count_rows: bool = True,
) -> Verification:
    """Ask everything about one district. Raises nothing: each failure is a row.

    Args:
        today: from which to count the days until the Integration Access expires; default: today there.
        count_rows: also read the keys of every object, which takes a few seconds per 10,000 students.
    """
    found = Verification(district.id)
    asked = _Questions(registry, district)

    def ask(name: str, question: Callable[[], str]) -> bool:
        found.steps.append(_answer(name, question))
        return found.steps[-1].state != "failed"

    today = today or datetime.now(ZoneInfo(district.timezone)).date()
    ask("expiry", partial(_expiry, district.expires, today))
    try:
        connection = registry.connection(district, allow_local=allow_local)
    except (DistrictError, QmlativError) as error:
        found.steps.append(_failure("credentials", error))
        return found
    with QmlativClient(connection) as client:
        asked.client = client
        if not ask("token and identity", asked.identity):
            return found
        if ask("entities", asked.entities):
            ask("school years", asked.school_years)
            granted = [ask(wanted.label, partial(asked.fields, wanted)) for wanted in asked.objects()]
            if count_rows and asked.years and all(granted):
                ask("rows", asked.rows)
    return found


def _answer(name: str, question: Callable[[], str]) -> Step:
    try:
        return Step(name, "ok", question())
    except _NotOk as answer:
        return Step(name, *answer.step_facts)
    except (DistrictError, QmlativError) as error:
        return _failure(name, error)


def _failure(name: str, error: DistrictError | QmlativError) -> Step:
    if isinstance(error, QmlativError):
        outcome, _, remedy = error.what.partition(": ")
    else:
        _, _, message = str(error).partition(": ")  # it begins with the district
        outcome, _, remedy = message.partition("; ")
    return Step(name, "failed", outcome, remedy)


def _expiry(expires: date | None, today: date) -> str:
    if expires is None:
        raise _NotOk("not known", "register the Integration Access' expiration date (--expires)", "warning")
    days = (expires - today).days
    if days < 0:
        raise _NotOk(
            f"expired on {expires}", "renew the Integration Access in Qmlativ, then rotate the secret"
        )
    if days <= EXPIRY_WARNING_DAYS:
        raise _NotOk(
            f"{expires}, in {days} day(s)", "renew the Integration Access in Qmlativ soon", "warning"
        )
    return f"{expires}, in {days} days"


class _Questions:
    """The questions, each of which returns its answer for people or raises."""

    client: QmlativClient

    def __init__(self, registry: Registry, district: District) -> None:
        self._registry = registry
        self._district = district
        self.years: list[int] = []

    @staticmethod
    def objects() -> list[QmlativObject]:
        from samegoal_pipelines.qmlativ.catalogue import OBJECTS

        return list(OBJECTS.values())

    def identity(self) -> str:
        answered = self.client.identity()
        pin = self._registry.recognise(self._district, answered)
        if (pin.district_id, pin.code) != (answered.district_id, answered.code):
            raise _NotOk(
                f"the credentials are of district {answered.code} {answered.name}, not {pin.code} {pin.name}",
                "check the base URL, the Client Key and the Client Secret",
            )
        return f"{answered.code} {answered.name}, read as entity {self.client.entity_id}"

    def entities(self) -> str:
        from samegoal_pipelines.qmlativ.catalogue import ENTITY

        entities = self.client.read(ENTITY).to_pylist()
        names = ", ".join(f"{entity['EntityID']} {entity['Name']}" for entity in entities[:5])
        return f"{len(entities)}: {names}" + (", …" if len(entities) > 5 else "")

    def school_years(self) -> str:
        from samegoal_pipelines.qmlativ.catalogue import SCHOOL_YEAR
        from samegoal_pipelines.qmlativ.reading import school_years

        table = self.client.read(SCHOOL_YEAR)
        self.years = school_years(table)
        names = {year["SchoolYearID"]: year["Description"] for year in table.to_pylist()}
        return ", ".join(str(names[year] or year) for year in self.years)

    def fields(self, wanted: QmlativObject) -> str:
        granted = {field.name for field in self.client.granted(wanted)}
        missing = [field.name for field in wanted.fields if field.name not in granted]
        if missing:
            raise _NotOk(
                f"{len(granted)} fields granted, without {', '.join(missing)}",
                "these stay empty until they are granted to the Integration Access",
                "warning",
            )
        return f"{len(granted)} fields granted"

    def rows(self) -> str:
        counts: Counter[str] = Counter()
        for wanted in self.objects():
            keys_only = replace(wanted, fields=tuple(f for f in wanted.fields if f.name == wanted.key))
            for year in self.years if wanted.year_bound else [None]:
                counts[wanted.label] += self.client.read(keys_only, school_year_id=year).num_rows
        return ", ".join(f"{label} {count:,}" for label, count in counts.items())
