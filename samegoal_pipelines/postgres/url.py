"""A database URL, parsed once by libpq, and written for each program that reads it.

psql and psycopg2 (libpq), SQLAlchemy and Dagster each parse URLs by different rules. `DatabaseURL` holds the
parts, and each form is built from them. Nothing here connects.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from urllib.parse import quote, urlencode

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.postgres.errors import WarehouseError

DEFAULT_PORT = 5432
_SCHEME = re.compile(r"(?:postgresql|postgres)(?:\+\w+)?://", re.IGNORECASE)
_PARTS = {"host", "port", "user", "password", "dbname"}
_EXAMPLE = "write SAMEGOAL_DATABASE_URL as postgresql://USER[:PASSWORD]@HOST/DATABASE"
_ENCODE = "in the user and password of SAMEGOAL_DATABASE_URL write / as %2F, @ as %40, : as %3A and % as %25"


@dataclass(frozen=True)
class DatabaseURL:
    """The parts of a database URL, decoded.

    Attributes:
        hosts: names, addresses or socket folders, each with its port. Empty: libpq's default.
        keywords: libpq's other connection keywords, such as `sslmode`.
        settings: Postgres settings of the session, as the text of libpq's keyword `options`.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    keywords: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""

    @classmethod
    def parse(cls, url: str) -> DatabaseURL:
        """The parts of `url`, with any driver (`postgres://`, `postgresql+psycopg2://`).

        Raises:
            WarehouseError: this is not a Postgres URL, or libpq cannot read it. The message names the wrong
            part without quoting it.
        """
        import psycopg2
        from psycopg2.extensions import parse_dsn

        scheme = _SCHEME.match(url.strip())
        if scheme is None:
            raise _unusable("is not a Postgres URL", _EXAMPLE)
        try:
            parts = parse_dsn("postgresql://" + url.strip()[scheme.end() :])
        except psycopg2.Error as error:
            raise _unreadable(str(error)) from None
        hosts = tuple(part.strip() for part in parts.get("host", parts.get("hostaddr", "")).split(","))
        ports = parts.get("port", "").split(",")
        if len(ports) == 1:
            ports *= len(hosts)
        if len(ports) != len(hosts):
            raise _unusable("has different numbers of hosts and ports", _EXAMPLE)
        if any("@" in host for host in hosts if not host.startswith("@")):
            raise _unusable("has an @ in its user or password", _ENCODE)
        if not all(re.fullmatch(r"[0-9]{0,5}", port.strip()) for port in ports):
            raise _unusable("has a port that is not a number", _EXAMPLE, _ENCODE)
        named = any(hosts) or any(port.strip() for port in ports)
        numbers = (int(port.strip() or DEFAULT_PORT) for port in ports)
        return cls(
            hosts=tuple(zip(hosts, numbers, strict=True)) if named else (),
            user=parts.get("user"),
            password=parts.get("password"),
            database=parts.get("dbname"),
            keywords={key: value for key, value in parts.items() if key not in {*_PARTS, "options"}},
            settings=parts.get("options", ""),
        )

    def with_settings(self, **settings: str) -> DatabaseURL:
        """The same database, with these Postgres settings in each of its sessions."""
        escaped = (f"-c{name}={_escaped(value)}" for name, value in settings.items())
        return replace(self, settings=" ".join(filter(None, [self.settings, *escaped])))

    def with_login(self, user: str) -> DatabaseURL:
        """The same database for another login without a password."""
        return replace(self, user=user, password=None)

    @cached_property
    def libpq(self) -> str:
        """The URL for psql, psycopg2 and other tools on libpq.

        Socket folders and lists of hosts are keywords, because not every reader accepts them before the
        database.
        """
        query: dict[str, str] = {}
        host = port = database = ""
        if len(self.hosts) == 1 and re.fullmatch(r"[\w.:-]+", self.hosts[0][0]):
            name, number = self.hosts[0]
            host = f"[{name}]" if ":" in name else name
            port = f":{number}" if number != DEFAULT_PORT else ""
        elif self.hosts:
            query["host"] = ",".join(host for host, _ in self.hosts)
            query["port"] = ",".join(str(port) for _, port in self.hosts)
        if self.database is not None and re.fullmatch(r"[\w.-]+", self.database, re.ASCII):
            database = f"/{self.database}"
        elif self.database is not None:
            database, query["dbname"] = "/", self.database
        query |= self.keywords
        # COPY and the texts that we send are UTF-8, regardless of PGCLIENTENCODING and the database.
        query["client_encoding"] = "utf8"
        if self.settings:
            query["options"] = self.settings
        login = "" if self.user is None else quote(self.user, safe="")
        login += "" if self.password is None else f":{quote(self.password, safe='')}"
        login += "@" if login else ""
        return f"postgresql://{login}{host}{port}{database}?{urlencode(query, quote_via=quote, safe='/')}"

    @property
    def unverified_hosts(self) -> list[str]:
        """Other machines whose certificate libpq does not check with this URL."""
        if self.keywords.get("sslmode") in ("verify-ca", "verify-full"):
            return []
        return [host for host, _ in self.hosts if host and host[0] not in "/@" and not _is_loopback(host)]

    @property
    def sqlalchemy(self) -> str:
        """The URL for SQLAlchemy and Dagster. It names the driver: SQLAlchemy 2.1 would choose psycopg 3."""
        return f"postgresql+psycopg2{self.libpq.removeprefix('postgresql')}"


def _unreadable(complaint: str) -> WarehouseError:
    """The meaning of libpq's error, which itself quotes the wrong part and maybe a password."""
    if "query parameter" in complaint:
        what = "has a parameter after the ? that libpq does not know, or one without a value"
    elif "percent-encoded" in complaint or "%00" in complaint:
        return _unusable("has a % without a %-code", _ENCODE)
    else:
        what = "cannot be read"
    return _unusable(what, _EXAMPLE, _ENCODE)


def _unusable(what: str, *next_steps: str) -> WarehouseError:
    return WarehouseError(
        f"the database URL {what}", kind=Kind.DATABASE_SETTING, next_step="; ".join(next_steps)
    )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
