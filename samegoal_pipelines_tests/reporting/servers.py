"""Servers that alerts are sent to: a real SMTP server, and HTTP servers as strict as the chat services."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer, ThreadingTCPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509

from samegoal_pipelines_tests.certificates import Authority, pem

USER, PASSWORD = "alert", "hunter2-of-the-mail-server"
SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
GOOGLE = "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=abracadabra&token=abracadabra2"
TEAMS = (
    "https://prod-1.westus.logic.azure.com/workflows/abra/triggers/manual/paths/invoke"
    "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=abracadabra"
)
HOSTS = ("hooks.slack.com", "chat.googleapis.com", "prod-1.westus.logic.azure.com")


class Mailbox:
    """What an SMTP server got, and what it says instead where it is told to refuse."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.encrypted: list[bool] = []
        self.refuse: str | None = None
        self.refuse_recipients: set[str] = set()
        self.port = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuse_recipients:
            return f"550 no such user {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return self.refuse
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.received.append(message)
        self.recipients.append(list(envelope.rcpt_tos))
        self.encrypted.append(session.ssl is not None)
        return "250 OK"


@contextmanager
def smtp_server(certificate: Path | None = None, *, login: bool = False) -> Iterator[Mailbox]:
    """An SMTP server.

    Args:
        certificate: offers STARTTLS with it.
        login: takes the user and password above, over an encrypted connection only.
    """
    mailbox, context = Mailbox(), None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)

    def authenticate(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = (
            isinstance(data, LoginPassword)
            and data.login == USER.encode()
            and data.password == PASSWORD.encode()
        )
        return AuthResult(success=right, handled=right)

    options: dict[str, Any] = {"auth_exclude_mechanism": ["LOGIN", "PLAIN"]}
    if login:
        options = {"authenticator": authenticate, "auth_required": True}
    controller = _Controller(mailbox, hostname="127.0.0.1", ready_timeout=120, tls_context=context, **options)
    controller.start()
    try:
        mailbox.port = controller.port
        yield mailbox
    finally:
        controller.stop()


class _Controller(Controller):
    """It takes the port that is free when it begins to listen: one found out before may be gone by then."""

    async def _create_server(self) -> Any:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        return await self.loop.create_server(self._factory_invoker, sock=listener)


@dataclass
class Hook:
    """What a web server received, and how it answers."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    received: list[Any] = field(default_factory=list)
    stall_after: int | None = None
    """After so many messages, no further one is answered."""
    stalled: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """The apprise URL of this server."""
        return f"json://127.0.0.1:{self.port}/hook?-token=abracadabra"


def _accepts(host: str, posted: Any) -> bool:
    """Whether a service takes this, as strictly as the real one does."""
    match host:
        case "hooks.slack.com":
            (attachment,) = posted.get("attachments", [{}])
            known = {"text", "attachments", "mrkdwn", "username", "icon_url", "channel"}
            return set(posted) <= known and 0 < len(attachment.get("text", "")) <= 40_000
        case "chat.googleapis.com":
            return set(posted) <= {"text", "cards", "cardsV2", "thread"} and 0 < len(posted["text"]) <= 4096
        case "prod-1.westus.logic.azure.com":
            (attachment,) = posted.get("attachments", [{}])
            card = attachment.get("content", {})
            return (
                posted.get("type") == "message"
                and attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
                and (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
                and all(block["type"] == "TextBlock" and block["text"] for block in card["body"])
                and len(json.dumps(posted)) <= 28 * 1024
            )
    return isinstance(posted, dict)


@contextmanager
def web_server(certificate: Path | None = None) -> Iterator[Hook]:
    """An HTTP server that takes JSON.

    Args:
        certificate: the server is also a proxy that plays every HTTPS host named in this certificate.
    """
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        host = ""

        def do_CONNECT(self) -> None:
            assert certificate is not None
            self.send_response(200)
            self.end_headers()
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            self.host = self.path.partition(":")[0]
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            self.handle_one_request()
            self.close_connection = True

        def do_POST(self) -> None:
            posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if len(hook.received) == hook.stall_after:
                hook.stalled.wait(120)
                return
            accepted = _accepts(self.host, posted)
            if accepted:
                hook.received.append(posted)
            self.send_response(hook.status if accepted else 400)
            for name, value in hook.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as hook.port:
        yield hook


@contextmanager
def dripping_server(first: bytes, drip: bytes) -> Iterator[tuple[int, threading.Event]]:
    """A server that says `first`, and then `drip` forever: its port, and whether its caller has hung up."""
    left_alone = threading.Event()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.sendall(first)
                while not left_alone.wait(0.02):
                    self.request.sendall(drip)
            left_alone.set()

    with _serving(ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        yield port, left_alone


@contextmanager
def _serving(server: TCPServer) -> Iterator[int]:
    """Serve from a thread. Yields the port."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 and the chat services."""
    names = [x509.IPAddress(ip_address("127.0.0.1")), *map(x509.DNSName, HOSTS)]
    authority = Authority("mail.example.com", *names)
    file = folder / "mail.pem"
    file.write_bytes(pem(authority.key) + authority.own)
    return file


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with smtp_server() as mailbox:
        yield mailbox


@pytest.fixture
def hook() -> Iterator[Hook]:
    with web_server() as hook:
        yield hook


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate that is trusted."""
    file = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    return file


@pytest.fixture
def chat(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    """All chat services: what they accepted."""
    with web_server(certificate) as hook:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{hook.port}")
        yield hook


def mail(port: int, options: str = "to=ana@example.com", user: str = "") -> str:
    """The apprise URL of a mail server on this machine."""
    return f"mailto{'s' if user else ''}://{user}127.0.0.1:{port}?from=nights@example.com&{options}"
