"""Alert addresses: the apprise URLs of `SAMEGOAL_ALERT_URLS`, and sending a message to one of them.

An address is a secret, so errors and records name it by its service and position only (`slack`, `slack 2`).
What to send, and whether it was sent before, is decided in `messages`.
"""

import json
import logging
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from samegoal_pipelines.errors import PipelineError

SECONDS = 20
"""The total time limit for one message."""
_NEXT_URL = re.compile(r",\s*(?=[a-z][a-z0-9]*://)|,\s*$", re.IGNORECASE)
"""A comma that ends a URL. Commas inside a URL separate recipients."""
_MAIL = re.compile(r"((mailtos?)://[^/?]*)[^?]*\??(.*)", re.IGNORECASE | re.DOTALL)
_RECIPIENTS = re.compile(r"(to|cc|bcc)=", re.IGNORECASE)
_SERVICE = re.compile(r"https?://([\w.-]+)/|([a-z][a-z0-9]*)://", re.IGNORECASE)


class AlertError(PipelineError):
    """An address is invalid, or a message did not arrive. The text holds no secret."""


@dataclass(frozen=True)
class Message:
    """A message to an address."""

    subject: str
    text: str
    kind: str = "warning"
    """`success` is shown in green where a service has colors."""


@dataclass(frozen=True)
class Address:
    """Where alerts go."""

    name: str
    url: SecretStr | None
    """`None`: the log of this process, for a deployment without addresses."""

    def send(self, message: Message, seconds: float = SECONDS) -> str | None:
        """Send one message. Raises `AlertError` if nothing arrived.

        Return what went wrong if a part arrived, such as at one of two recipients. Do not send it again.
        """
        if self.url is None:
            logging.getLogger(__name__).warning("%s\n%s", message.subject, message.text)
            return None
        *parts, outcome = _deliver([self], seconds, **asdict(message))
        if outcome == "done":
            return None
        problem = f"{self.name}: {outcome}"
        if not parts:
            raise AlertError(problem)
        return f"sent in part: {problem}"


def alert_addresses(urls: SecretStr | None) -> list[Address]:
    """The addresses of `SAMEGOAL_ALERT_URLS`; the log if there is none."""
    addresses, count = [], Counter[str]()
    for url in _split(urls):
        found = _SERVICE.match(url)
        service = (found[1] or found[2]).lower() if found else "address"
        count[service] += 1
        number = f" {count[service]}" if count[service] > 1 else ""
        addresses.append(Address(f"{service}{number}", SecretStr(url)))
    return addresses or [Address("log", None)]


def _split(urls: SecretStr | None) -> list[str]:
    found = _NEXT_URL.split(urls.get_secret_value() if urls else "")
    return [url.strip() for url in found if url.strip()]


def contact_address(contact: str, urls: Sequence[SecretStr | None]) -> Address:
    """A district's contact, through the first mail server among these settings (`Settings.mail_urls`)."""
    for url in (url for each in urls for url in _split(each)):
        if found := _MAIL.match(url):
            options = [one for one in found[3].split("&") if one and not _RECIPIENTS.match(one)]
            options.append(f"to={quote(contact)}")
            return Address(found[2].lower(), SecretStr(f"{found[1]}?{'&'.join(options)}"))
    raise AlertError("no mail server is configured; set SAMEGOAL_CONTACT_MAIL_URL")


def check_addresses(urls: SecretStr | None, mail_url: SecretStr | None = None) -> None:
    """Reject invalid addresses at startup, not on the night of an alert, with an `AlertError`."""
    addresses = [address for address in alert_addresses(urls) if address.url]
    if mail_url is not None:
        addresses.append(contact_address("contact@example.org", [mail_url]))
    if not addresses:
        return
    outcomes = _deliver(addresses, 60)
    checked = zip(addresses, outcomes, strict=False)
    problems = [f"{address.name}: {outcome}" for address, outcome in checked if outcome != "valid"]
    if problems or len(outcomes) != len(addresses):
        names = "SAMEGOAL_ALERT_URLS" + (", SAMEGOAL_CONTACT_MAIL_URL" if mail_url is not None else "")
        raise AlertError("; ".join(problems or ["cannot be checked"]), names)


def _deliver(addresses: list[Address], seconds: float, **message: Any) -> list[str]:
    """The lines that the process `deliver` prints. It is killed at the deadline."""
    request = {"urls": [address.url.get_secret_value() for address in addresses if address.url], **message}
    command = [sys.executable, "-m", "samegoal_pipelines.reporting.deliver"]
    try:
        done = subprocess.run(  # noqa: S603
            command, input=json.dumps(request).encode(), capture_output=True, timeout=seconds, check=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        late = isinstance(error, subprocess.TimeoutExpired)
        problem = "the server did not answer in time" if late else "the process that sends alerts failed"
        return [*(getattr(error, "stdout", None) or b"").decode().splitlines(), problem]
    return done.stdout.decode().splitlines()
