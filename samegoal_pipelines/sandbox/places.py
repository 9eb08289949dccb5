"""Campuses, towns and street addresses of a synthetic district. No people."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from samegoal_pipelines.sandbox.draw import chance, joined, nullable, pick, where
from samegoal_pipelines.sandbox.words import COUNTIES, SCHOOL_PEOPLE, STREET_TYPES, STREETS

ELEMENTARY, MIDDLE, HIGH = 0, 1, 2
_LEVELS = (
    # label, students per campus, first campus number, share of all students
    ("Elementary School", 620, 101, 0.46),
    ("Middle School", 820, 41, 0.23),
    ("High School", 1900, 1, 0.31),
)
CAREER_CENTER = "Career and Technical Center"
ALTERNATIVE = "Alternative Learning Center"


@dataclass(frozen=True)
class Campuses:
    """Campuses of a district: one entity and one school each; the last two serve every zone."""

    entity: np.ndarray
    code: list[str]
    name: list[str]
    level_start: np.ndarray
    level_count: np.ndarray

    @property
    def career_center(self) -> int:
        """Position of the campus where cross-entity courses are taken."""
        return len(self.code) - 2

    @property
    def alternative(self) -> int:
        """Position of the campus for placements beside the home campus."""
        return len(self.code) - 1

    def of(self, grade: np.ndarray, zone: np.ndarray) -> np.ndarray:
        """The home campus (its position) for grades and attendance zones between 0 and 1."""
        level = np.where(grade <= 5, ELEMENTARY, np.where(grade <= 8, MIDDLE, HIGH))
        return self.level_start[level] + (zone * self.level_count[level]).astype(np.int64)

    def school_ids(self, position: np.ndarray) -> np.ndarray:
        """SchoolID, which is not the EntityID: a mix-up shows."""
        return self.entity[position] * 10 + 7000


def campuses_of(number: int, students: int) -> Campuses:
    """As many campuses as a district of this size has."""
    codes: list[str] = []
    names: list[str] = []
    starts: list[int] = []
    counts: list[int] = []
    for label, size, first, share in _LEVELS:
        starts.append(len(codes))
        counts.append(max(1, round(students * share / size)))
        for campus in range(counts[-1]):
            person = SCHOOL_PEOPLE[(number * 7 + len(codes)) % len(SCHOOL_PEOPLE)]
            codes.append(f"{first + campus:03d}")
            names.append(
                f"{person} {label}" + (f" {campus // 25 + 1}" if campus >= len(SCHOOL_PEOPLE) else "")
            )
    codes += ["009", "010"]
    names += [CAREER_CENTER, ALTERNATIVE]
    return Campuses(np.arange(len(codes)) + 2, codes, names, np.array(starts), np.array(counts))


def campus_rows(
    campuses: Campuses, district_name: str, district_code: str, years: list[int]
) -> dict[str, Any]:
    """Rows of District/Entity and Enrollment/School."""
    entities = [
        (1, "000", district_name),
        *zip(campuses.entity.tolist(), campuses.code, campuses.name, strict=True),
    ]
    schools = campuses.school_ids(np.arange(len(campuses.code))).tolist()
    return {
        "District/Entity": [
            {
                "EntityID": entity,
                "Code": code,
                "Name": name,
                "DistrictID": 1,
                "IsDistrictWide": entity == 1,
                "SchoolYearIDCurrent": years[-2],
            }
            for entity, code, name in entities
        ],
        "Enrollment/School": [
            {
                "SchoolID": school,
                "Code": code,
                "Name": name,
                "StateAssignedID": district_code + code,
                "SchoolYearID": year,
            }
            for year in years
            for school, code, name in zip(schools, campuses.code, campuses.name, strict=True)
        ],
    }


def town_rows(number: int, town: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of Demographics/Zip and Demographics/County: the town, and what lies around it."""
    zips = 75001 + (number * 97) % 4800
    cities = [town, town, town, f"{town} Station", f"North {town}", "Encantada", "Peñascal"]
    counties = [COUNTIES[(number + step) % len(COUNTIES)] for step in range(2)]
    return {
        "Demographics/Zip": [
            {"ZipID": 300 + place, "City": city, "ZipCode": str(zips + place), "StateID": 1}
            for place, city in enumerate(cities)
        ],
        "Demographics/County": [
            {"CountyID": 10 + place, "Name": f"{county} County"} for place, county in enumerate(counties)
        ],
    }


def address_columns(rng: np.random.Generator, count: int, po_box: np.ndarray) -> dict[str, pa.Array]:
    """Columns of Demographics/Address but its id: a street, or a PO box where that mask says so."""
    number = pa.array(rng.integers(100, 19_999, count)).cast(pa.string())
    unit = pa.array(rng.integers(1, 40, count)).cast(pa.string())
    kind = rng.random(count)
    street = joined(number, " ", pick(rng, STREETS, count), " ", pick(rng, STREET_TYPES, count))
    street = where(
        kind < 0.10, joined(street, " Apt ", unit), where(kind > 0.98, joined(street, " #", unit), street)
    )
    lot = where((kind > 0.95) & (kind < 0.96), joined("Lot ", unit), None)
    zip_place = np.minimum(rng.geometric(0.42, count) - 1, 6)
    add_on = pa.array(rng.integers(1000, 9999, count)).cast(pa.string())
    return {
        "StreetNumberAndNameIncludeSecondaryUnit": where(po_box, None, street),
        "AddressLine2": where(po_box, None, lot),
        "POBox": where(po_box, unit, None),
        "CountyID": pa.array(10 + chance(rng, count, 0.06).astype(np.int64)),
        "ZipID": nullable(300 + zip_place, chance(rng, count, 0.002)),
        "ZipCodeAddOn": where(chance(rng, count, 0.35), add_on, None),
    }
