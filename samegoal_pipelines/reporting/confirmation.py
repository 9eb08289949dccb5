"""The message to a district's contact that setup is complete: sent once, after the first published snapshot.

It has counts and dates, and nothing about any person. What became of it is recorded with the district, under
a lock: two runs send one message, and one that could not be sent is tried again after the next night.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from pydantic import SecretStr

from samegoal_pipelines.districts.errors import InvalidDistrictError, SecretAwaitedError
from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.errors import SYNC
from samegoal_pipelines.reporting import rendering
from samegoal_pipelines.reporting.addresses import AlertError, Message, contact_address
from samegoal_pipelines.reporting.alerts import locked
from samegoal_pipelines.reporting.nightly_status import NIGHT_BEGINS, DistrictNight, read_district
from samegoal_pipelines.tables.warehouse import districts
from samegoal_pipelines.warehouse.engine import as_writer


def confirm_setup(
    engine: sa.Engine,
    district: District,
    mail_urls: Sequence[SecretStr | None],
    now: datetime,
    *,
    again: bool = False,
) -> str | None:
    """Tell the district's contact that setup is complete, unless that was done.

    Args:
        mail_urls: as in `contact_address`.
        again: send the message also if it was sent before.

    Returns:
        Why it was not sent; recorded, so that the report shows it. None: the contact knows.

    Raises:
        InvalidDistrictError, SecretAwaitedError: there is no contact, or nothing is published yet.
    """
    if district.awaits_secret:
        raise SecretAwaitedError(district_id=district.id)
    state = read_district(engine, now, district.id)
    if not district.contact:
        next_step = "samegoal-pipelines districts set ID --contact E-MAIL"
        raise InvalidDistrictError("no contact is registered", district_id=district.id, next_step=next_step)
    if state.current is None:
        detail = "nothing is published yet, so setup is not complete"
        raise InvalidDistrictError(detail, district_id=district.id, next_step=SYNC)
    here = districts.c.district_id == district.id
    with as_writer(engine, district.id, "telling the contact") as connection:
        if not locked(connection, f"contact of {district.id}"):
            return None  # another run is sending it
        if connection.scalar(sa.select(districts.c.confirmed_at).where(here)) and not again:
            return None
        problem, sent = None, {"confirmed_at": now}
        try:
            contact_address(district.contact, mail_urls).send(_message(state))
        except AlertError as error:
            problem, sent = error.reason, {}
        connection.execute(sa.update(districts).where(here).values(confirmation_problem=problem, **sent))
    return problem


def _message(state: DistrictNight) -> Message:
    """The next night is when the schedule reads the district again."""
    night = state.night + timedelta(
        days=state.last_published is not None and state.last_published >= state.night
    )
    if state.pause is not None and state.pause.covers(night):
        night = state.pause.paused_to + timedelta(days=1)
    next_night = f"{night}, after {NIGHT_BEGINS:%H:%M} ({state.timezone})"
    text = rendering.render(
        "confirmation.md.j2",
        one=state,
        expires=state.expiry_text,
        next_night=next_night if state.active else "none, because the district is disabled",
    )
    return Message(f"SameGoal: setup of {state.name} is complete", text, "success")
