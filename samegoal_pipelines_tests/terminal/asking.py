"""Asking the command line from within the test's own process: a second quicker than by a program."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from samegoal_pipelines.cli import main


class Answered(NamedTuple):
    """What a person would see, and what a script would get."""

    returncode: int
    stdout: str
    stderr: str


Ask = Callable[..., Answered]


@pytest.fixture
def ask(environment, monkeypatch, capsys) -> Ask:
    """Run a command of `samegoal-pipelines` through its entry point, errors and exit status included."""
    return answering(monkeypatch, capsys)


def answering(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """The same on whatever deployment the environment names."""

    def run(*arguments: str) -> Answered:
        monkeypatch.setattr(sys, "argv", ["samegoal-pipelines", *arguments])
        before = signal.getsignal(signal.SIGTERM)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        signal.signal(signal.SIGTERM, before)
        return Answered(int(stopped.value.code or 0), *capsys.readouterr())

    return run
