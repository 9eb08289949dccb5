"""Which base URLs, peers and certificates are refused: nothing is sent there, and a person reads why."""

import contextlib
import socket
import ssl

import pytest
from pydantic import SecretStr

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.connection import Connection, checked_url, is_public
from samegoal_pipelines.qmlativ.errors import InvalidCredentialsError, QmlativError, UnsafeUrlError
from samegoal_pipelines.tables.people import COUNTY
from samegoal_pipelines_tests.certificates import DAY, NOW, Authority
from samegoal_pipelines_tests.qmlativ.scripted import counties, pages_of, serving

MALFORMED = (
    *("user:pw@skyward.example.com/API", "@skyward.example.com/API", "skyward.example.com/API?x=1"),
    *("skyward.example.com/API#x", "skyward.example.com/../API", "skyward.example.com/%2e%2e/API"),
    *("skyward.example.com\\API", "skyward.example.com/A\nPI", "/API", "[::1", "host:99999/API"),
)
LOCAL = (
    *("localhost", "localhost.", "api.localhost", "127.0.0.1", "10.1.2.3", "169.254.169.254"),
    *("[::1]", "[::ffff:10.0.0.1]", "[fd00::1]"),
)
UNSAFE = (
    *(
        (url, "must start with https://")
        for url in ("", "http://skyward.example.com", "ftp://skyward.example.com")
    ),
    *((f"https://{rest}", "must be a host and a path such as") for rest in MALFORMED),
    *((f"https://{host}/API", "must be a public address") for host in LOCAL),
)


@pytest.mark.parametrize(("url", "says"), UNSAFE)
def test_a_base_url_that_no_source_may_have_is_refused(url, says):
    with pytest.raises(UnsafeUrlError, match=r"the API Base URL") as refused:
        checked_url(url)
    assert says in str(refused.value)


def test_the_token_url_must_be_as_safe_because_the_secret_goes_there():
    with pytest.raises(UnsafeUrlError, match="the Token URL must start with https://"):
        Connection(
            "https://skyward.example.com", "key", SecretStr("s"), token_url="http://tokens.example.com"
        )


def test_a_good_base_url_loses_only_its_trailing_slash():
    url = "https://skyward.iscorp.com/GrandBendTXStuAPI"
    assert checked_url(f" {url}/ ") == url
    assert checked_url("http://127.0.0.1:8000/API", allow_local=True) == "http://127.0.0.1:8000/API"
    with pytest.raises(UnsafeUrlError, match="user name"):
        checked_url("http://user@127.0.0.1:8000/API", allow_local=True)


PUBLIC = {"8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2001:4860:4860::8888"}
OTHERS = {
    *("192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "192.0.0.8"),  # noqa: S104
    *("fe80::1%eth0", "fec0::1", "feff::1", "4000::1", "5f00::1", "2001:db8::1", "2001:20::1"),
    *("3fff::1", "3fff:fff:ffff::1", "64:ff9b:1::808:808"),
    *("::ffff:127.0.0.1", "::ffff:192.0.0.8", "64:ff9b::a00:1", "64:ff9b::c000:8", "2002:7f00:1::"),
}


@pytest.mark.parametrize("address", sorted(PUBLIC | OTHERS))
def test_only_addresses_on_the_public_internet_are_public(address):
    assert is_public(address) == (address in PUBLIC)


def test_a_public_name_that_leads_to_a_private_address_is_refused_before_anything_is_sent(monkeypatch):
    """DNS rebinding: the URL looks harmless, and only the address that it resolves to gives it away."""
    real = socket.getaddrinfo

    def resolve(_host, _port, *rest, **named):
        return real("127.0.0.1", server.port, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with serving(lambda _: None) as server:
        connection = Connection("https://skyward.example.com/Tenant", "key", SecretStr("secret"))
        with QmlativClient(connection) as client, pytest.raises(UnsafeUrlError) as refused:
            client.read(COUNTY)
    assert refused.value.reason == (
        "the host of the API Base URL leads to a loopback, private or reserved address; not read"
    )
    assert server.requests == []


def test_a_secret_is_required_and_shows_in_no_repr():
    with pytest.raises(InvalidCredentialsError, match="the Client Secret is missing"):
        Connection("https://skyward.example.com/API", "key", SecretStr("  "))
    connection = Connection("https://skyward.example.com/API", "key", SecretStr("very-hidden"))
    assert "very-hidden" not in repr(connection) + str(connection) + repr(connection.client_secret)


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
        server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
        with QmlativClient(server.connection(base_url=f"https://{host}:{server.port}/Tenant")) as client:
            yield client, server


def assert_refused(tmp_path, certificate, host="localhost"):
    with reading(tmp_path, certificate, host) as (client, server):
        with pytest.raises(QmlativError) as failed:
            client.read(COUNTY)
        assert (failed.value.kind, server.requests) == (Kind.CERTIFICATE, [])


def test_an_expired_certificate_is_refused(trusted, tmp_path):
    assert_refused(tmp_path, trusted.certificate("localhost", until=NOW - DAY))


def test_a_certificate_for_another_host_is_refused(trusted, tmp_path):
    assert_refused(tmp_path, trusted.certificate("qmlativ.example.com"))
    assert_refused(tmp_path, trusted.certificate("localhost"), host="127.0.0.1")


def test_a_certificate_of_an_authority_that_nobody_knows_is_refused(trusted, tmp_path, monkeypatch):
    assert_refused(tmp_path, Authority("A made-up authority").certificate("localhost"))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert_refused(tmp_path, trusted.certificate("localhost"))


def test_a_certificate_that_holds_is_believed(trusted, tmp_path):
    """Or the refusals above would prove nothing."""
    with reading(tmp_path, trusted.certificate("localhost")) as (client, _):
        assert client.read(COUNTY).table.num_rows == 2
