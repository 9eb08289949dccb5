"""Fixtures of the tests of the Qmlativ client."""

import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def stranger() -> Iterator[str]:
    """Another server on this machine, at which nobody may call: its host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            listening.accept()
