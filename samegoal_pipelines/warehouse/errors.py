"""What can go wrong with the warehouse, by meaning. What Postgres itself refuses is in `postgres.errors`."""

from __future__ import annotations

from samegoal_pipelines.errors import REPORT, SYNC, Kind
from samegoal_pipelines.postgres.errors import PostgresNotStartedError as PostgresNotStartedError
from samegoal_pipelines.postgres.errors import WarehouseError as WarehouseError
from samegoal_pipelines.postgres.errors import WarehouseUnavailableError as WarehouseUnavailableError


class OlderSnapshotError(WarehouseError):
    """A night older than the last published one was to be published."""

    kind = Kind.OLDER_NIGHT
    next_step = f"nothing for that night, which is over; the schedule runs tonight's, or run it now: {SYNC}"
    rerun = False


class SupersededRunError(WarehouseError):
    """A run came late: a newer one has published the same night, or a switch to withhold was set since."""

    kind = Kind.OVERTAKEN
    next_step = "nothing: what the later run read of that night is published"
    rerun = False


class DistrictErasedError(WarehouseError):
    """A run came late: its district was erased after it had begun."""

    kind = Kind.ERASED
    next_step = "register the district again if it is wanted after all"
    rerun = False


class NothingHeldError(WarehouseError):
    """A held snapshot was to be released, and there is none."""

    kind = Kind.RELEASE
    next_step = "see what became of the night: samegoal-pipelines changes ID"
    rerun = False


class ReleaseTooLateError(WarehouseError):
    """A held snapshot was to be released, and the district has moved on since it was held."""

    kind = Kind.RELEASE
    next_step = f"run the night again: {SYNC}"
    rerun = False


class NothingToReplayError(WarehouseError):
    """Nights were to be replayed, and none of them is published."""

    kind = Kind.RELEASE
    rerun = False


class SnapshotInProgressError(WarehouseError):
    """Another run is publishing this district right now."""

    transient = True
    next_step = "wait until the other run is done"


class UnfitSnapshotError(WarehouseError):
    """The frames handed to `publish` do not fit the tables: a column, a type, or a key that comes twice."""

    kind = Kind.DEFECT
    next_step = REPORT
    rerun = False
