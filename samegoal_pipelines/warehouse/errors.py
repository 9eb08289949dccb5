"""Errors of the warehouse, by meaning. Errors of Postgres itself are in `postgres.errors`."""

from samegoal_pipelines.errors import REPORT, SYNC, Kind
from samegoal_pipelines.postgres.errors import WarehouseError as WarehouseError
from samegoal_pipelines.postgres.errors import WarehouseUnavailableError as WarehouseUnavailableError


class LateRunError(WarehouseError):
    """The run may no longer write what it has read: its night, district or students have changed since."""

    kind = Kind.OVERTAKEN
    next_step = "nothing: what the later run read of that night is published"
    rerun = False


class ReleaseRefusedError(WarehouseError):
    """There is nothing to release or to replay, or it is too late for that."""

    kind = Kind.RELEASE
    next_step = f"run the night again: {SYNC}"
    rerun = False


class SnapshotInProgressError(WarehouseError):
    """Another run is publishing this district right now."""

    transient = True
    next_step = "wait until the other run is done"


class UnfitSnapshotError(WarehouseError):
    """The frames of a snapshot contradict each other, or a value is not of its column's type."""

    kind = Kind.DEFECT
    next_step = REPORT
    rerun = False
