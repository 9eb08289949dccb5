"""Hide published contacts as soon as a district is set to withhold them."""

from functools import partial

import pandas as pd

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.landing.runs import read_landed_for
from samegoal_pipelines.transforms import demographics
from samegoal_pipelines.transforms.withholding import WITHHOLD
from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines.warehouse.snapshots import Snapshot
from samegoal_pipelines.warehouse.withholding import Hidden, hide_contacts


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
        return hide_contacts(
            deployment.warehouse,
            district_id,
            restricted=restricted,
            find_confidential=partial(_confidential_numbers, deployment) if confidential else None,
        )
    except WarehouseError as error:
        raise WarehouseError(
            f"the switch is set, but what is published still shows these contacts: {error.reason}",
            district_id=district_id,
            next_step=f"{error.next_step}; then give the same command again",
        ) from None


def _confidential_numbers(deployment: Deployment, published: Snapshot) -> pd.DataFrame | None:
    """The confidential numbers of the published night. None if its rows are not landed."""
    try:
        landed = [
            read_landed_for(deployment.landing, published, asset) for asset in ("raw_students", "raw_parents")
        ]
    except LandingError:
        return None
    numbers = [demographics.find_confidential_phones(raw, WITHHOLD) for raw in landed]
    return pd.concat(numbers, ignore_index=True)
