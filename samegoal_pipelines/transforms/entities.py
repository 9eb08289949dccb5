"""Whose enrollments count: the entities that a district chose, those that are granted, and their numbers.

Asking Qmlativ which entities are granted is in `qmlativ`. What excludes an enrollment is in `enrollments`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from samegoal_pipelines.tables.enrollments import ENTITY_ACCESS
from samegoal_pipelines.transforms.columns import frame_from

ALL, GRANTED = "all", "granted"
CHOOSE_ENTITIES = (
    "ask the district whether these entities belong in its Integration Access, and choose whose enrollments "
    "count: samegoal-pipelines districts set ID --entities …"
)


class EntityCount(NamedTuple):
    """One entity: its access, and the enrollments and students that came for it."""

    entity_id: int | None
    """None: the enrollments name no entity."""
    name: str
    granted: bool
    included: bool
    enrollments: int | None
    """None if unknown."""
    students: int | None

    @property
    def label(self) -> str:
        """Id and name, as people write it into the setting and as they know it."""
        return self.name if self.entity_id is None else f"{self.entity_id} {self.name}".rstrip()


def normalized(setting: str) -> str:
    """The setting as it is stored: `all`, `granted`, or EntityIDs in order, such as `2,15`.

    Raises ValueError if it is none of these.
    """
    words = setting.strip().lower()
    if words in (ALL, GRANTED):
        return words
    ids = {int(each) for each in words.split(",")}
    if not all(0 < each < 2**63 for each in ids):
        raise ValueError(setting)
    return ",".join(map(str, sorted(ids)))


def chosen_entities(setting: str) -> frozenset[int]:
    """The EntityIDs that a setting names."""
    return frozenset() if setting in (ALL, GRANTED) else frozenset(map(int, setting.split(",")))


def entity_access(setting: str, granted: Mapping[int, bool]) -> pd.DataFrame:
    """The table EntityAccess: whether each of these is granted, and whether its enrollments count."""
    chosen, rows = chosen_entities(setting), []
    for entity in sorted(granted):
        included = entity in chosen if chosen else setting == ALL or granted[entity]
        rows.append({"EntityID": entity, "IsGranted": granted[entity], "IsIncluded": included})
    return frame_from(rows, ENTITY_ACCESS.arrow_types)


def included_entities(raw: Mapping[str, pd.DataFrame]) -> np.ndarray | None:
    """The EntityIDs whose enrollments count, from `raw_enrollments`. None: every enrollment counts."""
    access = raw.get("EntityAccess")
    if access is None or access["IsIncluded"].all():
        return None
    included = access.loc[access["IsIncluded"].to_numpy(bool), "EntityID"]
    return np.asarray(included, np.int64)


def count_entities(
    access: pd.DataFrame, names: pd.DataFrame, entries: pd.DataFrame | None
) -> list[EntityCount]:
    """Each entity with its name and numbers, by id, from the tables EntityAccess, Entity and EntryWithdrawal.

    Without `entries`, the numbers are not known.
    """
    name_of = dict(zip(names["EntityID"].tolist(), names["Name"].fillna("").tolist(), strict=True))
    counts: dict[int | None, tuple[int | None, int | None]] = {}
    none = (None, None) if entries is None else (0, 0)
    if entries is not None:
        for entity, students in entries["StudentID"].groupby(entries["EntityID"], dropna=False):
            counts[None if pd.isna(entity) else entity] = (len(students), students.nunique())
    found = [
        EntityCount(entity, name_of.get(entity, ""), granted, included, *counts.get(entity, none))
        for entity, granted, included in access.itertuples(index=False)
    ]
    if None in counts:
        everything = bool(access["IsIncluded"].all())
        found.append(EntityCount(None, "no entity named", everything, everything, *counts[None]))
    return found


def not_granted_note(counts: Sequence[EntityCount]) -> str:
    """The enrollments of entities that are not granted, in words. Empty if there are none."""
    each = ", ".join(
        f"{one.label} ({one.enrollments:,}, {'counted' if one.included else 'excluded'})"
        for one in counts
        if one.enrollments and not one.granted and one.entity_id is not None
    )
    return f"enrollments came of entities that are not granted: {each}" if each else ""
