"""A database URL, parsed once by libpq, and written for each program that reads it.

psql and psycopg2 (libpq), SQLAlchemy and Dagster each parse URLs by different rules. `DatabaseURL` holds the
parts, and each form is built from them. Nothing here connects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, urlencode

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.postgres.errors import WarehouseError

_SCHEME = re.compile(r"(?:postgresql|postgres)(?:\+\w+)?://", re.IGNORECASE)
_NEXT_STEP = (
    "write SAMEGOAL_DATABASE_URL as postgresql://USER[:PASSWORD]@HOST/DATABASE, and in the user and password "
    "/ as %2F, @ as %40, : as %3A and % as %25"
)
_LOOPBACK = re.compile(r"localhost|::1|127(\.\d+){3}")


@dataclass(frozen=True)
class DatabaseURL:
    """The parts of a database URL, decoded, by libpq's keywords (`host`, `dbname`, `sslmode`, `options`)."""

    parts: Mapping[str, str] = field(repr=False)

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
            raise _unusable("is not a Postgres URL")
        try:
            parts: dict[str, str] = parse_dsn("postgresql://" + url.strip()[scheme.end() :])
        except psycopg2.Error as error:
            complaint = str(error)  # quotes the wrong part, which may be a password
            if "query parameter" in complaint:
                what = "has a parameter after the ? that libpq does not know, or one without a value"
            elif "percent-encoded" in complaint or "%00" in complaint:
                what = "has a % without a %-code"
            else:
                what = "cannot be read"
            raise _unusable(what) from None
        if "hostaddr" in parts:
            parts.setdefault("host", parts["hostaddr"])  # SQLAlchemy counts the hosts
        hosts, ports = parts.get("host", "").split(","), parts.get("port", "").split(",")
        if any("@" in host for host in hosts if not host.startswith("@")):
            raise _unusable("has an @ in its user or password")
        if not all(re.fullmatch(r"[0-9]{0,5}", port) for port in ports):
            raise _unusable("has a port that is not a number")
        if len(ports) == 1 and ports[0]:  # libpq takes it for every host, SQLAlchemy for one
            parts["port"] = ",".join(ports * len(hosts))
        elif len(ports) not in (1, len(hosts)):
            raise _unusable("has different numbers of hosts and ports")
        return cls(parts)

    def with_parts(self, **changes: str | None) -> DatabaseURL:
        """The same URL with other parts. None removes one."""
        changed = {**self.parts, **changes}
        return DatabaseURL({name: value for name, value in changed.items() if value is not None})

    def with_settings(self, **settings: str) -> DatabaseURL:
        """The same database, with these Postgres settings in each of its sessions."""
        options = [self.parts.get("options", "")]
        for name, value in settings.items():
            escaped = value.replace("\\", "\\\\").replace(" ", "\\ ")
            options.append(f"-c{name}={escaped}")
        return self.with_parts(options=" ".join(filter(None, options)))

    @cached_property
    def libpq(self) -> str:
        """The URL for psql, psycopg2 and other tools on libpq.

        Socket folders and lists of hosts are keywords, because not every reader accepts them before the
        database.
        """
        # COPY and the texts that we send are UTF-8, regardless of PGCLIENTENCODING and the database.
        query = {**self.parts, "client_encoding": "utf8"}
        if "options" in query:
            query["options"] = query.pop("options")  # the longest part is last
        user, password = query.pop("user", ""), query.pop("password", None)
        login = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}")
        host = database = ""
        if re.fullmatch(r"[\w.:-]+", query.get("host", "")):
            host = query.pop("host")
            host = f"[{host}]" if ":" in host else host
            host += f":{query.pop('port')}" if "port" in query else ""
        if re.fullmatch(r"[\w.-]+", query.get("dbname", ""), re.ASCII):
            database = query.pop("dbname")
        parameters = urlencode(query, quote_via=quote, safe="/")
        return f"postgresql://{login}{'@' if login else ''}{host}/{database}?{parameters}"

    @property
    def sqlalchemy(self) -> str:
        """The URL for SQLAlchemy and Dagster. It names the driver: SQLAlchemy 2.1 would choose psycopg 3."""
        return f"postgresql+psycopg2{self.libpq.removeprefix('postgresql')}"

    @property
    def unverified_hosts(self) -> list[str]:
        """Other machines whose certificate libpq does not check with this URL."""
        if self.parts.get("sslmode") in ("verify-ca", "verify-full"):
            return []
        hosts = self.parts.get("host", "").split(",")
        return [host for host in hosts if host and host[0] not in "/@" and not _LOOPBACK.fullmatch(host)]


def _unusable(what: str) -> WarehouseError:
    return WarehouseError(f"the database URL {what}", kind=Kind.DATABASE_SETTING, next_step=_NEXT_STEP)
