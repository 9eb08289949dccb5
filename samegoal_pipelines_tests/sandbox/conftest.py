"""A served sandbox with one literal district, and a caller for it."""

from collections.abc import Iterator
from datetime import date

import pytest

from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict, SandboxServer, serve
from samegoal_pipelines_tests.literal_district import literal_district
from samegoal_pipelines_tests.sandbox.caller import Caller

TODAY = date(2026, 10, 5)


@pytest.fixture
def district() -> SandboxDistrict:
    """Five students who are enrolled, and one of them left last year."""
    rows = [{"StudentID": student, "StartDate": "2026-08-12"} for student in (5, 3, 1, 4, 2)]
    left = {"StudentID": 1, "StartDate": "2025-08-12", "EndDate": "2026-05-27", "WithdrawalCode": "82"}
    return literal_district({"Enrollment/EntryWithdrawal": [*rows, left]}, today=TODAY)


@pytest.fixture(scope="session")
def served_once() -> Iterator[SandboxServer]:
    with serve(Sandbox([])) as served:
        yield served


@pytest.fixture
def server(served_once: SandboxServer, district: SandboxDistrict) -> SandboxServer:
    """A server with this test's district alone, no faults, and nothing logged."""
    served_once.sandbox.districts[:] = [district]
    served_once.faults.clear()
    served_once.traffic.clear()
    return served_once


@pytest.fixture
def caller(server: SandboxServer, district: SandboxDistrict) -> Caller:
    return Caller(server, district)
