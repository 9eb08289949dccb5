"""What can go wrong with the warehouse, by meaning. What Postgres itself refuses is in `postgres.errors`."""

from __future__ import annotations

from samegoal_pipelines.postgres.errors import PostgresNotStartedError as PostgresNotStartedError
from samegoal_pipelines.postgres.errors import WarehouseError as WarehouseError
from samegoal_pipelines.postgres.errors import WarehouseUnavailableError as WarehouseUnavailableError


class OlderSnapshotError(WarehouseError):
    """A night older than the last published one was to be published."""


class SupersededRunError(WarehouseError):
    """A run came late: a newer one has published the same night, or a switch to withhold was set since."""


class DistrictErasedError(WarehouseError):
    """A run came late: its district was erased after it had begun."""


class NothingHeldError(WarehouseError):
    """A held snapshot was to be released, and there is none."""


class ReleaseTooLateError(WarehouseError):
    """A held snapshot was to be released, and the district has moved on since it was held."""


class NothingToReplayError(WarehouseError):
    """Nights were to be replayed, and none of them is published."""


class SnapshotInProgressError(WarehouseError):
    """Another run is publishing this district right now."""

    transient = True


class UnfitSnapshotError(WarehouseError):
    """The frames handed to `publish` do not fit the tables: a column, a type, or a key that comes twice."""
