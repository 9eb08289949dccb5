"""The settings to talk to one district's Qmlativ: address, credentials and limits.

A source may only have a public address: of its URL, and of what the URL's host resolves to.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from samegoal_pipelines.qmlativ.errors import CHECK_ADDRESS, InvalidCredentialsError, UnsafeUrlError

FOR_A_SANDBOX = "a sandbox on this machine needs SAMEGOAL_ALLOW_LOCAL_SOURCES=1"
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = [  # from IANA's special-purpose registries; Python 3.11 considers some of them public
    ipaddress.ip_network(each)
    for each in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "64:ff9b:1::/48",  # local-use translation
        "100:0:0:1::/64",  # dummy prefix
        "2001::/23",  # protocol assignments
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local
    )
]


@dataclass(frozen=True)
class RetryPolicy:
    """Deadlines of one request and limits of its retries, in seconds.

    `total` limits one request as a whole. `longest_wait` limits each pause between attempts, whether it
    doubles from `backoff` or a Retry-After header asks for it.
    """

    connect: float = 10
    read: float = 90
    total: float = 300
    attempts: int = 5
    backoff: float = 0.5
    longest_wait: float = 60


@dataclass(frozen=True)
class Connection:
    """One district's access. Raises `UnsafeUrlError` or `InvalidCredentialsError` if it cannot be used.

    `base_url` ends before `/Custom`. `entity_id` is the entity to read as, by default the district's own.
    `connections` limits concurrent requests. `max_pages` and `max_bytes` limit the pages and the decoded JSON
    bytes of one object.
    """

    base_url: str
    client_key: str
    client_secret: SecretStr
    token_url: str | None = None
    entity_id: int | None = None
    allow_local: bool = False
    connections: int = 8
    page_size: int = 10_000
    max_pages: int = 2_000
    max_bytes: int = 2**30
    retry_policy: RetryPolicy = RetryPolicy()

    def __post_init__(self) -> None:
        local = self.allow_local
        object.__setattr__(self, "base_url", checked_url(self.base_url, allow_local=local))
        if self.token_url is not None:
            object.__setattr__(self, "token_url", checked_url(self.token_url, "Token URL", allow_local=local))
        if not self.client_key.strip() or not self.client_secret.get_secret_value().strip():
            raise InvalidCredentialsError(
                "the Client Key or the Client Secret is missing",
                next_step="register them again: samegoal-pipelines districts rotate-secret ID",
            )


def checked_url(url: str, what: str = "API Base URL", *, allow_local: bool = False) -> str:
    """The URL without a trailing slash. Raises `UnsafeUrlError` with the reason if a source may not use it.

    `allow_local` allows plain http and loopback or private addresses, for the demo and tests.
    """
    url = url.strip()
    malformed = UnsafeUrlError(
        f"the {what} must be a host and a path such as https://skyward.iscorp.com/DistrictAPI: no user name, "
        "no query (?), no fragment (#), no space, backslash or control character, and no . or .. in the path"
    )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise malformed from None
    if parts.scheme != "https" and not (allow_local and parts.scheme == "http"):
        raise UnsafeUrlError(
            f"the {what} must start with https://", next_step=f"{CHECK_ADDRESS}; {FOR_A_SANDBOX}"
        )
    dots = {".", ".."} & set(parts.path.lower().replace("%2e", ".").split("/"))
    if not host or "@" in parts.netloc or dots or re.search(r"[?#\s\\\x00-\x1f\x7f]", url):
        raise malformed
    host = host.rstrip(".").lower()
    try:
        local = host == "localhost" or host.endswith(".localhost") or not is_public(host)
    except ValueError:
        local = False  # a name, whose address is checked after connecting
    if local and not allow_local:
        raise UnsafeUrlError(
            f"the {what} must be a public address; it leads to this machine or a private network",
            next_step=f"{CHECK_ADDRESS}; {FOR_A_SANDBOX}",
        )
    return url.rstrip("/")


def is_public(address: str) -> bool:
    """Whether a numeric address, or the IPv4 address that it wraps, is on the public internet."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
        ip = nat64 or ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else ip)
    special = ip.is_multicast or ip.is_reserved or any(ip in network for network in _NOT_PUBLIC)
    return ip.is_global and not special
