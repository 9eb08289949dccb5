"""The ways in which a message reaches people: e-mail, a webhook, a line in the log.

A channel sends or raises `ChannelError`, in one line without the address, the password or the server's own
words, which may repeat both. Retrying is the caller's; nothing here remembers what was sent.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import requests
from pydantic import SecretStr

from samegoal_pipelines.alarms.sending import WatchedAdapter, WatchedSMTP, WatchedSMTPS, in_time

SECONDS = 10
"""How long a channel waits for each answer of its server."""
SECONDS_IN_ALL = 20
"""How long one message may take, whatever its server says meanwhile; a look at all channels has a minute."""


class ChannelError(Exception):
    """A message could not be sent; says through what, why, and what to check."""


class Channel(Protocol):
    """One way to reach people."""

    @property
    def name(self) -> str:
        """What it is called where it is written down that a message went through it."""
        ...

    def send(self, subject: str, text: str, html: str | None = None) -> None:
        """Send one message.

        Raises:
            ChannelError: it did not arrive, as far as can be told.
        """
        ...


@dataclass(frozen=True)
class LogChannel:
    """A warning in the log of the process, for whoever has set up nothing else."""

    name: str = "log"

    def send(self, subject: str, text: str, html: str | None = None) -> None:  # noqa: ARG002
        """Write the message."""
        logging.getLogger(__name__).warning("%s\n%s", subject, text)


@dataclass(frozen=True)
class SmtpChannel:
    """E-mail through one server.

    A connection that begins in the clear is encrypted (STARTTLS) where the server can, and a password is
    never sent over one that is not.
    """

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    ssl: bool = False
    """Encrypted from the first byte (smtps)."""
    user: str | None = None
    password: SecretStr = field(default_factory=lambda: SecretStr(""))
    timeout: float = SECONDS
    in_all: float = SECONDS_IN_ALL
    name: str = "email"

    @classmethod
    def from_url(cls, url: SecretStr, recipients: Sequence[str], sender: str | None = None) -> SmtpChannel:
        """The channel that `smtp://[user:password@]host:port` or `smtps://…` describes; ports 587 and 465."""
        parts = urlsplit(url.get_secret_value())
        encrypted = parts.scheme == "smtps"
        return cls(
            host=parts.hostname or "",
            port=parts.port or (465 if encrypted else 587),
            sender=sender or recipients[0],
            recipients=tuple(recipients),
            ssl=encrypted,
            user=unquote(parts.username) if parts.username else None,
            password=SecretStr(unquote(parts.password or "")),
        )

    def send(self, subject: str, text: str, html: str | None = None) -> None:
        """Send one e-mail to all recipients; that some are refused is a line in the log."""
        try:
            message = self._message(subject, text, html)
            refused = in_time(lambda: self._sent(message), self.in_all)
        except (smtplib.SMTPException, OSError, ValueError, MessageError) as error:
            raise ChannelError(f"{self.name}: {_what_went_wrong(error)}") from None
        if refused:
            logging.getLogger(__name__).warning(
                "%s: %d of %d recipients were refused: check SAMEGOAL_ALARM_EMAIL_TO",
                self.name,
                len(refused),
                len(self.recipients),
            )

    def _sent(self, message: EmailMessage) -> dict[str, Any]:
        """Send it; returns the recipients that the server refuses."""
        server = self._connected()
        try:
            refused = server.send_message(message)
            with suppress(smtplib.SMTPException, OSError):
                server.putcmd("quit")  # the message is sent: what the server answers is not waited for
        except smtplib.SMTPNotSupportedError:
            raise _AddressNotTaken from None
        finally:
            server.close()
        return refused

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        server: smtplib.SMTP
        if self.ssl:
            server = WatchedSMTPS(self.host, self.port, timeout=self.timeout, context=context)
        else:
            server = WatchedSMTP(self.host, self.port, timeout=self.timeout)
        try:
            server.ehlo()
            if not self.ssl and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
            elif not self.ssl and self.user:
                raise _NotEncrypted
            if self.user:
                server.login(self.user, self.password.get_secret_value())
        except BaseException:
            server.close()
            raise
        return server

    def _message(self, subject: str, text: str, html: str | None) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(subject.split())
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="samegoal-pipelines.invalid")
        message["Auto-Submitted"] = "auto-generated"  # out-of-office robots do not answer it
        message.set_content(text)
        if html is not None:
            message.add_alternative(html, subtype="html")
        return message


class _NotEncrypted(smtplib.SMTPException):
    """There is a password to send, and no encryption."""


class _AddressNotTaken(smtplib.SMTPException):
    """An address has letters that this server takes in none (no SMTPUTF8)."""


def _what_went_wrong(error: Exception) -> str:
    code = f" (SMTP {error.smtp_code})" if isinstance(error, smtplib.SMTPResponseException) else ""
    if isinstance(error, _NotEncrypted):
        return "the mail server offers no encryption, so the password was not sent: use smtps://"
    if isinstance(error, _AddressNotTaken):
        return (
            "the mail server takes no address with other letters than ASCII: "
            "check SAMEGOAL_ALARM_EMAIL_TO and SAMEGOAL_ALARM_EMAIL_FROM"
        )
    if type(error) in (
        smtplib.SMTPNotSupportedError,
        smtplib.SMTPException,
    ):  # no way to log in that both know
        return "the mail server takes no login here: check SAMEGOAL_SMTP_URL, or leave user and password out"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"the mail server refuses the login{code}: check user and password in SAMEGOAL_SMTP_URL"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "the mail server refuses every recipient: check SAMEGOAL_ALARM_EMAIL_TO"
    if isinstance(error, smtplib.SMTPSenderRefused):
        return f"the mail server refuses the sender{code}: set SAMEGOAL_ALARM_EMAIL_FROM"
    if isinstance(error, ssl.SSLError):
        return "the mail server's certificate or encryption is not acceptable: check SAMEGOAL_SMTP_URL"
    if isinstance(error, smtplib.SMTPServerDisconnected | TimeoutError):
        return "the mail server hung up or did not answer in time; it will be tried again"
    if isinstance(error, smtplib.SMTPException):
        return f"the mail server refuses the message{code}"
    if isinstance(error, OSError):
        return "the mail server cannot be reached: check host and port in SAMEGOAL_SMTP_URL"
    return "an address cannot be used: check SAMEGOAL_ALARM_EMAIL_TO and SAMEGOAL_ALARM_EMAIL_FROM"


@dataclass(frozen=True)
class WebhookChannel:
    """A POST of `{"subject": …, "text": …}`: what chat services and on-call services take.

    `text` begins with the subject, because the former show nothing else. Redirects are not followed: what is
    posted goes to the address that was configured, or nowhere.
    """

    url: SecretStr
    timeout: float = SECONDS
    in_all: float = SECONDS_IN_ALL
    name: str = "webhook"

    def send(self, subject: str, text: str, html: str | None = None) -> None:  # noqa: ARG002
        """Post the message; any status but 2xx means that it did not arrive."""
        content = {"subject": subject, "text": f"{subject}\n\n{text}"}
        try:
            status = in_time(lambda: self._posted(content), self.in_all)
        except requests.exceptions.SSLError:
            what = "the server's certificate is not acceptable"
        except (requests.exceptions.Timeout, TimeoutError):
            what = "the server did not answer in time; it will be tried again"
        except (requests.exceptions.RequestException, ValueError):
            what = "the server cannot be reached: check SAMEGOAL_ALARM_WEBHOOK_URL"
        else:
            if 200 <= status < 300:
                return
            what = f"the server answers with HTTP {status}: check SAMEGOAL_ALARM_WEBHOOK_URL"
        raise ChannelError(f"{self.name}: {what}")

    def _posted(self, content: dict[str, str]) -> int:
        """Post it; returns the status."""
        with requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, WatchedAdapter())
            answer = session.post(
                self.url.get_secret_value(),
                json=content,
                timeout=self.timeout,
                allow_redirects=False,
                stream=True,  # what it says is not read
            )
            answer.close()
            return answer.status_code


def channels_of(
    *,
    email_to: str | None = None,
    email_from: str | None = None,
    smtp_url: SecretStr | None = None,
    webhook_url: SecretStr | None = None,
) -> list[Channel]:
    """Every channel that is set up; the log where none is."""
    channels: list[Channel] = []
    recipients = [address.strip() for address in (email_to or "").split(",") if address.strip()]
    if recipients and smtp_url:
        channels.append(SmtpChannel.from_url(smtp_url, recipients, email_from))
    if webhook_url:
        channels.append(WebhookChannel(webhook_url))
    return channels or [LogChannel()]
