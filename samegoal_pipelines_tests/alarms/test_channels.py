"""A message arrives as it was sent, or the channel says in one line why not, without a secret."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from pydantic import SecretStr, ValidationError

from samegoal_pipelines.alarms.channels import (
    ChannelError,
    LogChannel,
    SmtpChannel,
    WebhookChannel,
    channels_of,
)
from samegoal_pipelines.commands.exits import plain
from samegoal_pipelines.settings import Settings
from samegoal_pipelines_tests.alarms.listeners import (
    PASSWORD,
    USER,
    closed_port,
    dripping_server,
    make_certificate,
    smtp_server,
    web_server,
)

SUBJECT = "SameGoal night 2026-10-12: 2 failed of 300"
TEXT = "Grand Bend ISD — für alle: see below.\n"
TO = ("ana@example.com", "ben@example.com")


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate that this process trusts."""
    file = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return file


def email(url: str, recipients: tuple[str, ...] = TO, sender: str | None = None) -> SmtpChannel:
    return SmtpChannel.from_url(SecretStr(url), recipients, sender)


def why_not(channel: SmtpChannel | WebhookChannel) -> str:
    """The error's line, which must hold neither secrets nor what the server said."""
    with pytest.raises(ChannelError) as caught:
        channel.send(SUBJECT, TEXT)
    line = str(caught.value)
    assert "\n" not in line
    for secret in (PASSWORD, USER, "abracadabra", "127.0.0.1", *TO):
        assert secret not in line
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return line


def test_an_email_arrives_with_its_subject_text_and_html() -> None:
    with smtp_server() as mailbox:
        email(f"smtp://127.0.0.1:{mailbox.port}").send(SUBJECT, TEXT, "<p>Grand Bend ISD</p>")
    (message,) = mailbox.received
    assert mailbox.recipients == [list(TO)]
    assert (message["Subject"], message["From"]) == (SUBJECT, "ana@example.com")
    assert message["To"] == "ana@example.com, ben@example.com"
    assert message["Auto-Submitted"] == "auto-generated"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().splitlines() == TEXT.splitlines()
    assert html.get_content().strip() == "<p>Grand Bend ISD</p>"


def test_a_subject_cannot_smuggle_in_a_header() -> None:
    with smtp_server() as mailbox:
        email(f"smtp://127.0.0.1:{mailbox.port}").send("one\r\nBcc: eve@example.com", TEXT)
    assert mailbox.received[0]["Subject"] == "one Bcc: eve@example.com"
    assert mailbox.received[0]["Bcc"] is None
    assert mailbox.recipients == [list(TO)]


def test_the_connection_is_encrypted_where_the_server_can(certificate: Path) -> None:
    with smtp_server(certificate, login=True) as mailbox:
        url = f"smtp://{USER.replace('@', '%40')}:{PASSWORD}@127.0.0.1:{mailbox.port}"
        email(url, sender="night@example.com").send(SUBJECT, TEXT)
    assert mailbox.encrypted == [True]
    assert mailbox.received[0]["From"] == "night@example.com"


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # it means STARTTLS
def test_smtps_is_encrypted_from_the_first_byte(certificate: Path) -> None:
    with smtp_server(certificate, encrypted=True, login=True) as mailbox:
        email(f"smtps://{USER.replace('@', '%40')}:{PASSWORD}@127.0.0.1:{mailbox.port}").send(SUBJECT, TEXT)
    assert [message["Subject"] for message in mailbox.received] == [SUBJECT]


def test_a_password_is_not_sent_over_a_connection_in_the_clear() -> None:
    with smtp_server() as mailbox:
        line = why_not(email(f"smtp://{USER.replace('@', '%40')}:{PASSWORD}@127.0.0.1:{mailbox.port}"))
    assert line == "email: the mail server offers no encryption, so the password was not sent: use smtps://"
    assert mailbox.received == []


def test_a_certificate_that_nobody_vouches_for_is_not_accepted(tmp_path: Path) -> None:
    with smtp_server(make_certificate(tmp_path)) as mailbox:
        assert "certificate or encryption is not acceptable" in why_not(
            email(f"smtp://127.0.0.1:{mailbox.port}")
        )
    assert mailbox.received == []


def test_a_server_that_takes_no_login_is_said_in_plain_words(certificate: Path) -> None:
    with smtp_server(certificate) as mailbox:
        line = why_not(email(f"smtp://{USER.replace('@', '%40')}:{PASSWORD}@127.0.0.1:{mailbox.port}"))
    assert line == (
        "email: the mail server takes no login here: check SAMEGOAL_SMTP_URL, or leave user and password out"
    )


def test_a_wrong_password_is_said_in_plain_words(certificate: Path) -> None:
    with smtp_server(certificate, login=True) as mailbox:
        line = why_not(email(f"smtp://{USER.replace('@', '%40')}:wrong@127.0.0.1:{mailbox.port}"))
    assert line == (
        "email: the mail server refuses the login (SMTP 535): check user and password in SAMEGOAL_SMTP_URL"
    )


def test_recipients_that_are_refused_are_told_and_do_not_keep_the_others_from_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with smtp_server() as mailbox:
        mailbox.refuse_recipients = {"ben@example.com"}
        email(f"smtp://127.0.0.1:{mailbox.port}").send(SUBJECT, TEXT)
        assert mailbox.recipients == [["ana@example.com"]]
        assert "1 of 2 recipients were refused: check SAMEGOAL_ALARM_EMAIL_TO" in caplog.text
        mailbox.refuse_recipients = set(TO)
        assert "refuses every recipient" in why_not(email(f"smtp://127.0.0.1:{mailbox.port}"))


def test_a_server_that_refuses_the_message_is_not_quoted() -> None:
    with smtp_server() as mailbox:
        mailbox.refuse = f"554 ana@example.com says {PASSWORD}"
        line = why_not(email(f"smtp://127.0.0.1:{mailbox.port}"))
    assert line == "email: the mail server refuses the message (SMTP 554)"


def test_a_mail_server_that_is_not_there_is_said_in_plain_words() -> None:
    with closed_port() as port:
        line = why_not(email(f"smtp://127.0.0.1:{port}"))
    assert line == "email: the mail server cannot be reached: check host and port in SAMEGOAL_SMTP_URL"


def test_a_mail_server_that_hangs_is_given_up(silent_port: int) -> None:
    channel = SmtpChannel("127.0.0.1", silent_port, "me@example.com", TO, timeout=0.2)
    assert "hung up or did not answer in time" in why_not(channel)


def test_an_address_that_the_server_cannot_write_is_said_in_plain_words() -> None:
    recipient = ("jürgen@example.com",)
    with smtp_server(ascii_only=True) as mailbox:
        line = why_not(email(f"smtp://127.0.0.1:{mailbox.port}", recipient, "night@example.com"))
    assert line == (
        "email: the mail server takes no address with other letters than ASCII: "
        "check SAMEGOAL_ALARM_EMAIL_TO and SAMEGOAL_ALARM_EMAIL_FROM"
    )
    with smtp_server() as mailbox:
        email(f"smtp://127.0.0.1:{mailbox.port}", recipient, "night@example.com").send(SUBJECT, TEXT)
    assert mailbox.recipients == [["jürgen@example.com"]]


def test_an_address_that_is_none_is_said_in_plain_words() -> None:
    with smtp_server() as mailbox:
        line = why_not(email(f"smtp://127.0.0.1:{mailbox.port}", ("ana\nBcc: eve@example.com",)))
    assert "an address cannot be used" in line


def test_a_webhook_gets_the_message_as_json() -> None:
    with web_server() as hook:
        WebhookChannel(SecretStr(hook.url)).send(SUBJECT, TEXT, "<p>not sent</p>")
    assert hook.received == [{"subject": SUBJECT, "text": f"{SUBJECT}\n\n{TEXT}"}]


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_any_other_answer_than_success_means_that_it_did_not_arrive(status: int) -> None:
    with web_server() as hook:
        hook.status = status
        assert f"answers with HTTP {status}" in why_not(WebhookChannel(SecretStr(hook.url)))


def test_a_redirect_is_not_followed() -> None:
    with web_server() as hook, web_server() as elsewhere:
        hook.status, hook.headers = 307, {"Location": elsewhere.url}
        assert "HTTP 307" in why_not(WebhookChannel(SecretStr(hook.url)))
    assert elsewhere.received == []


def test_a_webhook_that_is_not_there_or_hangs_is_said_in_plain_words(silent_port: int) -> None:
    with closed_port() as port:
        gone = WebhookChannel(SecretStr(f"http://127.0.0.1:{port}/abracadabra"))
        assert "cannot be reached: check SAMEGOAL_ALARM_WEBHOOK_URL" in why_not(gone)
    hanging = WebhookChannel(SecretStr(f"http://127.0.0.1:{silent_port}/abracadabra"), timeout=0.2)
    assert "did not answer in time" in why_not(hanging)


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_a_webhook_that_drips_is_given_up_and_its_connection_cut(first: bytes, drip: bytes) -> None:
    """No single read takes long."""
    with dripping_server(first, drip) as server:
        url = SecretStr(f"http://127.0.0.1:{server.port}/abracadabra")
        assert "did not answer in time" in why_not(WebhookChannel(url, in_all=0.3))
        assert server.left_alone.wait(120)


@pytest.mark.parametrize(
    ("encrypted", "first", "drip"),
    [(False, b"", b"220-wait\r\n"), (False, b"220 ", b"x"), (True, b"\x16\x03\x03\x40\x00", b"\x02")],
)
def test_a_mail_server_that_drips_is_given_up_and_its_connection_cut(
    encrypted: bool, first: bytes, drip: bytes
) -> None:
    with dripping_server(first, drip) as server:
        channel = SmtpChannel("127.0.0.1", server.port, "me@example.com", TO, ssl=encrypted, in_all=0.3)
        assert "hung up or did not answer in time" in why_not(channel)
        assert server.left_alone.wait(120)


def test_a_webhooks_address_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """urllib3 quotes it, query and all: of every request at DEBUG, of strange headers at WARNING."""
    caplog.set_level(logging.DEBUG)
    with web_server() as hook:
        hook.headers = {"X-Strange": "1\r\nno header at all"}
        WebhookChannel(SecretStr(hook.url)).send(SUBJECT, TEXT)
        assert "abracadabra" not in caplog.text
        requests.post(hook.url, json={}, timeout=10)
        assert "Failed to parse headers" in caplog.text  # of others it is logged as before


def test_without_any_channel_the_message_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    (channel,) = channels_of()
    assert isinstance(channel, LogChannel)
    channel.send(SUBJECT, TEXT)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"{SUBJECT}\n{TEXT}"


def test_the_channels_are_those_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEGOAL_SMTP_URL", f"smtps://{USER.replace('@', '%40')}:{PASSWORD}@mail.example.com")
    monkeypatch.setenv("SAMEGOAL_ALARM_EMAIL_TO", "ana@example.com, ben@example.com,")
    monkeypatch.setenv("SAMEGOAL_ALARM_WEBHOOK_URL", "https://chat.example.com/abracadabra")
    settings = Settings()
    channels = channels_of(
        email_to=settings.alarm_email_to,
        email_from=settings.alarm_email_from,
        smtp_url=settings.smtp_url,
        webhook_url=settings.alarm_webhook_url,
    )
    assert [channel.name for channel in channels] == ["email", "webhook"]
    mail = channels[0]
    assert isinstance(mail, SmtpChannel)
    assert (mail.host, mail.port, mail.ssl, mail.user, mail.recipients) == (
        "mail.example.com",
        465,
        True,
        USER,
        TO,
    )
    shown = f"{channels!r} {settings!r}"
    assert PASSWORD not in shown
    assert "abracadabra" not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAMEGOAL_SMTP_URL", "mail.example.com:587"),
        ("SAMEGOAL_SMTP_URL", f"smtp://someone:{PASSWORD}@mail.example.com:{PASSWORD}"),
        ("SAMEGOAL_SMTP_URL", f"http://someone:{PASSWORD}@mail.example.com"),
        ("SAMEGOAL_ALARM_WEBHOOK_URL", f"ftp://chat.example.com/{PASSWORD}"),
        ("SAMEGOAL_ALARM_EMAIL_TO", "ana@example.com"),  # and no mail server
    ],
)
def test_a_channel_that_cannot_work_is_told_at_the_start_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert PASSWORD not in str(caught.value)
    assert [fault["loc"] for fault in caught.value.errors()] == [(name.removeprefix("SAMEGOAL_").lower(),)]


@pytest.mark.parametrize(
    "to",
    [
        "ana@example.com, bob@",
        " , ",
        "a@example.com; b@example.com",
        "a@example.com b@example.com",
        "ana",
    ],
)
def test_addresses_that_no_mail_server_takes_are_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    monkeypatch.setenv("SAMEGOAL_SMTP_URL", "smtp://mail.example.com")
    monkeypatch.setenv("SAMEGOAL_ALARM_EMAIL_TO", to)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert plain(caught.value) == (
        "SAMEGOAL_ALARM_EMAIL_TO has a value that cannot be used: it must be e-mail addresses such as "
        "ana@example.com, separated by commas; see the README's table"
    )


def test_a_mail_server_without_recipients_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEGOAL_SMTP_URL", "smtp://mail.example.com")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert plain(caught.value) == ("SAMEGOAL_SMTP_URL needs SAMEGOAL_ALARM_EMAIL_TO; see the README's table")


def test_names_beside_addresses_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEGOAL_SMTP_URL", "smtp://mail.example.com")
    monkeypatch.setenv(
        "SAMEGOAL_ALARM_EMAIL_TO", 'Ana Ruiz <ana@example.com>, "Ben" <b@example.com>, jörg@müller.example'
    )
    monkeypatch.setenv("SAMEGOAL_ALARM_EMAIL_FROM", "SameGoal <nights@example.com>")
    assert Settings().alarm_email_from == "SameGoal <nights@example.com>"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    accepted.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
    for connection in accepted:
        connection.close()
