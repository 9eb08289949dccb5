"""One sending with a deadline for all of it: a server that drips, a byte a second, is given up as well.

The timeouts of `smtplib` and `requests` are for each read. So a sending has a thread of its own, which is
waited for no longer than the deadline; its connection is cut then, which ends the thread.
"""

from __future__ import annotations

import logging
import smtplib
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

T = TypeVar("T")


class _Line:
    """The connections of one sending, which can be cut from another thread."""

    def __init__(self) -> None:
        self._twins: list[socket.socket] = []
        self._is_cut = False
        self._lock = threading.Lock()

    def watch(self, sock: socket.socket) -> None:
        """Take hold of a connection by a descriptor of its own: TLS will wrap the other one."""
        with self._lock:
            self._twins.append(sock.dup())
        if self._is_cut:
            self.cut()

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            for twin in self._twins:
                with suppress(OSError):  # it has ended already
                    twin.shutdown(socket.SHUT_RDWR)
                twin.close()
            self._twins.clear()


class _ThisThread(threading.local):
    line: _Line | None = None


_this_thread = _ThisThread()


def in_time(send: Callable[[], T], seconds: float) -> T:
    """What `send` returns or raises.

    Raises:
        TimeoutError: it has not ended within so many seconds.
    """
    line, outcome = _Line(), Future[T]()

    def run() -> None:
        _this_thread.line = line
        try:
            outcome.set_result(send())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="alarm", daemon=True).start()
    try:
        return outcome.result(seconds)
    finally:
        line.cut()


def _watched(sock: socket.socket) -> socket.socket:
    if _this_thread.line is not None:
        _this_thread.line.watch(sock)
    return sock


class WatchedSMTP(smtplib.SMTP):
    """A mail server's connection that ends with the sending."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return _watched(super()._get_socket(host, port, timeout))  # type: ignore[misc]  # of no stub


class WatchedSMTPS(smtplib.SMTP_SSL, WatchedSMTP):
    """The same, encrypted from the first byte: SMTP_SSL wraps what the other class has connected."""


class _WatchedHTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _watched(super()._new_conn())


class _WatchedHTTPS(_WatchedHTTP, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


_POOLS = {"http": _Pool, "https": _TLSPool}


class WatchedAdapter(HTTPAdapter):
    """requests' adapter over connections that end with the sending."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _NotOfAnAlarm(logging.Filter):
    """Keeps urllib3 from logging addresses that are secrets: whoever knows a webhook's can post there."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        return _this_thread.line is None


for _name in ("connection", "connectionpool", "poolmanager", "response", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(_NotOfAnAlarm())
