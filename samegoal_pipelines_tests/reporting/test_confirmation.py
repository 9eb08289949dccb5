"""A district's contact is told once that setup is complete, in a mail without anything about any person."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.errors import InvalidDistrictError, SecretAwaitedError
from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.districts.registry import Registry
from samegoal_pipelines.reporting.addresses import Address, AlertError, check_addresses, contact_address
from samegoal_pipelines.reporting.confirmation import confirm_setup
from samegoal_pipelines_tests.reporting.factories import NIGHT, at, attempt, register
from samegoal_pipelines_tests.reporting.servers import Mailbox, smtp_server

MORNING = at("15:00")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with smtp_server() as box:
        yield box


@pytest.fixture
def confirm(warehouse: sa.Engine, mailbox: Mailbox, tmp_path: Any) -> Any:
    """Confirm the setup of a district, over a server whose alerts go to somebody else."""
    url = f"mailto://127.0.0.1:{mailbox.port}/eve@example.org?from=nights@example.org&to=ana@example.org&cc=x@y.org"
    registry = Registry(warehouse, SecretCipher(tmp_path, None))

    def confirmed(**how: Any) -> str | None:
        urls = [None, SecretStr(f"json://127.0.0.1:1/hook,{url}")]
        return confirm_setup(warehouse, registry.get("grand-bend"), urls, MORNING, **how)

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
    tomorrow = NIGHT + timedelta(days=1)
    pause(warehouse, "grand-bend", paused_from=tomorrow, paused_to=tomorrow, set_by="Pat")
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
    with pytest.raises(InvalidDistrictError, match=r"nothing is published yet.*sync grand-bend"):
        confirm()
    with warehouse.begin() as connection:
        connection.execute(sa.text("update samegoal.districts set secret_set_at = null"))
    with pytest.raises(SecretAwaitedError, match=r"awaiting secret.*set-secret grand-bend"):
        confirm()
    with warehouse.begin() as connection:
        connection.execute(sa.text("update samegoal.districts set contact = null, secret_set_at = now()"))
    with pytest.raises(InvalidDistrictError, match=r"no contact is registered; .* --contact E-MAIL"):
        confirm()
    assert mailbox.received == []


def test_contacts_are_reached_through_the_server_of_their_own_or_the_first_of_the_alerts():
    own = SecretStr("mailtos://mail.example.org:587?from=setup@example.org")
    alerts = SecretStr("slack://a/b/c,mailto://other.example.org?to=ana@example.org")
    for urls, expected in (
        ([own, alerts], f"{own.get_secret_value()}&to=pat%2Bq%40example.org"),
        ([None, alerts], "mailto://other.example.org?to=pat%2Bq%40example.org"),
    ):
        assert contact_address("pat+q@example.org", urls).url == SecretStr(expected)
    with pytest.raises(AlertError, match="no mail server is configured; set SAMEGOAL_CONTACT_MAIL_URL"):
        contact_address("pat@example.org", [None, SecretStr("slack://a/b/c")])


def test_a_mail_server_that_cannot_be_used_is_refused_at_startup():
    with pytest.raises(AlertError, match=r"SAMEGOAL_CONTACT_MAIL_URL: .*unencrypted"):
        check_addresses(None, SecretStr("mailto://user:pass@mail.example.org:25"))  # pragma: allowlist secret
    with pytest.raises(AlertError, match="no mail server"):
        check_addresses(None, SecretStr("slack://a/b/c"))
