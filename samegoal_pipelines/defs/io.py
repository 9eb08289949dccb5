"""Asset values between steps and runs: the landing as Dagster's IO manager.

An asset's value maps table names to frames. Within a run it is passed in memory. A later run reads the landed
files of the same district and night, unless Qmlativ was read again since, so that nothing outdated is
published.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.district_run import DistrictRun, OutdatedError
from samegoal_pipelines.defs.errors import record_failures
from samegoal_pipelines.landing.runs import NotLandedError, read_landed_for
from samegoal_pipelines.warehouse.release import find_released

Tables = dict[str, pd.DataFrame]
IN_MEMORY = "in_memory"
"""The resource that passes a job's outcome to the command that runs it in process. It lands nothing."""


MADE_FROM = {
    "cecs_filtered_enrollments": ("raw_enrollments",),
    "student_status": ("raw_enrollments",),
    "student_demographics": ("raw_enrollments", "raw_students"),
    "parent_demographics": ("raw_enrollments", "raw_parents"),
}
"""Asset → the raw assets it is made from."""


class LandingIOManager(dg.IOManager):
    """Lands every asset's value under its district, night and run."""

    def __init__(self, run: DistrictRun) -> None:
        self._run = run
        self._in_memory: dict[str, Tables] = {}

    def handle_output(self, context: dg.OutputContext, obj: Tables | None) -> None:
        """Land the value. An asset without one (`published_snapshot`) lands nothing."""
        if obj is None:
            return
        asset = context.asset_key.to_user_string()
        with record_failures(asset, self._run):
            self._run.landing.write(asset, obj, _facts(obj))
        self._in_memory[asset] = obj

    def load_input(self, context: dg.InputContext) -> Tables:
        """The value landed by this run, or else by the last run of the same night."""
        asset = context.asset_key.to_user_string()
        if asset in self._in_memory:
            return self._in_memory[asset]
        if self._run.is_release:
            return ReleasedTables(self._run, asset)
        with record_failures(asset, self._run):
            self._refuse_outdated(asset)
            newest = self._run.landing.newest(asset)
            if newest:
                context.log.info(f"{asset} of {self._run.today} was landed by run {newest.run_id}")
            return self._run.landing.read(asset, run_id=newest.run_id if newest else None)

    def _refuse_outdated(self, asset: str) -> None:
        """Refuse values made from an older reading than the night's last one.

        Raises:
            OutdatedError: a run that began later has read Qmlativ again.
        """
        made = self._run.landing.newest(asset)
        for raw in MADE_FROM.get(asset, ()):
            read = self._run.landing.newest(raw)
            if made and read and read.landed_at > made.landed_at:
                raise OutdatedError(f"{raw} was read again after it was made")


class ReleasedTables(Tables):
    """An asset landed for the released snapshot, read on first use: the release does not need it."""

    def __init__(self, run: DistrictRun, asset: str) -> None:
        super().__init__()
        self._run, self._asset = run, asset

    def __missing__(self, table: str) -> pd.DataFrame:
        """Read all of its tables.

        Raises:
            NotLandedError, LandedFileError: the tables are gone or damaged.
        """
        if self:
            raise KeyError(table)
        self.update(read_released(self._run, self._asset))
        return self[table]


def read_released(run: DistrictRun, asset: str) -> Tables:
    """An asset as it was landed for the last released snapshot of this run's night.

    Raises:
        NotLandedError, LandedFileError: as `read_landed_for`.
    """
    released = find_released(run.deployment.warehouse, run.district_id, run.today)
    if released is None:
        raise NotLandedError("are unknown, because no snapshot of this night was released")
    return read_landed_for(run.deployment.landing, released, asset)


def _facts(tables: Tables) -> dict[str, dict[str, Any]]:
    """What was requested from Qmlativ for each table, from the asset's table of reads, if it has one."""
    if "Reads" not in tables:
        return {}
    return {
        read["Object"]: {key: value for key, value in read.items() if key != "Object"}
        for read in tables["Reads"].to_dict(orient="records")
    }


@dg.io_manager(required_resource_keys={"district_run"})
def landing_io_manager(context: dg.InitResourceContext) -> LandingIOManager:
    """Dagster's IO manager over the landing of this run's night."""
    return LandingIOManager(context.resources.district_run)
