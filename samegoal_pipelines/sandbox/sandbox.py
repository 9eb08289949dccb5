"""The sandbox: several districts and what they have in common. No HTTP, no generator."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from samegoal_pipelines.sandbox.district import SandboxDistrict
from samegoal_pipelines.sandbox.school_years import school_year_of

DEFAULT_SIZES = (12_000, 900, 120)
"""Students of the first districts, and then over again."""


@dataclass
class Sandbox:
    """Districts that one server serves."""

    districts: list[SandboxDistrict] = field(default_factory=list)
    invalid_client_status: int = 401
    """Status of the token endpoint for wrong or expired credentials: 400 or 401."""

    @classmethod
    def generate(
        cls,
        districts: int = 3,
        students: int | Sequence[int] = DEFAULT_SIZES,
        seed: int = 1,
        today: dt.date | None = None,
        night: int = 0,
        school_year: int | None = None,
    ) -> "Sandbox":
        """Synthetic districts. The same arguments give the same bytes, on any machine and in any process.

        ``students`` is one size for all, or sizes that are repeated as often as needed. ``today`` is the date
        of the world (UTC today by default); after night 0 each night changes about one student in 200.
        The students are those of the school year of ``today``, or of the one with id ``school_year``: name it
        where the same students are wanted before and after 1 July.
        """
        from samegoal_pipelines.sandbox.generate import district_of

        today = today or dt.datetime.now(dt.UTC).date()
        anchor = school_year or school_year_of(today)
        sizes = [students] if isinstance(students, int) else list(students)
        made = [
            district_of(
                number, sizes[number % len(sizes)], seed=seed, today=today, night=night, anchor=anchor
            )
            for number in range(districts)
        ]
        return cls(made)

    def by_client_key(self, client_key: str) -> SandboxDistrict | None:
        """The district whose credentials have this key."""
        return next((district for district in self.districts if district.client_key == client_key), None)

    def by_base_path(self, base_path: str) -> SandboxDistrict | None:
        """The district served under this path."""
        return next((district for district in self.districts if district.base_path == base_path), None)

    def __getitem__(self, district_id: str) -> SandboxDistrict:
        for district in self.districts:
            if district.id == district_id:
                return district
        raise KeyError(district_id)
