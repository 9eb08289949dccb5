"""Districts and attempts for tests of reports and alerts, as the pipeline would have left them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from typing import Any

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.landing import LandedAsset, Landing
from samegoal_pipelines.postgres.errors import WarehouseUnavailableError
from samegoal_pipelines.qmlativ.errors import InvalidCredentialsError
from samegoal_pipelines.tables.warehouse import district_credentials, districts, snapshots
from samegoal_pipelines.transforms.gate import Verdict
from samegoal_pipelines.warehouse.engine import as_writer

NIGHT = date(2026, 10, 12)
REGISTERED = datetime(2026, 8, 1, tzinfo=UTC)
_runs = count(1)


def at(text: str, night: date = NIGHT) -> datetime:
    """A moment in UTC, on this day."""
    return datetime.combine(night, time.fromisoformat(text), UTC)


def register(engine: sa.Engine, district_id: str, timezone: str = "America/Chicago", **facts: Any) -> None:
    """A district in the registry, with a secret that nothing can decrypt."""
    facts.setdefault("expiration", "given" if facts.get("expires") else "unknown")
    row = {
        "name": f"{district_id.replace('-', ' ').title()} ISD",
        "base_url": f"https://{district_id}.example.com/API",
        "source_host": f"{district_id}.example.com",
        "registered_at": REGISTERED,
        "secret_set_at": REGISTERED,
        **facts,
    }
    with as_writer(engine, district_id, "registering") as connection:
        connection.execute(sa.insert(districts).values(district_id=district_id, timezone=timezone, **row))
        secret = {"encrypted_secret": b"encrypted" if row["secret_set_at"] else None}
        key = {"district_id": district_id, "client_key": f"key of {district_id}"}
        connection.execute(sa.insert(district_credentials).values(**key, **secret))


REFUSED = InvalidCredentialsError(
    "Qmlativ does not accept the credentials (HTTP 400)", step="reading Qmlativ"
)
UNREACHABLE = WarehouseUnavailableError(
    "no connection to Postgres", step="publishing", next_step="check that the server is up"
)


def attempt(
    engine: sa.Engine,
    district_id: str,
    state: str,
    night: date = NIGHT,
    reason: str | PipelineError | None = None,
    **facts: Any,
) -> str:
    """One attempt in `snapshots`; returns its run."""
    if state == "held":
        facts = {"kind": "dropped", "next_step": Verdict().next_step(night)} | facts
    if isinstance(reason, PipelineError):
        facts |= {"kind": reason.kind.value, "next_step": reason.next_step_of_night}
        reason = reason.reason
    run_id = facts.pop("run_id", None) or f"run-{next(_runs)}"
    started = datetime.combine(night, time(7), UTC)
    row: dict[str, Any] = {"started_at": started, "held_reason": reason}
    if state in ("published", "held", "superseded"):
        students = facts.pop("students", 100)
        row |= {"students": students, "enrolled": students - 10}
        row |= {"pre_enrolled": 4, "graduated": 3, "inactive": 3}
        row |= {"added": 2, "changed": 5, "removed": 1, "carried_over": 0}
    if state == "published":
        row["published_at"] = started + timedelta(minutes=3)
    with as_writer(engine, district_id, "recording") as connection:
        row |= {"district_id": district_id, "run_id": run_id, "snapshot_date": night, "state": state}
        connection.execute(sa.insert(snapshots).values(**row | facts))
    return run_id


def put(
    engine: sa.Engine,
    district_id: str,
    state: str | None,
    reason: str | PipelineError = "no luck",
    **registration: Any,
) -> None:
    """A district that was published last night, and tonight is in this state. None: nothing has run."""
    register(engine, district_id, **registration)
    attempt(engine, district_id, "published", NIGHT - timedelta(days=1))
    if state is not None:
        attempt(engine, district_id, state, reason=None if state == "published" else reason)


def land(landing: Landing, raw: Mapping[str, pd.DataFrame], run_id: str, **where: Any) -> None:
    """Land raw enrollments, by default of grand-bend's NIGHT."""
    usual: dict[str, Any] = {"district_id": "grand-bend", "night": NIGHT, "landed_at": at("07:00")}
    landing.write(LandedAsset(asset="raw_enrollments", run_id=run_id, **usual | where), raw)
