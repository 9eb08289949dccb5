"""Errors of the warehouse, by meaning. Errors of Postgres itself are in `postgres.errors`."""

from __future__ import annotations

from samegoal_pipelines.errors import REPORT, SYNC, Kind
from samegoal_pipelines.postgres.errors import PostgresNotStartedError as PostgresNotStartedError
from samegoal_pipelines.postgres.errors import WarehouseError as WarehouseError
from samegoal_pipelines.postgres.errors import WarehouseUnavailableError as WarehouseUnavailableError


class OlderSnapshotError(WarehouseError):
    """Refuse to publish a night older than the last published one."""

    kind = Kind.OLDER_NIGHT
    next_step = f"nothing for that night, which is over; the schedule runs tonight's, or run it now: {SYNC}"
    rerun = False


class SupersededRunError(WarehouseError):
    """The run is late: a newer one published the night, or the district now withholds contacts."""

    kind = Kind.OVERTAKEN
    next_step = "nothing: what the later run read of that night is published"
    rerun = False


class DistrictErasedError(WarehouseError):
    """The run is late: its district was erased after it began."""

    kind = Kind.ERASED
    next_step = "register the district again if it is wanted after all"
    rerun = False


class StudentErasedError(WarehouseError):
    """The rows of a run have a student who was erased after they were read."""

    kind = Kind.OUTDATED
    next_step = f"if erase-student was interrupted, give it again; then read Qmlativ again: {SYNC}"
    rerun = False


class NothingHeldError(WarehouseError):
    """There is no held snapshot to release."""

    kind = Kind.RELEASE
    next_step = "see what became of the night: samegoal-pipelines changes ID"
    rerun = False


class ReleaseTooLateError(WarehouseError):
    """The held snapshot is outdated: the district published another one since."""

    kind = Kind.RELEASE
    next_step = f"run the night again: {SYNC}"
    rerun = False


class NothingToReplayError(WarehouseError):
    """None of the nights to replay is published."""

    kind = Kind.RELEASE
    rerun = False


class SnapshotInProgressError(WarehouseError):
    """Another run is publishing this district right now."""

    transient = True
    next_step = "wait until the other run is done"


class UnfitSnapshotError(WarehouseError):
    """The frames do not fit the tables: a wrong column or type, or a repeated key."""

    kind = Kind.DEFECT
    next_step = REPORT
    rerun = False
