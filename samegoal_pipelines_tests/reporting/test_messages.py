"""Somebody is told once of each trouble, in words that say what to do, and a contact of a complete setup."""

from datetime import date, datetime, timedelta
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.errors import DistrictError, SecretAwaitedError
from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.districts.registry import Registry
from samegoal_pipelines.postgres.errors import WarehouseUnavailableError
from samegoal_pipelines.reporting.addresses import Address, Message
from samegoal_pipelines.reporting.messages import (
    Sent,
    alert_message,
    alerts_due,
    confirm_setup,
    locked,
    send_alert,
)
from samegoal_pipelines.reporting.nightly_status import read_judged
from samegoal_pipelines.tables.warehouse import alerts_sent
from samegoal_pipelines.warehouse.engine import Role, as_operator, as_writer
from samegoal_pipelines_tests.reporting.factories import (
    NIGHT,
    REFUSED,
    UNREACHABLE,
    at,
    attempt,
    put,
    register,
)
from samegoal_pipelines_tests.reporting.servers import Mailbox
from samegoal_pipelines_tests.warehouse.role_fixtures import is_refused, login

SIX_IN_NEW_YORK, SIX_IN_CHICAGO, SIX_IN_HONOLULU = at("10:00"), at("11:00"), at("16:00")
ONE_DAY = timedelta(days=1)


class Ear:
    """An address that remembers what it received."""

    name = "ear"

    def __init__(self) -> None:
        self.heard: list[str] = []

    def send(self, message: Message) -> str | None:
        self.heard.append(f"{message.subject}\n{message.text}")
        return None

    @property
    def subjects(self) -> list[str]:
        """The subjects, without what all of this night begin with."""
        return [one.splitlines()[0].removeprefix(f"SameGoal night {NIGHT}: ") for one in self.heard]


@pytest.fixture
def ear() -> Ear:
    return Ear()


def look(engine: sa.Engine, now: datetime, *ears: Ear, all_well: bool = False) -> list[Sent]:
    """What one check of all deadlines sends."""
    due = alerts_due(read_judged(engine, now), [], all_well=all_well)
    found = [send_alert(engine, alert, ear, now) for ear in ears for alert in due]
    return [sent for sent in found if sent is not None]


def execute(engine: sa.Engine, statement: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(statement), values)


def test_one_message_tells_of_all_that_is_wrong_at_the_deadline(warehouse, ear):
    put(warehouse, "alpha", "failed", REFUSED)
    put(warehouse, "beta", "failed", UNREACHABLE)
    put(warehouse, "gamma", "failed", UNREACHABLE)
    put(warehouse, "epsilon", None)
    put(warehouse, "zeta", "published")

    assert look(warehouse, SIX_IN_CHICAGO - timedelta(seconds=1), ear) == []
    look(warehouse, SIX_IN_CHICAGO, ear)
    (message,) = ear.heard
    assert (
        message
        == """\
SameGoal night 2026-10-12: 3 failed, 1 late of 5
1 of 5 districts published.

**1 district failed: the last published snapshot stays**

reading Qmlativ: Qmlativ does not accept the credentials (HTTP 400)

- Alpha ISD (alpha): for 1 night, last published 2026-10-11

To do: check the Client Key, the Client Secret and the expiration date of the Integration Access in Qmlativ; \
to register a new secret from SameGoal's technical team: \
samegoal-pipelines districts rotate-secret alpha; to run the night again: samegoal-pipelines sync alpha

**2 districts failed: the last published snapshot stays**

publishing: no connection to Postgres

- Beta ISD (beta): for 1 night, last published 2026-10-11
- Gamma ISD (gamma): for 1 night, last published 2026-10-11

To do: check that the server is up; to run the night again: samegoal-pipelines sync ID

**1 district late**

no snapshot by 06:00: the run has not started or is still in progress

- Epsilon ISD (epsilon): for 1 night, last published 2026-10-11

To do: check in the Dagster UI that the daemon is running, nightly_by_district is on and runs are not \
stuck in the queue; or: samegoal-pipelines sync epsilon

Full report: `samegoal-pipelines report --night 2026-10-12`
"""
    )


def test_a_message_is_sent_once_a_night_however_often_and_whoever_looks(warehouse, ear):
    put(warehouse, "alpha", "failed")
    for night in range(5):
        if night:
            attempt(warehouse, "alpha", "failed", NIGHT + night * ONE_DAY, "no luck")
        for hours in range(5):
            look(warehouse, SIX_IN_CHICAGO + night * ONE_DAY + timedelta(hours=hours), ear)
    assert [f"for {nights} night" in message for nights, message in enumerate(ear.heard, 1)] == [True] * 5
    other_process = Ear()  # with the same channel, and the clock went back
    assert look(warehouse, SIX_IN_CHICAGO, other_process) == []


def test_two_daemons_that_look_at_once_send_one_message(warehouse):
    put(warehouse, "alpha", "failed")
    sending, other_has_looked = Event(), Event()

    class Slow(Ear):
        def send(self, message: Message) -> str | None:
            super().send(message)
            sending.set()
            assert other_has_looked.wait(50)
            return None

    slow, other = Slow(), Ear()
    first = Thread(target=look, args=(warehouse, SIX_IN_CHICAGO, slow))
    first.start()
    assert sending.wait(50)
    assert look(warehouse, SIX_IN_CHICAGO, other) == []
    other_has_looked.set()
    first.join()
    assert look(warehouse, SIX_IN_CHICAGO, other) == []
    assert (len(slow.heard), other.heard) == (1, [])


def test_a_reader_of_the_warehouse_keeps_no_alert_from_being_sent(warehouse, ear):
    """Advisory locks are anybody's, who may log in."""
    put(warehouse, "alpha", "failed")
    reader = login(warehouse, Role.READER)
    with reader.connect() as reading:
        for name in ("alert ear", f"alert {NIGHT} {SIX_IN_CHICAGO.isoformat()} ear"):
            taking = sa.text("select pg_advisory_lock(hashtextextended(:name, 0))")
            reading.execute(taking, {"name": name})
        assert is_refused(reading, "select from samegoal.locks for update")
        look(warehouse, SIX_IN_CHICAGO, ear)
    reader.dispose()
    assert ear.subjects == ["1 failed of 1"]


def test_each_time_zone_has_its_own_deadline_and_message(warehouse, ear):
    put(warehouse, "new-york", None, timezone="America/New_York")
    put(warehouse, "detroit", None, timezone="America/Detroit")
    put(warehouse, "honolulu", "failed", timezone="Pacific/Honolulu")
    look(warehouse, SIX_IN_NEW_YORK, ear)
    look(warehouse, SIX_IN_HONOLULU - timedelta(seconds=1), ear)
    assert ear.subjects == ["2 late of 2"]
    look(warehouse, SIX_IN_HONOLULU, ear)
    assert ear.subjects == ["2 late of 2", "1 failed of 1"]


def test_where_nothing_is_wrong_nothing_is_sent_and_the_look_is_recorded(warehouse, ear):
    put(warehouse, "alpha", "published")
    look(warehouse, SIX_IN_CHICAGO, ear)
    assert ear.heard == []
    with as_operator(warehouse, "looking") as connection:
        (row,) = connection.execute(sa.select(alerts_sent))
    assert (row.night, row.channel, row.districts) == (NIGHT, "ear", 0)


def test_trouble_that_comes_later_is_told_in_a_message_of_its_own_at_most_hourly(warehouse, ear):
    states = {"alpha": "failed", "beta": "published", "gamma": "published", "delta": None}
    for district_id, state in states.items():
        put(warehouse, district_id, state)
    look(warehouse, SIX_IN_CHICAGO, ear)
    attempt(warehouse, "beta", "held", reason="too many")
    look(warehouse, SIX_IN_CHICAGO + timedelta(minutes=59), ear)
    assert ear.subjects == ["1 failed, 1 late of 4"]

    attempt(warehouse, "delta", "failed", reason="no luck")  # was late when it was told of
    look(warehouse, SIX_IN_CHICAGO + timedelta(minutes=60), ear)
    attempt(warehouse, "gamma", "held", reason="too many")
    for minutes in (61, 121):
        look(warehouse, SIX_IN_CHICAGO + timedelta(minutes=minutes), ear)
    assert ear.subjects[1:] == ["also 1 failed, 1 held of 4", "also 1 held of 4"]
    assert "Alpha ISD" not in ear.heard[1]


def test_a_night_that_fails_again_for_another_reason_is_told_again(warehouse, ear):
    put(warehouse, "alpha", "failed", UNREACHABLE)
    of_the_first_kind = WarehouseUnavailableError("out of space", step="publishing")
    attempts = [("held", "too many"), ("failed", REFUSED), ("failed", of_the_first_kind)]
    look(warehouse, SIX_IN_CHICAGO, ear)
    for hours, (state, reason) in enumerate(attempts, 1):
        attempt(warehouse, "alpha", state, reason=reason)
        look(warehouse, SIX_IN_CHICAGO + timedelta(hours=hours), ear)
    assert ear.subjects == ["1 failed of 1", "also 1 held of 1", "also 1 failed of 1"]
    assert "rotate-secret alpha" in ear.heard[2]


def test_a_sender_that_hangs_for_good_does_not_keep_the_lock(warehouse):
    """Postgres itself ends the transaction in which nothing happens, and its session takes no harm else."""
    limit = sa.text("show idle_in_transaction_session_timeout")
    with as_writer(warehouse, "alpha", "sending") as connection:
        assert locked(connection, "ear")
        assert connection.scalar(limit) == "1min"
    with as_operator(warehouse, "looking") as connection:
        assert connection.scalar(limit) == "0"


def test_a_district_that_moves_to_an_earlier_time_zone_is_told_of_the_next_night_at_the_latest(
    warehouse, ear
):
    put(warehouse, "alpha", None)
    moved = "update samegoal.districts set timezone = 'America/New_York', due_since = :at"
    execute(warehouse, moved, at=at("09:50"))  # ten minutes to six in New York
    for hours in range(0, 24, 3):
        look(warehouse, SIX_IN_NEW_YORK + timedelta(hours=hours), ear)
    assert ear.heard == []
    look(warehouse, SIX_IN_NEW_YORK + ONE_DAY, ear)
    assert ear.subjects == ["SameGoal night 2026-10-13: 1 late of 1"]


def test_a_night_that_was_paused_is_not_late_once_the_pause_is_replaced(warehouse, ear):
    put(warehouse, "alpha", None)
    pause(warehouse, "alpha", NIGHT, NIGHT, set_by="pat")
    look(warehouse, SIX_IN_CHICAGO, ear)
    later = date(2026, 12, 24)
    execute(warehouse, "update samegoal.pauses set paused_from = :day, paused_to = :day", day=later)
    look(warehouse, SIX_IN_CHICAGO + timedelta(hours=23), ear)
    assert ear.heard == []


def test_all_is_well_is_one_message_a_day_after_the_last_deadline_and_never_replaces_an_alert(warehouse, ear):
    put(warehouse, "chicago", "failed")
    put(warehouse, "honolulu", "published", timezone="Pacific/Honolulu")

    def subjects(hours: float) -> list[str]:
        look(warehouse, SIX_IN_HONOLULU + timedelta(hours=hours), ear, all_well=True)
        return ear.subjects

    assert subjects(0) == ["1 failed of 1"]
    attempt(warehouse, "chicago", "published")
    assert subjects(-0.1) == ["1 failed of 1"]
    assert subjects(1) == subjects(2) == ["1 failed of 1", "all is well"]
    assert ear.heard[-1].endswith("\nAll 2 districts published.\n")
    attempt(warehouse, "honolulu", "held", reason="too many")
    assert subjects(3)[2:] == ["1 held of 1"]


def test_a_name_cannot_become_markup(warehouse):
    register(warehouse, "alpha", name="Al\r\nBcc: <b>pha</b>")
    (board,) = read_judged(warehouse, SIX_IN_CHICAGO)
    message = alert_message(board, board.trouble)
    assert "- Al Bcc: &lt;b>pha&lt;/b> (alpha): never published" in message.text


def test_in_a_message_about_many_districts_those_with_the_same_trouble_are_described_together(warehouse):
    for number in range(40):
        register(warehouse, f"late-{number:03}")
    for number in range(30):
        dropped = f"{100 + number} of 1,{number:03} students ({10 + number / 10:.1f}%) would be gone"
        register(warehouse, f"held-{number:03}")
        attempt(warehouse, f"held-{number:03}", "held", reason=dropped)
    register(warehouse, "other")
    attempt(warehouse, "other", "held", reason="300 of 900 enrollment rows", kind="quarantined")
    (board,) = read_judged(warehouse, SIX_IN_CHICAGO)
    message = alert_message(board, board.trouble)
    assert message.subject == "SameGoal night 2026-10-12: 31 held, 40 late of 71"
    lines = message.text.splitlines()
    assert len(lines) < 70
    begin = lines.index("**30 districts held: the change is too large to publish without review**")
    since = "never published, 74 nights so far"
    assert lines[begin + 2 : begin + 4] == [
        f"- Held 000 ISD (held-000): {since}; 100 of 1,000 students (10.0%) would be gone",
        f"- Held 001 ISD (held-001): {since}; 101 of 1,001 students (10.1%) would be gone",
    ]
    assert lines[begin + 22].startswith("- and 10 more: held-020, held-021, ")
    assert lines[begin + 24].startswith("To do: ")
    assert lines[begin + 24].endswith("samegoal-pipelines sync ID --release --today 2026-10-12 --why REASON")
    assert "**1 district held: the change is too large to publish without review**" in lines
    for one in board.trouble:
        assert one.district_id in "".join(lines)


# -- the confirmation, which says nothing about any person --


@pytest.fixture
def confirm(warehouse: sa.Engine, mailbox: Mailbox, tmp_path: Any) -> Any:
    """Confirm the setup of a district, over a server whose alerts go to somebody else."""
    url = f"mailto://127.0.0.1:{mailbox.port}/eve@example.org?from=nights@example.org&to=ana@example.org&cc=x@y.org"
    registry = Registry(warehouse, SecretCipher(tmp_path, None))

    def confirmed(**how: Any) -> str | None:
        urls = [None, SecretStr(f"json://127.0.0.1:1/hook,{url}")]
        return confirm_setup(warehouse, registry.get("grand-bend"), urls, at("15:00"), **how)

    return confirmed


def publish(engine: sa.Engine, **facts: Any) -> None:
    register(engine, "grand-bend", **{"contact": "pat@example.org", **facts})
    attempt(engine, "grand-bend", "published", students=1234)


def text_of(mailbox: Mailbox) -> str:
    body = mailbox.received[-1].get_body(("plain",))
    assert body is not None
    return " ".join(body.get_content().split())


def test_the_contact_is_told_once_with_counts_next_night_and_expiration(warehouse, mailbox, confirm):
    publish(warehouse, expires=NIGHT + timedelta(days=300))
    assert confirm() is None
    assert confirm() is None
    assert mailbox.recipients == [["pat@example.org"]]
    assert mailbox.received[0]["Subject"] == "SameGoal: setup of Grand Bend ISD is complete"
    assert text_of(mailbox).startswith(
        "Setup is complete: SameGoal reads Grand Bend ISD from Qmlativ, and the first snapshot is published. "
        "- Students: 1,234 (1,224 ENROLLED, 4 PRE-ENROLLED, 3 GRADUATED, 3 INACTIVE) "
        "- Next night: 2026-10-13, after 01:00 (America/Chicago) "
        "- The Integration Access expires: 2027-08-08 Nightly updates end when the access expires."
    )
    assert confirm(again=True) is None
    assert len(mailbox.received) == 2


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"expiration": "never"}, "expires: never"),
        ({"expiration": "unknown"}, "expires: unknown Please tell us the expiration that Qmlativ shows."),
        (
            {"expiration": "assumed", "expires": NIGHT + timedelta(days=365)},
            "expires: 2027-10-12 (assumed) We assume one year from registration. Please tell us",
        ),
        ({"active": False}, "Next night: none, because the district is disabled"),
    ],
)
def test_the_message_says_what_is_known(warehouse, mailbox, confirm, facts, said):
    publish(warehouse, **facts)
    assert confirm() is None
    assert said in text_of(mailbox)


def test_the_next_night_is_the_first_after_a_pause(warehouse, mailbox, confirm):
    publish(warehouse)
    pause(warehouse, "grand-bend", NIGHT + ONE_DAY, NIGHT + ONE_DAY, set_by="Pat")
    confirm()
    assert "Next night: 2026-10-14" in text_of(mailbox)


def test_a_contact_whom_the_mail_library_would_mistake_for_another_is_not_told(warehouse, mailbox, confirm):
    publish(warehouse, contact="pat.o'hara@example.org")
    assert "invalid recipient" in (confirm() or "")
    assert mailbox.recipients == [], "hara@example.org is somebody else"


def test_of_two_runs_that_publish_one_tells_the_contact(warehouse, mailbox, confirm, monkeypatch):
    publish(warehouse)
    sending, go_on = Event(), Event()
    send = Address.send

    def slowly(address: Address, message: Any) -> str | None:
        sending.set()
        assert go_on.wait(60)
        return send(address, message)

    monkeypatch.setattr(Address, "send", slowly)
    first = Thread(target=confirm)
    first.start()
    assert sending.wait(60)
    assert confirm() is None  # while the first one sends
    go_on.set()
    first.join()
    assert confirm() is None
    assert len(mailbox.received) == 1


def test_nothing_is_said_before_the_first_snapshot_or_without_a_contact(warehouse, mailbox, confirm):
    register(warehouse, "grand-bend", contact="pat@example.org")
    with pytest.raises(DistrictError, match=r"nothing is published yet.*sync grand-bend"):
        confirm()
    execute(warehouse, "update samegoal.districts set secret_set_at = null")
    with pytest.raises(SecretAwaitedError, match=r"awaiting secret.*set-secret grand-bend"):
        confirm()
    execute(warehouse, "update samegoal.districts set contact = null, secret_set_at = now()")
    with pytest.raises(DistrictError, match=r"no contact is registered; .* --contact E-MAIL"):
        confirm()
    assert mailbox.received == []
