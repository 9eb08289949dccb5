"""What the gate asks the landing, and where a held snapshot is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from samegoal_pipelines.landing.runs import MadeFromLanded, RunLanding
from samegoal_pipelines.landing.storage import LandingError
from samegoal_pipelines.tables.catalog import RAW_TABLES
from samegoal_pipelines.tables.reads import rows_by_object
from samegoal_pipelines.transforms.snapshot import SnapshotPayload, statuses_of

HELD_SNAPSHOT = "held_snapshot"
"""The name under which a held snapshot is landed. No Dagster asset has this name."""


class LandedEvidence:
    """The gate's access to the landing (`warehouse.publishing.Landing`)."""

    def __init__(
        self, landing: RunLanding, payload: SnapshotPayload, reads: Sequence[pd.DataFrame] | None = None
    ) -> None:
        self._landing, self._payload = landing, payload
        self._tonight = _rows(reads or landing.read_reads(landing.night, landing.run_id))

    def emptied(self, published: MadeFromLanded) -> dict[str, int]:
        """Objects without rows tonight, and their number of rows in the published night."""
        runs = (published.run_id, published.landed_run_id)
        before = _rows(self._landing.read_reads(published.snapshot_date, *runs))
        return {name: rows for name, rows in before.items() if rows and self._tonight.get(name) == 0}

    def statuses_by_time(self, published: MadeFromLanded) -> pd.DataFrame | None:
        """student_id and status as of tonight, from the published night's rows: what time alone changes.

        The status of an uncertain student is null. None: the rows are gone, or an older version landed them.
        """
        run_id = published.landed_run_id or published.run_id
        try:
            landed = self._landing.read("raw_enrollments", published.snapshot_date, run_id)
        except LandingError:
            return None
        if RAW_TABLES["raw_enrollments"].keys() - landed.keys():
            return None
        statuses, uncertain = statuses_of(landed, self._landing.night)
        return pd.concat([statuses[["student_id", "status"]], uncertain[["student_id"]]], ignore_index=True)

    def land_held(self) -> None:
        """Land the snapshot to hold."""
        self._landing.write(HELD_SNAPSHOT, self._payload.to_land())


def _rows(reads: Iterable[pd.DataFrame]) -> dict[str, int]:
    return rows_by_object(arrived for one in reads if "Arrived" in one for arrived in one["Arrived"])
