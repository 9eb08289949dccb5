"""A message arrives at each kind of address, or an error says why not, without a secret."""

import json
import logging

import pytest
from pydantic import SecretStr

from samegoal_pipelines.reporting.addresses import (
    Address,
    AlertError,
    Message,
    alert_addresses,
    check_addresses,
    contact_address,
)
from samegoal_pipelines.settings import Settings
from samegoal_pipelines_tests.reporting.servers import (
    GOOGLE,
    PASSWORD,
    SLACK,
    TEAMS,
    USER,
    dripping_server,
    mail,
    make_certificate,
    smtp_server,
    web_server,
)

MESSAGE = Message(
    "SameGoal night 2026-10-12: 2 failed of 300",
    "**2 districts failed**\n\n- Grand Bend ISD — für alle & alle\n- Other\n\n`samegoal-pipelines sync ID`\n",
)


def address(url: str) -> Address:
    (found,) = alert_addresses(SecretStr(url))
    return found


def why_not(url: str, seconds: float = 60) -> str:
    """The error, which must hold neither a secret nor what the server said."""
    with pytest.raises(AlertError) as caught:
        address(url).send(MESSAGE, seconds)
    line = str(caught.value)
    for secret in ("\n", PASSWORD, "abracadabra", "127.0.0.1", "@example.com"):
        assert secret not in line
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return line


def test_slack_google_chat_and_teams_accept_a_message(chat):
    for url in (SLACK, GOOGLE, TEAMS):
        assert address(url).send(MESSAGE) is None
    slack, google, teams = chat.received
    (attachment,) = slack["attachments"]
    assert attachment["title"] == MESSAGE.subject
    assert "*2 districts failed*\n\n- Grand Bend ISD — für alle &amp; alle" in attachment["text"]
    assert google["text"].startswith(f"*{MESSAGE.subject}*\n*2 districts failed*\n\n- Grand Bend ISD")
    assert [block["text"] for block in teams["attachments"][0]["content"]["body"]] == [
        MESSAGE.subject,
        MESSAGE.text.strip(),
    ]


@pytest.mark.parametrize(("url", "parts"), [(SLACK, 1), (GOOGLE, 3), (TEAMS, 1)])
def test_a_long_message_arrives_whole_in_as_few_parts_as_the_service_allows(chat, url, parts):
    lines = [f"- District {number:03} ISD (d-{number:03}): late" for number in range(350)]
    assert address(url).send(Message(MESSAGE.subject, "\n".join(lines))) is None
    assert len(chat.received) == parts
    posted = json.dumps(chat.received)
    assert [number for number in range(350) if f"(d-{number:03})" not in posted] == []


def test_a_webhook_gets_json_and_its_address_is_in_no_log_and_no_repr(hook, caplog):
    caplog.set_level(logging.DEBUG)
    assert address(hook.url).send(MESSAGE) is None
    (posted,) = hook.received
    assert (posted["title"], posted["message"]) == (MESSAGE.subject, MESSAGE.text.strip())
    assert "abracadabra" not in f"{address(hook.url)!r} {caplog.text}"


def test_an_email_arrives_encrypted_as_text_and_html(certificate):
    with smtp_server(certificate, login=True) as mailbox:
        url = mail(mailbox.port, "to=ana@example.com,ben@example.com", user=f"{USER}:{PASSWORD}@")
        assert address(url).send(MESSAGE) is None
    assert mailbox.recipients == [["ana@example.com"], ["ben@example.com"]]
    assert mailbox.encrypted == [True, True]
    message = mailbox.received[0]
    assert (message["Subject"], message["From"]) == (MESSAGE.subject, "nights@example.com")
    assert message["Auto-Submitted"] == "auto-generated"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert "- Grand Bend ISD — für alle & alle" in plain.get_content()
    assert "<li>Grand Bend ISD — für alle &amp; alle</li>" in html.get_content()


def test_a_subject_cannot_add_a_header(mailbox):
    address(mail(mailbox.port)).send(Message("one\r\nBcc: eve@example.com", MESSAGE.text))
    assert mailbox.received[0]["Subject"] == "one Bcc: eve@example.com"
    assert mailbox.received[0]["Bcc"] is None
    assert mailbox.recipients == [["ana@example.com"]]


def test_a_recipient_that_is_refused_neither_blocks_the_others_nor_gets_them_the_message_again(mailbox):
    mailbox.refuse_recipients = {"ana@example.com"}
    problem = address(mail(mailbox.port, "to=ana@example.com,ben@example.com")).send(MESSAGE)
    assert problem == "sent in part: mailto: the server refused the message (SMTP 550)"
    assert mailbox.recipients == [["ben@example.com"]]
    assert why_not(mail(mailbox.port)) == "mailto: the server refused the message (SMTP 550)"


def test_a_refusal_is_reported_by_its_code_and_not_quoted(mailbox, hook, certificate):
    mailbox.refuse = f"554 ana@example.com says {PASSWORD}"
    assert why_not(mail(mailbox.port)) == "mailto: the server refused the message (SMTP 554)"
    hook.status = 401
    assert why_not(hook.url) == "json: the server refused the message (HTTP 401)"
    with smtp_server(certificate, login=True) as mailbox:
        wrong = mail(mailbox.port, user=f"{USER}:wrong@")
        assert why_not(wrong) == "mailtos: the server refused the message (SMTP 535)"


def test_a_message_is_not_sent_to_where_a_server_redirects(hook):
    with web_server() as other:
        hook.status, hook.headers = 307, {"Location": f"http://127.0.0.1:{other.port}/"}
        assert why_not(hook.url) == "json: the server refused the message (HTTP 307)"
    assert other.received == []


def test_an_untrusted_certificate_and_a_server_without_encryption_are_not_accepted(mailbox, tmp_path):
    with smtp_server(make_certificate(tmp_path)) as encrypted:
        untrusted = mail(encrypted.port, user=f"{USER}:{PASSWORD}@")
        assert why_not(untrusted) == "mailtos: the server's certificate is not trusted"
    plain = mail(mailbox.port, user=f"{USER}:{PASSWORD}@")
    assert why_not(plain) == "mailtos: the mail server offers no encryption"


def test_a_server_that_is_not_there_is_reported():
    assert why_not("json://127.0.0.1:1/abracadabra") == "json: the server cannot be reached"


@pytest.mark.parametrize(
    ("scheme", "first", "drip"),
    [
        ("json", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        ("json", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("mailto", b"220 ", b"x"),
    ],
)
def test_a_server_that_drips_forever_is_stopped_at_the_deadline(scheme, first, drip):
    """No single read takes long."""
    with dripping_server(first, drip) as (port, left_alone):
        url = mail(port) if scheme == "mailto" else f"json://127.0.0.1:{port}/abracadabra"
        assert why_not(url, seconds=4) == f"{scheme}: the server did not answer in time"
        assert left_alone.wait(120)


def test_what_had_arrived_by_the_deadline_is_not_sent_again(chat):
    chat.stall_after = 1
    long = "\n".join(f"- District {number:03} ISD" for number in range(350))
    problem = address(GOOGLE).send(Message(MESSAGE.subject, long), seconds=8)
    chat.stalled.set()
    assert problem == "sent in part: chat.googleapis.com: the server did not answer in time"
    assert len(chat.received) == 1


def test_without_an_address_the_message_is_a_line_in_the_log(caplog):
    (log,) = alert_addresses(None)
    assert log.send(MESSAGE) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"{MESSAGE.subject}\n{MESSAGE.text}"


def test_the_addresses_are_those_of_the_environment(monkeypatch):
    mailtos = f"mailtos://{USER}:{PASSWORD}@mail.example.com?to=ana@example.com,ben@example.com"
    monkeypatch.setenv("SAMEGOAL_ALERT_URLS", f"{mailtos}, {SLACK},slack://a/b/c,slack://d/e/f,")
    settings = Settings()
    found = alert_addresses(settings.alert_urls)
    assert [one.name for one in found] == ["mailtos", "hooks.slack.com", "slack", "slack 2"]
    assert found[0].url == SecretStr(mailtos)
    assert PASSWORD not in f"{settings!r} {found!r}"


def test_invalid_addresses_are_rejected_at_startup_and_named_without_their_secret():
    mailtos = f"mailtos://{USER}:{PASSWORD}@mail.example.com"
    one_malformed = ["?to=ana@example.com,ben", "?to=ana@example.com,,ben@", "/ana@example.com/ben"]
    wrong = [
        "ana@example.com",
        f"slack://{PASSWORD}",
        f"foo://{PASSWORD}/abracadabra",
        f"mailto://{USER}:{PASSWORD}@mail.example.com?to=ana@example.com",
        "jsons://hooks.example.com/abracadabra",
        f"https://example.com/{PASSWORD}",
        *(mailtos + recipients for recipients in ("?to=ben", *one_malformed)),
        f"{mailtos}?to=ana@example.com&cc=ben@example.com,cem",
    ]
    with pytest.raises(AlertError) as caught:
        check_addresses(SecretStr(",".join(wrong)))
    invalid = "not a valid apprise URL, or with an invalid recipient; see Alerts in docs/production.md"
    assert str(caught.value) == (
        f"SAMEGOAL_ALERT_URLS: address: {invalid}; slack: {invalid}; foo: {invalid}; mailto: it would send "
        f"its password unencrypted; use mailtos://; example.com: {invalid}; mailtos: {invalid}; "
        + "; ".join(f"mailtos {number}: {invalid}" for number in (2, 3, 4, 5))
    )
    several = f"{mailtos}?to=Ana <ana@example.com>,ben@example.com,&cc=cem@example.com"
    check_addresses(SecretStr(f"{SLACK},{GOOGLE},{TEAMS},jsons://hooks.example.com/abracadabra,{several}"))
    check_addresses(None)


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
