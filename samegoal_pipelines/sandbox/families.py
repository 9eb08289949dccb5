"""Who lives with whom: families, their children and guardians, as arrays. No names, addresses or enrollments.

A child is a position 0 … students-1, a guardian a position in ``guardian_family``. Siblings share a family,
and so its guardians, its households and its attendance zone.
"""

from dataclasses import dataclass

import numpy as np

from samegoal_pipelines.sandbox.draw import chance, generator

HISPANIC, GENERAL, ASIAN = 0, 1, 2
MOTHER, FATHER, ELSEWHERE, CONTACT = 0, 1, 2, 3
"""Places of guardians in a family: first and second adult at home, parent of the other household, contact.

The first adult is nearly always a mother; in a single-parent family it may be the father, or a grandmother.
"""
_CHILDREN = (1, 2, 3, 4, 5)
_CHILDREN_SHARE = (0.44, 0.36, 0.14, 0.05, 0.01)
_TWO_PARENTS, _ONE_PARENT, _TWO_HOUSEHOLDS, _GRANDPARENTS = range(4)
_KINDS_SHARE = (0.58, 0.17, 0.18, 0.07)
# Relationship ids of school_years.RELATIONSHIPS
_R_MOTHER, _R_FATHER, _R_STEPFATHER, _R_GRANDMOTHER, _R_GRANDFATHER, _R_AUNT, _R_UNCLE = 1, 2, 4, 5, 6, 7, 8


@dataclass(frozen=True)
class Families:
    """Arrays over families (F), children (S) and guardians (G)."""

    count: int
    of_child: np.ndarray
    """S: the family."""
    origin: np.ndarray
    """F: HISPANIC, GENERAL or ASIAN; names and languages follow it."""
    zone: np.ndarray
    """F: where in the district the home lies, 0 to 1; decides the campus."""
    guardian_family: np.ndarray
    """G: the family; ascending."""
    guardian_place: np.ndarray
    """G: MOTHER, FATHER, ELSEWHERE or CONTACT."""
    guardian_relationship: np.ndarray
    """G: RelationshipID."""
    guardian_is_female: np.ndarray
    """G: the sex that goes with the relationship."""

    @property
    def children(self) -> int:
        """How many children there are."""
        return len(self.of_child)

    @property
    def guardians(self) -> int:
        """How many guardians there are."""
        return len(self.guardian_family)

    def guardianships(self) -> tuple[np.ndarray, np.ndarray]:
        """Every pair of child and guardian, children ascending, guardians by rank: positions of both."""
        per_family = np.bincount(self.guardian_family, minlength=self.count)
        first = np.concatenate([[0], np.cumsum(per_family)[:-1]])
        counts = per_family[self.of_child]
        child = np.repeat(np.arange(self.children), counts)
        within = np.arange(len(child)) - np.repeat(np.cumsum(counts) - counts, counts)
        return child, first[self.of_child[child]] + within


def families_of(seed: int, number: int, students: int) -> Families:
    """Families with this many children in all."""
    rng = generator(seed, number, "families")
    sizes = rng.choice(_CHILDREN, students, p=_CHILDREN_SHARE)
    count = int(np.searchsorted(np.cumsum(sizes), students)) + 1 if students else 0
    of_child = rng.permutation(np.repeat(np.arange(count), sizes[:count])[:students])
    kind = rng.choice(4, count, p=_KINDS_SHARE)
    father_only = (kind == _ONE_PARENT) & chance(rng, count, 0.2)
    here = np.zeros((count, 4), bool)
    here[:, MOTHER] = True
    second_adult = np.select([kind == _TWO_HOUSEHOLDS, kind == _GRANDPARENTS], [0.4, 0.5], 0.0)
    here[:, FATHER] = (kind == _TWO_PARENTS) | chance(rng, count, second_adult)
    here[:, ELSEWHERE] = kind == _TWO_HOUSEHOLDS
    here[:, CONTACT] = chance(rng, count, 0.22)
    relationship = np.empty((count, 4), np.int64)
    relationship[:, MOTHER] = np.select(
        [father_only, kind == _GRANDPARENTS], [_R_FATHER, _R_GRANDMOTHER], _R_MOTHER
    )
    relationship[:, FATHER] = np.select(
        [kind == _TWO_HOUSEHOLDS, kind == _GRANDPARENTS], [_R_STEPFATHER, _R_GRANDFATHER], _R_FATHER
    )
    relationship[:, ELSEWHERE] = _R_FATHER
    relationship[:, CONTACT] = np.where(chance(rng, count, 0.6), _R_AUNT, _R_UNCLE)
    family, place = np.nonzero(here)
    chosen = relationship[family, place]
    return Families(
        count=count,
        of_child=of_child,
        origin=rng.choice([HISPANIC, GENERAL, ASIAN], count, p=[0.52, 0.41, 0.07]),
        zone=rng.random(count),
        guardian_family=family,
        guardian_place=place,
        guardian_relationship=chosen,
        guardian_is_female=np.isin(chosen, [_R_MOTHER, _R_GRANDMOTHER, _R_AUNT]),
    )
