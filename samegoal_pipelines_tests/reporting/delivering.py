"""Sending alerts from a forked process that has loaded apprise's services: 0.6 s cheaper than a new one."""

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import apprise
import pytest

from samegoal_pipelines.reporting import addresses, deliver
from samegoal_pipelines_tests.forking import forking

apprise.Apprise.instantiate("json://localhost")  # loads them


def fork_to_deliver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `addresses` send that way; what `deliver` does is the same."""
    names = {name: getattr(subprocess, name) for name in ("TimeoutExpired", "CalledProcessError")}
    monkeypatch.setattr(addresses, "subprocess", SimpleNamespace(run=_run, **names))


def _run(
    command: list[str], *, input: bytes, timeout: float, **_: object
) -> subprocess.CompletedProcess[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "stdout")
        process = forking.Process(target=_be, args=(input.decode(), output, {**os.environ}))
        process.start()
        process.join(timeout)
        late = process.is_alive()
        process.kill()
        process.join()
        said = output.read_bytes() if output.exists() else b""
    if late:
        raise subprocess.TimeoutExpired(command, timeout, said)
    if process.exitcode:
        raise subprocess.CalledProcessError(process.exitcode, command, said)
    return subprocess.CompletedProcess(command, 0, said)


def _be(request: str, output: Path, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = io.StringIO(request)
    sys.stdout = output.open("w")
    deliver.main()
    sys.stdout.flush()
