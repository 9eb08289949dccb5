"""Which base URLs and peers are refused, and what a person reads then."""

import pytest
from pydantic import SecretStr

from samegoal_pipelines.qmlativ.addresses import checked_url, is_public
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.connection import Connection
from samegoal_pipelines.qmlativ.errors import InvalidCredentialsError, UnsafeUrlError
from samegoal_pipelines.tables.people import COUNTY
from samegoal_pipelines_tests.qmlativ.scripted import serving


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://skyward.example.com/API", "must start with https://"),
        ("ftp://skyward.example.com/API", "must start with https://"),
        ("https://user:pw@skyward.example.com/API", "must not hold a user name"),
        ("https://@skyward.example.com/API", "must not hold a user name"),
        ("https://skyward.example.com/API?x=1", "must not hold a query"),
        ("https://skyward.example.com/API#x", "must not hold a query"),
        ("https://skyward.example.com/../API", "must not hold . or .."),
        ("https://skyward.example.com/%2e%2e/API", "must not hold . or .."),
        ("https://skyward.example.com\\API", "backslash"),
        ("https://skyward.example.com/A\nPI", "control character"),
        ("https:///API", "names no host"),
        ("https://[::1", "is not a URL"),
        ("https://host:99999/API", "is not a URL"),
        ("", "is empty"),
        ("https://localhost/API", "must be a public address"),
        ("https://api.localhost/API", "must be a public address"),
        ("https://127.0.0.1/API", "must be a public address"),
        ("https://10.1.2.3/API", "must be a public address"),
        ("https://169.254.169.254/API", "must be a public address"),
        ("https://[::1]/API", "must be a public address"),
        ("https://[::ffff:10.0.0.1]/API", "must be a public address"),
        ("https://[fd00::1]/API", "must be a public address"),
    ],
)
def test_a_base_url_that_no_source_may_have_is_refused(url, says):
    with pytest.raises(UnsafeUrlError, match=r"the API Base URL") as refused:
        checked_url(url)
    assert says in str(refused.value)


def test_a_good_base_url_loses_only_its_trailing_slash():
    url = "https://skyward.iscorp.com/GrandBendTXStuAPI"
    assert checked_url(f" {url}/ ") == url


def test_local_addresses_are_admitted_where_that_is_asked_for():
    assert checked_url("http://127.0.0.1:8000/API", allow_local=True) == "http://127.0.0.1:8000/API"
    with pytest.raises(UnsafeUrlError, match="user name"):
        checked_url("http://user@127.0.0.1:8000/API", allow_local=True)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
        ("fec0::1", False),
        ("feff::1", False),
        ("192.0.0.8", False),
        ("::ffff:192.0.0.8", False),
        ("64:ff9b::c000:8", False),
        ("64:ff9b:1::808:808", False),
        ("3fff::1", False),
        ("3fff:fff:ffff::1", False),
        ("4000::1", False),
        ("5f00::1", False),
        ("2001:db8::1", False),
        ("2001:20::1", False),
        ("2001:4860:4860::8888", True),
    ],
)
def test_only_addresses_on_the_public_internet_are_public(address, public):
    assert is_public(address) is public


def test_a_public_name_that_leads_to_a_private_address_is_refused_before_anything_is_sent(monkeypatch):
    """DNS rebinding: the URL looks harmless, and only the address that it resolves to gives it away."""
    import socket

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


def test_a_connection_without_a_secret_is_refused():
    with pytest.raises(InvalidCredentialsError, match="the Client Secret is missing"):
        Connection("https://skyward.example.com/API", "key", SecretStr("  "))


def test_the_secret_shows_in_no_repr():
    connection = Connection("https://skyward.example.com/API", "key", SecretStr("very-hidden"))
    assert "very-hidden" not in repr(connection) + str(connection) + repr(connection.client_secret)
    assert connection.client_secret.get_secret_value() == "very-hidden"
