"""Who answers is not whom the address names: nothing is said to it, neither the secret nor anything else."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from samegoal_pipelines_tests.faults.fixtures import IMPATIENT, OURS

REFUSED = (
    "token: the server's certificate is not valid for this host, expired or of an unknown authority. "
    "To do: check the API Base URL"
)
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


class Authority(NamedTuple):
    """Somebody who signs certificates, made up for this test."""

    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    @classmethod
    def made_up(cls) -> Authority:
        return cls(ec.generate_private_key(ec.SECP256R1()), _named("A made-up authority"))

    def certificate(self, host: str, until: dt.datetime = NOW + DAY) -> tuple[bytes, bytes]:
        """A certificate for a host, and its key, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        signed = self._signed(_named(host), key, until, (names, False))
        return signed, key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def own(self) -> bytes:
        """Its own certificate, to be trusted."""
        return self._signed(self.name, self.key, NOW + DAY, (x509.BasicConstraints(True, None), True))

    def _signed(self, subject, key, until, *extensions) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 9 * DAY)
            .not_valid_after(until)
        )
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        return made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Listener:
    """Answers at a port of this machine, and keeps what it is told."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.received: list[bytes] = []
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                calling, _ = self._socket.accept()
            except OSError:
                return
            try:
                with (
                    self._context.wrap_socket(calling, server_side=True)
                    if self._context
                    else calling as heard
                ):
                    heard.settimeout(10)
                    if said := heard.recv(100_000):
                        self.received.append(said)
            except OSError:
                continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


Serve = Callable[..., Listener]


@pytest.fixture
def listening(published, tmp_path) -> Iterator[Serve]:
    """Somebody listens where the district is registered, by TLS with this certificate, or without."""
    listeners: list[Listener] = []
    registry = published.pipeline.deployment.registry
    before = registry.get(OURS).base_url
    published.limits["retry_policy"] = replace(IMPATIENT, attempts=1)

    def listen(host: str, certificate: tuple[bytes, bytes] | None = None) -> Listener:
        context = None
        if certificate:
            (tmp_path / "server.pem").write_bytes(b"".join(certificate))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tmp_path / "server.pem")
        listeners.append(Listener(context))
        address = f"https://{host}:{listeners[-1].port}/Tenant"
        registry.set(OURS, base_url=address, allow_local=True)
        return listeners[-1]

    yield listen
    registry.set(OURS, base_url=before, allow_local=True)
    for listener in listeners:
        listener.close()


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch) -> Authority:
    """An authority that this deployment trusts."""
    authority = Authority.made_up()
    (tmp_path / "authority.pem").write_bytes(authority.own())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    return authority


def test_an_expired_certificate_is_refused(listening, trusted, fails):
    listener = listening("localhost", trusted.certificate("localhost", until=NOW - DAY))
    fails(REFUSED)
    assert listener.received == []


def test_a_certificate_for_another_host_is_refused(listening, trusted, fails):
    listener = listening("localhost", trusted.certificate("qmlativ.example.com"))
    fails(REFUSED)
    assert listener.received == []


def test_a_certificate_of_an_authority_that_nobody_knows_is_refused(listening, fails):
    listener = listening("localhost", Authority.made_up().certificate("localhost"))
    fails(REFUSED)
    assert listener.received == []


def test_a_certificate_that_holds_is_believed(listening, trusted, fails):
    """Or the refusals above would prove nothing: here the same listener is talked to."""
    listener = listening("localhost", trusted.certificate("localhost"))
    fails("token: the answer was cut short. To do: try again later")
    assert listener.received[0].startswith(b"POST /Tenant/oauth/token")


def test_a_name_that_leads_to_a_private_address_once_it_is_connected_to_is_told_nothing(
    listening, fails, monkeypatch
):
    """DNS rebinding: public when it was registered, and this machine tonight."""
    real = socket.getaddrinfo

    def resolve(host, port, *rest, **named):
        return real("127.0.0.1" if host == "skyward.example.com" else host, port, *rest, **named)

    listener = listening("skyward.example.com")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("SAMEGOAL_ALLOW_LOCAL_SOURCES", "")
    fails("the host of the API Base URL leads to a loopback, private or reserved address; not read")
    assert listener.received == []


def test_a_local_address_is_not_read_unless_that_is_allowed(published, fails, monkeypatch):
    monkeypatch.setenv("SAMEGOAL_ALLOW_LOCAL_SOURCES", "")
    fails("the API Base URL must start with https://", "SAMEGOAL_ALLOW_LOCAL_SOURCES=1")
    assert not published.source.traffic.log


def test_a_secret_that_was_encrypted_with_a_lost_key_is_asked_for_again(published, fails, monkeypatch):
    from cryptography.fernet import Fernet

    monkeypatch.setenv("SAMEGOAL_SECRET_KEY", Fernet.generate_key().decode())
    fails("districts rotate-secret")
    assert not published.source.traffic.log
