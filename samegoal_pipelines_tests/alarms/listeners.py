"""Servers that alarms are sent to: a real SMTP server and a real HTTP server on this machine."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "alarm@example.com", "hunter2-of-the-mail-server"


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
def smtp_server(
    certificate: Path | None = None,
    *,
    encrypted: bool = False,
    login: bool = False,
    ascii_only: bool = False,
) -> Iterator[Mailbox]:
    """An SMTP server.

    Args:
        certificate: offers STARTTLS with it.
        encrypted: speaks TLS from the first byte instead.
        login: takes the user and password above, over an encrypted connection only.
        ascii_only: knows nothing of addresses with other letters (SMTPUTF8).
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
    if encrypted:
        options["auth_require_tls"] = False  # it knows of STARTTLS only
    controller = _Controller(
        mailbox,
        hostname="127.0.0.1",
        ready_timeout=120,
        ssl_context=context if encrypted else None,
        tls_context=None if encrypted else context,
        enable_SMTPUTF8=not ascii_only,
        **options,
    )
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
        return await self.loop.create_server(self._factory_invoker, sock=listener, ssl=self.ssl_context)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody else can meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@dataclass
class Hook:
    """What a web server got, and with what it answers."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    received: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    refuse: str | None = None
    """Text: a message with it is refused (HTTP 400)."""


@contextmanager
def web_server() -> Iterator[Hook]:
    """An HTTP server that takes JSON."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.paths.append(self.path)
            refused = hook.refuse is not None and hook.refuse in body.decode()
            if not refused:
                hook.received.append(json.loads(body))
            self.send_response(400 if refused else hook.status)
            for name, value in hook.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/hook?token=abracadabra"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(folder: Path) -> Path:
    """A key and a certificate of this machine's own for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "mail.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


@dataclass
class Dripping:
    """A server that never comes to an end, and whether its caller has hung up."""

    port: int = 0
    left_alone: threading.Event = field(default_factory=threading.Event)


@contextmanager
def dripping_server(first: bytes, drip: bytes) -> Iterator[Dripping]:
    """A server that says `first` to whoever connects, and then `drip` for ever."""
    server = Dripping()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]

        def serve() -> None:
            with suppress(OSError):  # closed before anybody came
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.sendall(first)
                    while not stop.wait(0.02):
                        connection.sendall(drip)
                server.left_alone.set()

        stop = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            stop.set()
            thread.join(10)
