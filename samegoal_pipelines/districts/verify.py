"""Whether a district's night could work: what Qmlativ says to its credentials, step by step.

Reads no student. Each step that fails is a line with its remedy; what depends on it is left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from samegoal_pipelines.districts.errors import DistrictError
from samegoal_pipelines.districts.registry import District, Registry
from samegoal_pipelines.qmlativ import QmlativClient, QmlativError
from samegoal_pipelines.qmlativ.catalogue import ENTITY, OBJECTS, SCHOOL_YEAR
from samegoal_pipelines.qmlativ.errors import WrongDistrict
from samegoal_pipelines.qmlativ.reading import school_years


@dataclass(frozen=True)
class Step:
    """One thing that was looked at."""

    name: str
    ok: bool
    outcome: str
    remedy: str = ""


@dataclass
class Verification:
    """What was found out about one district."""

    district_id: str
    steps: list[Step] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether a night could work."""
        return all(step.ok for step in self.steps)

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "district_id": self.district_id,
            "ok": self.ok,
            "steps": [asdict(step) for step in self.steps],
        }


def verify(registry: Registry, district: District, *, allow_local: bool = False) -> Verification:
    """Ask Qmlativ for a token, who the district is, its entities, school years and granted fields."""
    found = Verification(district.id)
    try:
        with QmlativClient(registry.connection(district, allow_local=allow_local)) as client:
            _verify(found, registry, district, client)
    except (QmlativError, DistrictError) as error:
        told, _, remedy = str(error).removeprefix(f"{district.id}: ").partition(": ")
        name = "access" if not found.steps else "reading"
        found.steps.append(Step(name, False, told, remedy))
    if district.expires:
        found.steps.append(Step("Integration Access expires", True, district.expires.isoformat()))
    return found


def _verify(found: Verification, registry: Registry, district: District, client: QmlativClient) -> None:
    identity = client.identity()
    found.steps.append(Step("token", True, "issued"))
    pin = registry.recognise(district, identity)
    if (pin.district_id, pin.code) != (identity.district_id, identity.code):
        raise WrongDistrict(
            f"these credentials belong to {identity.name} ({identity.code}), not to {pin.name} ({pin.code}): "
            "check API Base URL, Client Key and Client Secret"
        )
    found.steps.append(Step("district in Qmlativ", True, f"{identity.name} ({identity.code})"))
    for wanted in OBJECTS.values():
        found.steps.append(_granted(client, wanted))
    if not found.ok:
        return
    entities = client.read(ENTITY).num_rows
    found.steps.append(Step("entities", True, f"{entities} readable through entity {client.entity_id}"))
    years = client.read(SCHOOL_YEAR)
    chosen = school_years(years, identity.current_school_year_id)
    names = {year["SchoolYearID"]: year["Description"] for year in years.to_pylist()}
    found.steps.append(Step("school years", True, ", ".join(str(names[year]) for year in chosen)))


def _granted(client: QmlativClient, wanted: Any) -> Step:
    """Whether the fields of one object are granted; optional ones may be missing, and cost their column."""
    try:
        granted = {each.name for each in client.granted(wanted)}
    except QmlativError as error:
        told, _, remedy = str(error).partition(": ")
        return Step(wanted.label, False, told, remedy)
    missing = [each.name for each in wanted.fields if each.name not in granted]
    if missing:
        return Step(
            wanted.label,
            True,
            f"granted, without {', '.join(missing)}",
            "grant them, or their columns stay empty",
        )
    return Step(wanted.label, True, "granted")
