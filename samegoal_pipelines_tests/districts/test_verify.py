"""What `districts verify` tells a person, asked of a sandbox Qmlativ over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from samegoal_pipelines.districts.registry import District, Registry
from samegoal_pipelines.districts.sealing import Sealer
from samegoal_pipelines.districts.verify import Step, Verification, verify
from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict, serve

TODAY = date(2026, 10, 1)


class Source:
    """A sandbox district, registered."""

    def __init__(self, registry: Registry, qmlativ: SandboxDistrict, base_url: str) -> None:
        self.registry = registry
        self.qmlativ = qmlativ
        self.base_url = base_url

    def register(self, **facts: Any) -> District:
        facts = {"client_secret": self.qmlativ.client_secret, "expires": date(2027, 7, 1)} | facts
        return self.registry.add(
            id="grand-bend",
            name="Grand Bend ISD",
            base_url=self.base_url,
            client_key=self.qmlativ.client_key,
            allow_local=True,
            **facts,
        )

    def verify(self, district: District, **how: Any) -> tuple[Verification, dict[str, Step]]:
        found = verify(self.registry, district, allow_local=True, today=TODAY, **how)
        return found, {step.name: step for step in found.steps}


@pytest.fixture
def source(warehouse: sa.Engine, tmp_path: Path) -> Iterator[Source]:
    sandbox = Sandbox.generate(districts=1, students=30, seed=3, today=TODAY)
    with serve(sandbox) as server:
        qmlativ = sandbox.districts[0]
        yield Source(Registry(warehouse, Sealer.load(tmp_path, None)), qmlativ, server.base_url(qmlativ))


def test_a_district_that_is_in_order_is_said_to_be(source: Source) -> None:
    found, steps = source.verify(source.register())
    assert found.ok
    assert {step.state for step in found.steps} == {"ok"}
    assert (
        steps["token and identity"].outcome
        == f"{source.qmlativ.code} {source.qmlativ.name}, read as entity 1"
    )
    assert steps["school years"].outcome == "2025-2026, 2026-2027, 2027-2028"
    assert steps["Enrollment/EntryWithdrawal"].outcome.endswith(" fields granted")
    assert "Demographics/Name (IsStudentName) " in steps["rows"].outcome
    assert steps["expiry"].outcome == "2027-07-01, in 273 days"
    assert found.facts()["steps"][0]["name"] == "expiry"
    pin = source.registry.get("grand-bend").pin
    assert pin is not None
    assert pin.code == source.qmlativ.code


def test_a_wrong_secret_is_one_row_and_ends_the_questions(source: Source) -> None:
    found, steps = source.verify(source.register(client_secret="wrong"))
    assert not found.ok
    assert list(steps) == ["expiry", "token and identity"]
    assert "does not accept the credentials" in steps["token and identity"].outcome
    assert "check the Client Key, the Client Secret" in steps["token and identity"].remedy
    assert "wrong" not in str(found.facts())


def test_a_required_field_that_is_not_granted_is_named(source: Source) -> None:
    source.qmlativ.denied_fields |= {"Student/Student.StudentNumber", "Demographics/Name.IsHispanic"}
    found, steps = source.verify(source.register())
    assert not found.ok
    assert steps["Student/Student"].state == "failed"
    assert "StudentNumber is not granted" in steps["Student/Student"].outcome
    names = steps["Demographics/Name (IsStudentName)"]
    assert (names.state, "without IsHispanic" in names.outcome) == ("warning", True)
    assert "rows" not in steps


def test_credentials_of_another_district_are_said_so(source: Source) -> None:
    district = source.register()
    source.verify(district, count_rows=False)
    source.qmlativ.code = "999999"
    found, steps = source.verify(source.registry.get("grand-bend"))
    assert not found.ok
    assert "the credentials are of district 999999" in steps["token and identity"].outcome
    assert "entities" not in steps


def test_a_lost_key_is_a_row(source: Source, warehouse: sa.Engine, tmp_path: Path) -> None:
    district = source.register()
    elsewhere = Registry(warehouse, Sealer.load(tmp_path / "elsewhere", None))
    found = verify(elsewhere, district, allow_local=True, today=TODAY)
    assert not found.ok
    assert "sealed with a key that is not in" in found.steps[-1].outcome
    assert "rotate-secret grand-bend" in found.steps[-1].remedy


@pytest.mark.parametrize(
    ("expires", "state", "outcome"),
    [
        (None, "warning", "not known"),
        (date(2026, 9, 30), "failed", "expired on 2026-09-30"),
        (date(2026, 10, 31), "warning", "2026-10-31, in 30 day(s)"),
        (date(2026, 11, 1), "ok", "2026-11-01, in 31 days"),
    ],
)
def test_the_expiry_is_told_in_time(source: Source, expires: date | None, state: str, outcome: str) -> None:
    _, steps = source.verify(source.register(expires=expires), count_rows=False)
    assert (steps["expiry"].state, steps["expiry"].outcome) == (state, outcome)
