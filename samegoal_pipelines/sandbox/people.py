"""The rows of Demographics/Name: students, guardians, staff and vendors, named as people really are.

Everyone is a position: students first, then guardians, then staff, then vendors. No phones and no
addresses.
"""

import unicodedata
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.sandbox import words as w
from samegoal_pipelines.sandbox.draw import (
    chance,
    days,
    generator,
    joined,
    nullable,
    pick,
    where,
    words,
)
from samegoal_pipelines.sandbox.families import ASIAN, CONTACT, FATHER, HISPANIC, Families
from samegoal_pipelines.sandbox.school_years import NUMERIC_YEAR_OF_ID_0

FIRST_NAME_ID = 500_001
_FIRST = {
    # origin → (female, male); general names are heard everywhere
    HISPANIC: (w.HISPANIC_FIRST_F + w.GENERAL_FIRST_F[:12], w.HISPANIC_FIRST_M + w.GENERAL_FIRST_M[:12]),
    ASIAN: (w.ASIAN_FIRST_F + w.GENERAL_FIRST_F[:8], w.ASIAN_FIRST_M + w.GENERAL_FIRST_M[:8]),
}
_LAST = {HISPANIC: w.HISPANIC_LAST, ASIAN: w.ASIAN_LAST}
_WHITE, _BLACK, _ASIAN, _ALASKAN, _HAWAIIAN = range(5)
_RACES = ("White", "Black or African American", "Asian", "American Indian or Alaska Native",
          "Native Hawaiian or Other Pacific Islander")  # fmt: skip
_RACE_SHARE = {HISPANIC: (0.9, 0.04, 0.01, 0.04, 0.01), ASIAN: (0.02, 0.0, 0.9, 0.0, 0.08)}
_GENERAL_RACE_SHARE = (0.64, 0.31, 0.01, 0.03, 0.01)


@dataclass(frozen=True)
class People:
    """Everyone with a name, as columns. Ids are shuffled, so that storage order is not id order."""

    students: int
    guardians: int
    staff: int
    vendors: int
    name_id: np.ndarray
    table: pa.Table

    def student_ids(self) -> np.ndarray:
        """NameID of each student."""
        return self.name_id[: self.students]

    def guardian_ids(self) -> np.ndarray:
        """NameID of each guardian."""
        return self.name_id[self.students : self.students + self.guardians]

    def staff_ids(self) -> np.ndarray:
        """NameID of each member of staff and each vendor."""
        return self.name_id[self.students + self.guardians :]


def people_of(seed: int, number: int, families: Families, grade: np.ndarray, anchor: int) -> People:
    """Names of families and staff; ``grade`` is that of each student in the school year ``anchor``."""
    rng = generator(seed, number, "people")
    students, guardians = families.children, families.guardians
    staff, vendors = max(3, students // 12), max(2, students // 150)
    total = students + guardians + staff + vendors

    staff_origin = rng.choice([HISPANIC, 1, ASIAN], staff + vendors, p=[0.4, 0.55, 0.05])
    origin = np.concatenate(
        [families.origin[families.of_child], families.origin[families.guardian_family], staff_origin]
    )
    female = np.concatenate(
        [chance(rng, students, 0.49), families.guardian_is_female, chance(rng, staff + vendors, 0.7)]
    )
    is_student = np.arange(total) < students
    is_guardian = (np.arange(total) >= students) & (np.arange(total) < students + guardians)
    is_guardian |= (np.arange(total) >= students + guardians) & chance(
        rng, total, 0.08
    )  # staff with children
    is_vendor = np.arange(total) >= total - vendors

    first, legal_first = _first_names(rng, origin, female)
    middle = _middle_names(rng, origin, female)
    last = _last_names(rng, families, origin, students, guardians)
    company = pick(rng, w.COMPANIES, total)
    last = where(is_vendor, company, last)
    has_legal = is_student | chance(rng, total, 0.3)
    name_id = FIRST_NAME_ID + rng.permutation(total)
    columns = {
        "NameID": pa.array(name_id),
        "FirstName": where(is_vendor, None, first),
        "MiddleName": where(is_vendor, None, middle),
        "LastName": last,
        "FirstNameLegal": where(has_legal & ~is_vendor, legal_first, None),
        "MiddleNameLegal": where(has_legal & ~is_vendor, middle, None),
        "LastNameLegal": where(has_legal & ~is_vendor, last, None),
        "NameSuffixID": _suffixes(rng, female, is_student, is_vendor),
        "BirthDate": _birth_dates(rng, total, grade, anchor),
        "Gender": where(is_vendor, None, words(["Male", "Female"], female.astype(np.int64))),
        "GenderCode": where(is_vendor, None, words(["M", "F"], female.astype(np.int64))),
        **_race_columns(rng, origin, students),
        "IsStudentName": pa.array(is_student),
        "IsGuardianName": pa.array(is_guardian),
    }
    return People(students, guardians, staff, vendors, name_id, pa.table(columns))


def plain_ascii(column: pa.Array) -> pa.Array:
    """Names as they stand in e-mail addresses: small letters without accents."""
    known = column.dictionary_encode()
    spelled = [
        "".join(c for c in unicodedata.normalize("NFKD", text).lower() if c.isascii() and c.isalpha())
        for text in known.dictionary.to_pylist()
    ]
    return pa.array(spelled, pa.string()).take(known.indices)


def _first_names(
    rng: np.random.Generator, origin: np.ndarray, female: np.ndarray
) -> tuple[pa.Array, pa.Array]:
    """The name used and the legal one; a few go by a nickname."""
    legal = _by_origin(rng, origin, female)
    count = len(origin)
    called = chance(rng, count, 0.03)
    pairs = w.NICKNAMES_F + w.NICKNAMES_M
    which = rng.integers(0, len(w.NICKNAMES_F), count) + np.where(female, 0, len(w.NICKNAMES_F))
    nick = words([short for _, short in pairs], which)
    full = words([long for long, _ in pairs], which)
    return where(called, nick, legal), where(called, full, legal)


def _by_origin(rng: np.random.Generator, origin: np.ndarray, female: np.ndarray) -> pa.Array:
    """A first name per person."""
    lists: list[str] = []
    start, size = np.zeros((3, 2), np.int64), np.zeros((3, 2), np.int64)
    for kind in range(3):
        for which, names in enumerate(_FIRST.get(kind, (w.GENERAL_FIRST_F, w.GENERAL_FIRST_M))):
            start[kind, which], size[kind, which] = len(lists), len(names)
            lists += names
    sex = (~female).astype(np.int64)
    return words(lists, start[origin, sex] + (rng.random(len(origin)) * size[origin, sex]).astype(np.int64))


def _middle_names(rng: np.random.Generator, origin: np.ndarray, female: np.ndarray) -> pa.Array:
    """Mostly a name, sometimes an initial, often nothing."""
    count = len(origin)
    full = _by_origin(rng, origin, female)
    kind = rng.random(count)
    return where(
        kind < 0.22, None, where(kind < 0.30, joined(pc.utf8_slice_codeunits(full, 0, 1), "."), full)
    )


def _last_names(
    rng: np.random.Generator, families: Families, origin: np.ndarray, students: int, guardians: int
) -> pa.Array:
    """Families share a last name; some are hyphenated or of two parts, and not every parent bears it."""
    count = len(origin)
    single = _surnames(rng, origin)
    family_origin = families.origin
    one, two = _surnames(rng, family_origin), _surnames(rng, family_origin)
    kind = rng.random(families.count)
    two_part = (family_origin == HISPANIC) & (kind < 0.14)
    hyphen = ~two_part & (kind > 0.95)
    of_family = where(two_part, joined(one, " ", two), where(hyphen, joined(one, "-", two), one))
    family = np.concatenate([families.of_child, families.guardian_family])
    shared = of_family.take(pa.array(family))
    own = np.zeros(students + guardians, bool)
    apart = np.select(
        [families.guardian_place == CONTACT, families.guardian_place == FATHER], [0.7, 0.15], 0.25
    )
    own[students:] = chance(rng, guardians, apart)
    members = where(own, single.slice(0, students + guardians), shared)
    return pa.concat_arrays([members, single.slice(students + guardians, count - students - guardians)])


def _surnames(rng: np.random.Generator, origin: np.ndarray) -> pa.Array:
    """A single last name per position."""
    lists: list[str] = []
    start, size = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for kind in range(3):
        names = _LAST.get(kind, w.GENERAL_LAST)
        start[kind], size[kind] = len(lists), len(names)
        lists += names
    return words(lists, start[origin] + (rng.random(len(origin)) * size[origin]).astype(np.int64))


def _suffixes(
    rng: np.random.Generator, female: np.ndarray, is_student: np.ndarray, is_vendor: np.ndarray
) -> pa.Array:
    """Jr, II, III, IV for some boys; Jr and Sr for some men. Ids of NAME_SUFFIXES."""
    count = len(female)
    boys, men = rng.choice([1, 3, 4, 5], count, p=[0.5, 0.15, 0.3, 0.05]), rng.choice([1, 2], count)
    has = ~female & ~is_vendor & chance(rng, count, np.where(is_student, 0.05, 0.02))
    return nullable(np.where(is_student, boys, men), ~has)


def _birth_dates(rng: np.random.Generator, total: int, grade: np.ndarray, anchor: int) -> pa.Array:
    """Children are five on 1 September of kindergarten; adults' birth dates are seldom known."""
    numeric = anchor + NUMERIC_YEAR_OF_ID_0
    september = (np.datetime64("1970-09-01") + np.zeros(1, "timedelta64[D]")).astype("datetime64[D]")
    born_by = np.array(numeric - 1 - 5 - grade - 1970, "timedelta64[Y]") + september.astype("datetime64[M]")
    children = born_by.astype("datetime64[D]").astype(np.int64) - rng.integers(0, 365, len(grade))
    adults = rng.integers(-5500, 13_500, total - len(grade))
    missing = np.concatenate([np.zeros(len(grade), bool), chance(rng, len(adults), 0.8)])
    return days(np.concatenate([children, adults]), missing)


def _race_columns(rng: np.random.Generator, origin: np.ndarray, students: int) -> dict[str, pa.Array]:
    """Ethnicity, race and the flags, for students; nobody asks the others."""
    total = len(origin)
    known = np.arange(total) < students
    draw = rng.random(total)
    race = np.zeros(total, np.int64)
    for kind in range(3):
        steps = np.cumsum(_RACE_SHARE.get(kind, _GENERAL_RACE_SHARE))
        race = np.where(origin == kind, np.minimum(np.searchsorted(steps, draw), 4), race)
    second = rng.integers(0, 5, total)
    several = chance(rng, total, 0.05) & (second != race)
    hispanic = (origin == HISPANIC) & chance(rng, total, 0.98)
    text = where(several, "Two or More Races", words(_RACES, race))
    ethnicity = words(["Not Hispanic/Latino", "Hispanic/Latino"], hispanic.astype(np.int64))

    def flag(which: int) -> pa.Array:
        return pa.array((race == which) | (several & (second == which)), pa.bool_(), mask=~known)

    return {
        "Ethnicity": where(known, ethnicity, None),
        "Race": where(known, text, None),
        "EthnicityAndRace": where(known, where(hispanic, ethnicity, text), None),
        "IsHispanic": pa.array(hispanic, pa.bool_(), mask=~known),
        "IsWhite": flag(_WHITE),
        "IsBlack": flag(_BLACK),
        "IsAsian": flag(_ASIAN),
        "IsAlaskan": flag(_ALASKAN),
        "IsHawaiian": flag(_HAWAIIAN),
    }
