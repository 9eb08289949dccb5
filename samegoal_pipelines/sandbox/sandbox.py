"""The sandbox: the districts that one server serves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from samegoal_pipelines.sandbox.district import SandboxDistrict
from samegoal_pipelines.sandbox.lookups import school_year_of

DEFAULT_SIZES = (12_000, 900, 120)
"""Students of the first districts; further districts repeat them."""


@dataclass
class Sandbox:
    """Districts that one server serves."""

    districts: list[SandboxDistrict] = field(default_factory=list)

    @classmethod
    def generate(
        cls,
        districts: int = 3,
        students: int | Sequence[int] = DEFAULT_SIZES,
        seed: int = 1,
        today: dt.date | None = None,
        night: int = 0,
        school_year: int | None = None,
    ) -> Sandbox:
        """Synthetic districts. The same arguments give the same bytes on any machine.

        Args:
            students: per district, or one number for all.
            today: the date of the world; by default today in UTC.
            night: how many nights have passed; each changes about one student in 200.
            school_year: the SchoolYearID whose students these are, by default that of ``today``.
                Name it to get the same students before and after 1 July.
        """
        from samegoal_pipelines.sandbox.generate import generated_district

        today = today or dt.datetime.now(dt.UTC).date()
        year = school_year or school_year_of(today)
        sizes = [students] if isinstance(students, int) else students
        return cls(
            [
                generated_district(number, sizes[number % len(sizes)], seed, today, night, year)
                for number in range(districts)
            ]
        )

    def __getitem__(self, district_id: str) -> SandboxDistrict:
        """The district with this id."""
        for district in self.districts:
            if district.id == district_id:
                return district
        raise KeyError(district_id)
