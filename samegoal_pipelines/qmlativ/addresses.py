"""The allowed addresses of a district's source: checks of the URL and of the address it resolves to."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from samegoal_pipelines.qmlativ.errors import CHECK_ADDRESS, UnsafeUrlError

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


def checked_url(url: str, what: str = "API Base URL", *, allow_local: bool = False) -> str:
    """The URL without a trailing slash. Raises `UnsafeUrlError` with the reason if a source may not use it.

    `allow_local` allows plain http and loopback or private addresses, for the demo and tests.
    """
    url = url.strip()
    if not url or re.search(r"[\s\\\x00-\x1f\x7f]", url):
        raise UnsafeUrlError(f"the {what} is empty or holds a space, a backslash or a control character")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise UnsafeUrlError(f"the {what} is not a URL") from None
    if parts.scheme != "https" and not (allow_local and parts.scheme == "http"):
        raise UnsafeUrlError(
            f"the {what} must start with https://",
            next_step=f"{CHECK_ADDRESS}; {FOR_A_SANDBOX}",
        )
    if "@" in parts.netloc:
        raise UnsafeUrlError(f"the {what} must not hold a user name or password")
    if "?" in url or "#" in url:
        raise UnsafeUrlError(f"the {what} must not hold a query or fragment (nothing after ? or #)")
    if not host:
        raise UnsafeUrlError(f"the {what} names no host")
    if any(segment in (".", "..") for segment in parts.path.lower().replace("%2e", ".").split("/")):
        raise UnsafeUrlError(f"the {what} must not hold . or .. as a part of its path")
    if not allow_local and _is_local(host.rstrip(".").lower()):
        raise UnsafeUrlError(
            f"the {what} must be a public address; it leads to this machine or a private network",
            next_step=f"{CHECK_ADDRESS}; {FOR_A_SANDBOX}",
        )
    return url.rstrip("/")


def check_peer(address: str) -> None:
    """Refuse a peer that is not on the public internet, regardless of its name."""
    if not is_public(address):
        raise UnsafeUrlError(
            "the host of the API Base URL leads to a loopback, private or reserved address; not read"
        )


def is_public(address: str) -> bool:
    """Whether a numeric address, or the IPv4 address that it wraps, is on the public internet."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
        ip = nat64 or ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else ip)
    special = ip.is_multicast or ip.is_reserved or any(ip in network for network in _NOT_PUBLIC)
    return ip.is_global and not special


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or host.endswith(".localhost") or not is_public(host)
    except ValueError:
        return False  # a name, whose address is checked after connecting
