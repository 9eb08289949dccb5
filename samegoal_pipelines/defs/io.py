"""Asset values between steps and runs: the landing as Dagster's IO manager.

An asset's value maps table names to frames. Within a run it is passed in memory. A later run reads the landed
files of the same district and night, unless Qmlativ was read again since, so that nothing outdated is
published.
"""

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.district_run import DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.errors import Kind, PipelineError

Tables = dict[str, pd.DataFrame]
IN_MEMORY = "in_memory"
"""The resource that passes a job's outcome to the command that runs it in process. It lands nothing."""
_MADE_FROM = {
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
        with as_dagster_failure(asset, self._run, of_night=True):
            self._run.landing.write(asset, obj)
        self._in_memory[asset] = obj

    def load_input(self, context: dg.InputContext) -> Tables:
        """The value landed by this run, or else by the last run of the same night.

        Empty in a release, which publishes what is held.
        """
        asset = context.asset_key.to_user_string()
        if asset in self._in_memory or self._run.is_release:
            return self._in_memory.get(asset, {})
        with as_dagster_failure(asset, self._run, of_night=True):
            newest = self._run.landing.newest(asset)
            for raw in _MADE_FROM.get(asset, ()):
                read = self._run.landing.newest(raw)
                if newest and read and read.landed_at > newest.landed_at:
                    raise PipelineError(f"{raw} was read again after it was made", kind=Kind.OUTDATED)
            if newest:
                context.log.info(f"{asset} of {self._run.today} was landed by run {newest.run_id}")
            return self._run.landing.read(asset, run_id=newest.run_id if newest else None)


@dg.io_manager(required_resource_keys={"district_run"})
def landing_io_manager(context: dg.InitResourceContext) -> LandingIOManager:
    """Dagster's IO manager over the landing of this run's night."""
    return LandingIOManager(context.resources.district_run)
