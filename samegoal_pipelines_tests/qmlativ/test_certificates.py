"""Who answers is not whom the address names: nothing is said to it, neither the secret nor anything else."""

import contextlib
import ssl

import pytest

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.errors import QmlativError
from samegoal_pipelines.tables.people import COUNTY
from samegoal_pipelines_tests.certificates import DAY, NOW, Authority
from samegoal_pipelines_tests.qmlativ.scripted import counties, pages_of, serving


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """An authority that this deployment trusts."""
    authority = Authority("A made-up authority")
    (tmp_path / "authority.pem").write_bytes(authority.own)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    return authority


@contextlib.contextmanager
def reading(tmp_path, certificate, host="localhost"):
    """A client of a server with this certificate."""
    (tmp_path / "server.pem").write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with serving(pages_of({1: counties([1, 2], None)})) as server:
        server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
        with QmlativClient(server.connection(base_url=f"https://{host}:{server.port}/Tenant")) as client:
            yield client, server


def refused(tmp_path, certificate, **where):
    with reading(tmp_path, certificate, **where) as (client, server):
        with pytest.raises(QmlativError) as failed:
            client.read(COUNTY)
        assert server.requests == []
    return failed.value.kind is Kind.CERTIFICATE


def test_an_expired_certificate_is_refused(trusted, tmp_path):
    assert refused(tmp_path, trusted.certificate("localhost", until=NOW - DAY))


def test_a_certificate_for_another_host_is_refused(trusted, tmp_path):
    assert refused(tmp_path, trusted.certificate("qmlativ.example.com"))
    assert refused(tmp_path, trusted.certificate("localhost"), host="127.0.0.1")


def test_a_certificate_of_an_authority_that_nobody_knows_is_refused(trusted, tmp_path, monkeypatch):
    assert refused(tmp_path, Authority("A made-up authority").certificate("localhost"))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert refused(tmp_path, trusted.certificate("localhost"))


def test_a_certificate_that_holds_is_believed(trusted, tmp_path):
    """Or the refusals above would prove nothing."""
    with reading(tmp_path, trusted.certificate("localhost")) as (client, _):
        assert client.read(COUNTY).table.num_rows == 2
