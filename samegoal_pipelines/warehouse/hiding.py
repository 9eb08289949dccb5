"""Hide contacts in a district's published rows, in a separate transaction.

Which rows change is decided in `withholding`.
"""

from __future__ import annotations

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.history import note_hidden
from samegoal_pipelines.warehouse.session import lock
from samegoal_pipelines.warehouse.snapshots import Snapshot, find_current
from samegoal_pipelines.warehouse.withholding import (
    Hidden,
    hide_every_phone,
    hide_parents,
    hide_withheld,
)


def published_night(engine: sa.Engine, district_id: str) -> Snapshot | None:
    """The district's published snapshot; None before the first.

    Waits for a run that is publishing, because its first snapshot may show what is to be hidden.

    Raises:
        SnapshotInProgressError: the run did not end in time.
    """
    with as_writer(engine, district_id, "looking up the published night") as connection:
        lock(connection, district_id)
        return find_current(connection, district_id)


def hide_contacts(
    engine: sa.Engine,
    district_id: str,
    published: Snapshot,
    *,
    restricted: bool,
    every_contact: bool = False,
    confidential: pd.DataFrame | None,
    every_phone: bool,
) -> Hidden | None:
    """Blank contacts in the current rows, as of their night.

    Args:
        published: the snapshot that `confidential` was read for.
        restricted: blank the contacts of parents who are published as restricted.
        every_contact: blank the contacts of every parent.
        confidential: blank these numbers (see `find_confidential_phones`).
        every_phone: blank all phones.

    Returns:
        What was blanked. None if another snapshot was published meanwhile, so nothing was changed.

    Raises:
        SnapshotInProgressError: another run is publishing this district and did not end in time.
    """
    with as_writer(engine, district_id, "hiding published contacts") as connection:
        lock(connection, district_id)
        now = find_current(connection, district_id)
        if now is None or now.snapshot_id != published.snapshot_id:
            return None
        night = now.snapshot_date
        hidden = Hidden()
        if every_contact:
            hidden += hide_parents(connection, district_id, night)
        elif restricted:
            hidden += hide_parents(connection, district_id, night, flagged=True)
        if every_phone:
            hidden += hide_every_phone(connection, district_id, night)
        else:
            hidden += hide_withheld(connection, None, confidential, district_id, night)
        note_hidden(connection, now, hidden)
    return hidden
