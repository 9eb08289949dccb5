"""Hide published contacts as soon as a district is set to withhold them."""

from contextlib import suppress

import pandas as pd

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.landing.runs import read_landed_for
from samegoal_pipelines.transforms import demographics
from samegoal_pipelines.transforms.withholding import WITHHOLD
from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines.warehouse.snapshots import last_published
from samegoal_pipelines.warehouse.withholding import Hidden, hide_contacts

_RAW = ("raw_students", "raw_parents")


def hide_published_contacts(
    deployment: Deployment, district_id: str, *, restricted: bool, confidential: bool
) -> Hidden:
    """Remove the contacts that the district withholds from now on from its published rows.

    Call it after the switch is set. A run that is publishing either sees the switch and fails, or ends first,
    and then its rows are changed.

    Raises:
        WarehouseError: another run holds the lock, or Postgres failed.
    """
    try:
        numbers = _confidential_numbers(deployment, district_id) if confidential else None
        return hide_contacts(deployment.warehouse, district_id, restricted=restricted, confidential=numbers)
    except WarehouseError as error:
        raise WarehouseError(
            f"the switch is set, but what is published still shows these contacts: {error.reason}",
            district_id=district_id,
            next_step=f"{error.next_step}; then give the same command again",
        ) from None


def _confidential_numbers(deployment: Deployment, district_id: str) -> dict[int, pd.DataFrame]:
    """The confidential numbers of the published snapshot, by its id. Empty if its rows are not landed."""
    if published := last_published(deployment.warehouse, district_id):
        with suppress(LandingError):
            landed = (read_landed_for(deployment.landing, published, asset) for asset in _RAW)
            numbers = [demographics.find_confidential_phones(raw, WITHHOLD) for raw in landed]
            return {published.snapshot_id: pd.concat(numbers, ignore_index=True)}
    return {}
