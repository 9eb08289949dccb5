"""What can go wrong with the warehouse, by meaning. What Postgres itself refuses is in `postgres.errors`."""

from __future__ import annotations

from samegoal_pipelines.postgres.errors import PostgresNotStarted as PostgresNotStarted
from samegoal_pipelines.postgres.errors import WarehouseError as WarehouseError
from samegoal_pipelines.postgres.errors import WarehouseUnavailable as WarehouseUnavailable


class OlderSnapshot(WarehouseError):
    """A night older than the last published one was to be published."""


class SupersededRun(WarehouseError):
    """A run came late: a newer one has published the same night, or a switch to withhold was set since."""


class DistrictErased(WarehouseError):
    """A run came late: its district was erased after it had begun."""


class NothingHeld(WarehouseError):
    """A held snapshot was to be released, and there is none."""


class ReleaseTooLate(WarehouseError):
    """A held snapshot was to be released, and the district has moved on since it was held."""


class NothingToReplay(WarehouseError):
    """Nights were to be replayed, and none of them is published."""


class SnapshotInProgress(WarehouseError):
    """Another run is publishing this district right now."""

    transient = True


class UnfitSnapshot(WarehouseError):
    """The frames handed to `publish` do not fit the tables: a column, a type, or a key that comes twice."""
