"""The process that checks alert addresses, or sends one message to one address, through apprise.

Run as `python -m samegoal_pipelines.reporting.deliver` with JSON on standard input. It is a separate process
because a process can be killed at a deadline, and because apprise loads 190 services and quotes addresses in
its log. It only prints fixed words and status codes, never an address, a message or a server's answer.
"""

import json
import logging
import re
import sys
from urllib.parse import parse_qs, unquote, urlsplit

import apprise
from apprise.utils.parse import is_email

LONGEST_TEAMS_MESSAGE = 20_000  # Teams takes 28 KB; apprise would split at 1,000 characters
_INVALID = "not a valid apprise URL, or with an invalid recipient; see Alerts in docs/production.md"
_LISTS = ("to", "cc", "bcc", "reply")
_STATUS = re.compile(r"error=([345]\d\d)|^Socket Exception: .*?\((\d{3}), b")
_REASONS = {
    "STARTTLS extension": "the mail server offers no encryption",
    "certificate verify failed": "the server's certificate is not trusted",
    "timed out": "the server did not answer in time",
}


class _Log(logging.Handler):
    """Apprise's log, in memory, which is the only place for its errors."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line.startswith("Sent "):
            print("sent", flush=True)  # noqa: T201  # a part has arrived, even if the others fail
        if record.levelno >= logging.WARNING or line.startswith("Socket Exception"):
            self.lines.append(line)

    def reason(self) -> str:
        for line in self.lines:
            if found := _STATUS.search(line):
                code = f"HTTP {found[1]}" if found[1] else f"SMTP {found[2]}"
                return f"the server refused the message ({code})"
        text = "\n".join(self.lines)
        return next((why for words, why in _REASONS.items() if words in text), "the server cannot be reached")


def main() -> None:
    """Read a request and print the outcome: a line per address, or one for the message."""
    request = json.load(sys.stdin)
    log, logger = _Log(), logging.getLogger("apprise")
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    asset = apprise.AppriseAsset(
        app_id="SameGoal",
        async_mode=False,
        http_redirects=False,  # never send to another place than configured
        image_url_mask="",
        service_timeout=0,
        storage_mode="memory",
    )
    for url in request["urls"]:
        log.lines.clear()
        service = apprise.Apprise.instantiate(url, asset=asset)
        # Apprise drops an invalid recipient with a warning, or without one in a list of recipients.
        if service is None or log.lines or not _recipients_are_valid(service, url):
            print(_INVALID)  # noqa: T201
        elif getattr(service, "secure_mode", None) == "insecure" and service.password:
            print("it would send its password unencrypted; use mailtos://")  # noqa: T201
        elif "text" not in request:
            print("valid")  # noqa: T201
        elif _send(service, request, overflow_is_set="overflow=" in url):
            print("done")  # noqa: T201
        else:
            print(log.reason())  # noqa: T201


def _recipients_are_valid(service: apprise.NotifyBase, url: str) -> bool:
    """Whether apprise sends to these addresses. Of `o'hara@example.org` it takes `hara@example.org`."""
    if type(service).__name__ != "NotifyEmail":
        return True
    parts = urlsplit(url)
    lists = [unquote(parts.path), *(text for name in _LISTS for text in parse_qs(parts.query).get(name, []))]
    for one in filter(str.strip, re.split(r"[,;/]", ",".join(lists))):
        found = is_email(one)  # type: ignore[no-untyped-call]
        written = one.rpartition("<")[2].strip(" >")
        if not found or found["full_email"].casefold() != written.casefold():
            return False
    return True


def _send(service: apprise.NotifyBase, request: dict[str, str], *, overflow_is_set: bool) -> bool:
    if type(service).__name__ == "NotifyWorkflows":
        service.body_maxlen = LONGEST_TEAMS_MESSAGE
    if not overflow_is_set:  # a service refuses a message that is too long for it
        chat = service.body_maxlen >= 1_000
        service.overflow_mode = apprise.OverflowMode.SPLIT if chat else apprise.OverflowMode.TRUNCATE
    service.request_rate_per_sec = min(service.request_rate_per_sec, 1)
    service.socket_read_timeout = max(service.socket_read_timeout, 10)
    if type(service).__name__ == "NotifyEmail":
        vars(service)["headers"]["Auto-Submitted"] = "auto-generated"  # no out-of-office replies
    sending = apprise.Apprise(service, asset=service.asset)
    return bool(
        sending.notify(
            body=request["text"],
            title=request["subject"],
            notify_type=request["kind"],
            body_format=apprise.NotifyFormat.MARKDOWN,
        )
    )


if __name__ == "__main__":
    main()
