"""One run's landed assets, which run's assets a snapshot was made from, and what the gate asks of them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from samegoal_pipelines.landing.storage import LandingError
from samegoal_pipelines.landing.store import LandedAsset, Landing
from samegoal_pipelines.tables.catalog import RAW_TABLES
from samegoal_pipelines.tables.vocabulary import ACTIVE
from samegoal_pipelines.transforms.gate import Students
from samegoal_pipelines.transforms.reads import rows_by_object
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.transforms.status import statuses_of
from samegoal_pipelines.warehouse.snapshots import RunIdentity, Snapshot

HELD_SNAPSHOT = "held_snapshot"
"""The name under which a held snapshot is landed. No Dagster asset has this name."""


class NotLandedError(LandingError):
    """A night's landed rows cannot be used any more."""


def landed_for(landing: Landing, snapshot: Snapshot, asset: str) -> LandedAsset:
    """The landed asset that a snapshot was made from. Raises `NotLandedError` if that is gone.

    It is from the snapshot's own run, or the run whose enrollments it used, or the last one before it,
    because a run started in the UI with a later asset uses what is landed.
    """
    landed = landing.landed(asset, district_id=snapshot.district_id, night=snapshot.snapshot_date)
    runs = {one.run_id: one for one in landed if one.landed_at <= snapshot.started_at}
    before = [] if asset == "raw_enrollments" else reversed(runs)
    for run_id in (snapshot.run_id, snapshot.landed_run_id, *before):
        if run_id in runs:
            return runs[run_id]
    raise NotLandedError("are missing")


def read_landed_for(landing: Landing, snapshot: Snapshot, asset: str) -> dict[str, pd.DataFrame]:
    """An asset as it was landed for a snapshot. Raises `NotLandedError` or `LandedFileError`."""
    tables = landing.open(landed_for(landing, snapshot, asset))
    if RAW_TABLES.get(asset, {}).keys() - tables.keys():
        raise NotLandedError("are from an older version, which did not read everything that is used today")
    return tables


@dataclass(frozen=True)
class RunLanding:
    """What one run lands and reads."""

    files: Landing
    run: RunIdentity

    def write(self, asset: str, tables: Mapping[str, pd.DataFrame]) -> None:
        """Land an asset's tables under this district, night and run."""
        run = self.run
        self.files.write(LandedAsset(run.district_id, run.night, run.run_id, asset, run.started_at), tables)

    def read(
        self, asset: str, night: date | None = None, run_id: str | None = None
    ) -> dict[str, pd.DataFrame]:
        """As `Landing.read`, by default of this night."""
        night = night or self.run.night
        return self.files.read(asset, district_id=self.run.district_id, night=night, run_id=run_id)

    def newest(self, asset: str) -> LandedAsset | None:
        """The asset as the last run of the night landed it. None if nothing is landed."""
        return next(reversed(self._landed(asset)), None)

    def last_reads(self, asset: str) -> pd.DataFrame | None:
        """The asset's last landed table of reads: a hint, so a damaged file is as good as none."""
        with suppress(LandingError):
            return self.files.read_last(
                asset, "Reads", district_id=self.run.district_id, up_to=self.run.night
            )
        return None

    def reads(self) -> list[pd.DataFrame]:
        """The usable tables of reads of tonight's raw assets, by this run or else by the last one."""
        found = []
        for asset in RAW_TABLES:
            with suppress(LandingError):
                landed = self._landed(asset)
                own = [one for one in landed if one.run_id == self.run.run_id]
                found += [self.files.open(one, "Reads")["Reads"] for one in (own or landed)[-1:]]
        return found

    def enrollments_run_id(self) -> str | None:
        """The run that landed the raw enrollments of tonight's statuses. None if their files are gone.

        This run if it read Qmlativ itself, or else the last one that had landed them when they were filtered.
        """
        filtered = self.newest("cecs_filtered_enrollments")
        filtered_at = filtered.landed_at if filtered else self.run.started_at
        runs = [one.run_id for one in self._landed("raw_enrollments") if one.landed_at <= filtered_at]
        return self.run.run_id if self.run.run_id in runs else next(reversed(runs), None)

    def _landed(self, asset: str) -> list[LandedAsset]:
        return self.files.landed(asset, district_id=self.run.district_id, night=self.run.night)


@dataclass(frozen=True)
class LandedEvidence:
    """The gate's access to the landing (`warehouse.publishing.Landing`), and tonight's tables of reads."""

    landing: RunLanding
    reads: Sequence[pd.DataFrame]

    def emptied(self, published: Snapshot) -> dict[str, int]:
        """Objects without rows tonight, and their number of rows in the published night."""
        files, before = self.landing.files, []
        for asset in RAW_TABLES:
            with suppress(LandingError):
                before.append(files.open(landed_for(files, published, asset), "Reads")["Reads"])
        tonight = rows_by_object(self.reads)
        return {
            name: rows for name, rows in rows_by_object(before).items() if rows and tonight.get(name) == 0
        }

    def staying(self, published: Snapshot) -> Students | None:
        """Who is ENROLLED, PRE-ENROLLED or uncertain as of tonight by the published night's rows.

        None: the rows are gone, or an older version landed them.
        """
        try:
            landed = read_landed_for(self.landing.files, published, "raw_enrollments")
        except LandingError:
            return None
        statuses, uncertain = statuses_of(landed, self.landing.run.night)
        active = statuses.loc[statuses["status"].isin(ACTIVE), "student_id"]
        staying: Students = pd.concat([active, uncertain["student_id"]]).to_numpy(dtype=np.int64)
        return staying

    def land_held(self, payload: SnapshotPayload) -> None:
        """Land the snapshot to hold."""
        self.landing.write(HELD_SNAPSHOT, payload.to_land())
