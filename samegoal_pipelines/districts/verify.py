"""Check whether a night would work for a district, without reading any student.

A question that depends on a failed one is not asked.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any, Literal, TypeVar

import pandas as pd
import pyarrow as pa

from samegoal_pipelines.districts.registry import RECORD_EXPIRY, District, Registry
from samegoal_pipelines.errors import PipelineError, fill_in
from samegoal_pipelines.landing import Landing
from samegoal_pipelines.printable import in_days, some
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.errors import GRANT
from samegoal_pipelines.qmlativ.reading import read_entity_access, refuse_missing_grants, school_years
from samegoal_pipelines.tables.catalog import NEEDED, OBJECTS
from samegoal_pipelines.tables.declaration import QmlativObject
from samegoal_pipelines.tables.enrollments import ENTITY, ENTRY_WITHDRAWAL, SCHOOL, SCHOOL_YEAR
from samegoal_pipelines.tables.people import STUDENT, STUDENT_NAME
from samegoal_pipelines.transforms.entities import (
    CHOOSE_ENTITIES,
    EntityCount,
    count_entities,
    not_granted_note,
)
from samegoal_pipelines.transforms.reads import costs_of, rows_by_object

CONNECTIONS = 4
"""Parallel requests to one district. Keep it low, because schools are working meanwhile."""
NEVER_EMPTY = (ENTRY_WITHDRAWAL, STUDENT, STUDENT_NAME, SCHOOL)
_NAMED = 12  # entities
_RENEW = {
    0: "ask the district to extend the Integration Access in Qmlativ, then record the date: "
    "samegoal-pipelines districts set ID --expires …; if SameGoal's technical team made a "
    "new secret: samegoal-pipelines districts rotate-secret ID",
    7: "ask the district today to extend the Integration Access in Qmlativ: without it, no night works",
    30: "ask the district this week to extend the Integration Access in Qmlativ",
    60: "plan to have the district extend the Integration Access in Qmlativ",
}


Answer = TypeVar("Answer")


@dataclass
class Step:
    """One question's answer, and what to do unless it is ok."""

    outcome: str
    next_step: str = ""
    state: Literal["ok", "warning", "failed"] = "ok"
    name: str = ""
    """The question."""


@dataclass
class ObjectFacts:
    """What the Integration Access grants of one object."""

    name: str
    fields: int
    """How many fields we read."""
    granted: int
    rows: int | None = None
    """Rows of all school years that are read. None if unknown."""


@dataclass(frozen=True)
class Missing:
    """A field that is not granted, and what you lose without it."""

    field: str
    required: bool
    cost: str


@dataclass
class Verification:
    """Everything that was checked about one district."""

    district_id: str
    name: str
    steps: list[Step] = field(default_factory=list)
    entities: list[EntityCount] = field(default_factory=list)
    objects: list[ObjectFacts] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The worst of all steps."""
        found = {step.state for step in self.steps}
        return next((state for state in ("failed", "warning") if state in found), "ok")

    @property
    def ok(self) -> bool:
        """Whether a night would work."""
        return self.state != "failed"

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        entities = [each._asdict() for each in self.entities]
        return {"ok": self.ok, "state": self.state, **asdict(self), "entities": entities}


def verify(
    registry: Registry, district: District, landing: Landing, today: date, *, count_rows: bool = False
) -> Verification:
    """Check everything about one district. It raises nothing, because each failure is a row.

    Args:
        landing: where the last night's counts are.
        today: the district's date, to count the days until the Integration Access expires.
        count_rows: read the keys of every object now, which takes a few seconds per 10,000 students.
    """
    found = Verification(district.id, district.name)

    def ask(name: str, question: Callable[[], Step]) -> bool:
        try:
            step = question()
        except PipelineError as error:
            if error.object in (name, "GetSystemMetadata"):  # the row's name says it
                error.object = ""
            step = Step(error.reason, error.next_step, "failed")
        step.name, step.next_step = name, fill_in(step.next_step, district.id)
        found.steps.append(step)
        return step.state != "failed"

    ask("expiry", partial(_expiry, district, today))
    try:
        connection = registry.connection(district, connections=CONNECTIONS)
    except PipelineError as error:
        found.steps.append(Step(error.reason, fill_in(error.next_step, district.id), "failed", "credentials"))
        return found
    with QmlativClient(connection) as client:
        asked = _Questions(found, registry, district, client)
        if not (ask("token", asked.token) and ask("identity", asked.identity)):
            return found
        if ask("entities", asked.granted_entities):
            ask("school years", asked.school_years)
            if ask("fields", asked.fields) and asked.years:
                ask("objects", asked.answers)
                ask("rows", partial(asked.rows, landing, today, count_rows=count_rows))
    return found


def _expiry(district: District, today: date) -> Step:
    """What the registration says. The token shows whether Qmlativ still accepts it."""
    expiry = district.expiry_text
    if district.expiration == "unknown":
        return Step(expiry, RECORD_EXPIRY, "warning")
    if district.expires is None:
        return Step(expiry)
    days = (district.expires - today).days
    expiry = f"expired on {expiry}" if days < 0 else f"{expiry}, {in_days(days)}"
    warning = district.expiry_warning_on(today)
    if warning is None:
        return Step(expiry)
    assumed = f"the date is assumed: {RECORD_EXPIRY}; " if district.expiration == "assumed" else ""
    return Step(expiry, f"{assumed}{_RENEW[warning]}", "warning")


@dataclass
class _Questions:
    """The questions. Each returns its answer for people, or raises."""

    found: Verification
    registry: Registry
    district: District
    client: QmlativClient
    names: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The object Entity."""
    years: list[int] = field(default_factory=list)
    current: int = 0

    def token(self) -> Step:
        try:
            self.client.identity()
        except PipelineError as error:
            if error.object == "token":
                raise
        if self.client.client_auth == "basic":
            return Step("accepted as HTTP Basic; the form is refused")
        return Step("accepted in the form")

    def identity(self) -> Step:
        answered = self.client.identity()
        self.registry.recognize(self.district, answered)
        return Step(f"{answered.code} {answered.name}")

    def granted_entities(self) -> Step:
        self.names = self.client.read(ENTITY).table.to_pandas()
        self._count_entities(None)
        refuse_missing_grants(self.client, self.district.entities)
        read_as = self.client.entity_id
        outcome = f"read as {next(each.label for each in self.found.entities if each.entity_id == read_as)}"
        others = [each for each in self.found.entities if each.entity_id != read_as]
        for words, granted in (("also granted", True), ("not granted", False)):
            found = [each.label for each in others if each.granted == granted]
            outcome += f"; {words}: {some(found, _NAMED)}" if found else ""
        return Step(outcome)

    def _count_entities(self, entries: pd.DataFrame | None) -> None:
        """Set `entities`, with the numbers of these enrollments if they are known."""
        named = [self.client.entity_id, *self.names["EntityID"]]
        if entries is not None:
            named += entries["EntityID"].dropna().unique().tolist()
        access = read_entity_access(self.client, self.district.entities, named)
        self.found.entities = count_entities(access, self.names, entries)

    def school_years(self) -> Step:
        table = self.client.read(SCHOOL_YEAR).table
        self.years, _ = school_years(table)
        rows = table.to_pylist()
        names = {row["SchoolYearID"]: str(row["Description"] or row["SchoolYearID"]) for row in rows}
        flagged = {row["SchoolYearID"] for row in rows if row["IsCurrentYearForProvidedEntity"]}
        (self.current,) = flagged.intersection(self.years)
        position = self.years.index(self.current)
        before, after = self.years[:position], self.years[position + 1 :]
        outcome = f"{names[self.current]} current; {names[after[0]] if after else 'none'} upcoming"
        if before:
            return Step(f"{outcome}; {names[before[0]]} before")
        to_do = "students who left last year will not be recognized"
        return Step(f"{outcome}; none before", to_do, "warning")

    def fields(self) -> Step:
        """What is granted of each object, and what is missing."""
        described = self._of_each_object(self.client.describe)
        required: list[str] = []
        optional: dict[str, str] = {}  # asset, object and field → path
        for asset, objects in NEEDED.items():
            for each in objects:
                refused = [one for one in each.fields if one.name not in described[each]]
                required += [f"{each.path}.{one.name}" for one in refused if not one.optional]
                if each.only and each.only not in described[each]:
                    required.append(f"{each.path}.{each.only}")
                for one in refused:
                    if one.optional:
                        optional[f"{asset}.{each.name}.{one.name}"] = f"{each.path}.{one.name}"
        required, priced = list(dict.fromkeys(required)), costs_of(optional)
        self.found.missing = [Missing(path, True, "no night works without it") for path in required]
        self.found.missing += dict.fromkeys(Missing(optional[one.field], False, one.cost) for one in priced)
        self.found.objects = [
            ObjectFacts(each.label, len(each.fields), sum(one.name in granted for one in each.fields))
            for each, granted in described.items()
        ]
        total = sum(each.fields for each in self.found.objects)
        if required:
            return Step(f"{', '.join(required)} not granted", GRANT, "failed")
        if priced:
            return Step(f"{len(priced)} of {total} not granted", "see below what each costs", "warning")
        return Step(f"all {total} granted")

    def answers(self) -> Step:
        """Whether each object answers a request for one row."""

        def ask(wanted: QmlativObject) -> bool:
            year = self.current if wanted.year_bound else None
            return self.client.has_rows(wanted, school_year_id=year)

        filled = self._of_each_object(ask)
        empty = [each.label for each in NEVER_EMPTY if not filled[each]]
        if empty:
            return Step(
                f"all {len(OBJECTS)} answer; no rows yet of {', '.join(empty)}",
                "check that the entity is the district's own",
                "warning",
            )
        return Step(f"all {len(OBJECTS)} answer")

    def rows(self, landing: Landing, today: date, *, count_rows: bool) -> Step:
        """The number of rows of each object and entity."""
        landed = None if count_rows else landed_rows(landing, self.district.id, today)
        if landed:
            night, counted = landed
            outcome = f"as they came on the night of {night}"
            entries = landing.read_last(
                "raw_enrollments", "EntryWithdrawal", district_id=self.district.id, up_to=night
            )
            for each in self.found.objects:
                each.rows = counted.get(each.name)
        else:
            outcome = "counted just now"
            for wanted, each in zip(OBJECTS.values(), self.found.objects, strict=True):
                keys = self._read_keys(wanted)
                each.rows = keys.num_rows  # kept if a later object fails
                if wanted is ENTRY_WITHDRAWAL:
                    entries = keys.to_pandas(types_mapper=pd.ArrowDtype)
        self._count_entities(entries)
        if note := not_granted_note(self.found.entities):
            return Step(f"{outcome}; {note}", CHOOSE_ENTITIES, "warning")
        return Step(outcome)

    def _read_keys(self, wanted: QmlativObject) -> pa.Table:
        """The keys of an object's rows, and whose enrollments they are."""
        keys = {wanted.key, "EntityID", "StudentID"} if wanted is ENTRY_WITHDRAWAL else {wanted.key}
        keys_only = replace(wanted, fields=tuple(each for each in wanted.fields if each.name in keys))
        years: Sequence[int | None] = self.years if wanted.year_bound else [None]
        return pa.concat_tables([self.client.read(keys_only, school_year_id=year).table for year in years])

    @staticmethod
    def _of_each_object(ask: Callable[[QmlativObject], Answer]) -> dict[QmlativObject, Answer]:
        """The answers about each object. The client limits parallel requests."""
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            return dict(zip(OBJECTS.values(), threads.map(ask, OBJECTS.values()), strict=True))


def landed_rows(landing: Landing, district_id: str, today: date) -> tuple[date, dict[str, int]] | None:
    """The last landed night and its rows per object, of all school years. None if nothing has landed."""
    for night in reversed([night for night in landing.nights(district_id) if night <= today]):
        landed = [one for one in NEEDED if landing.landed(one, district_id=district_id, night=night)]
        reads = [landing.read_last(one, "Reads", district_id=district_id, up_to=night) for one in landed]
        if rows := rows_by_object(reads):
            return night, rows
    return None
