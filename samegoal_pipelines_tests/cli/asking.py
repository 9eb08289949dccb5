"""Asking the command line from within the test's own process: a second quicker than by a program."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from samegoal_pipelines.cli.main import main


class Answered(NamedTuple):
    """What a person would see, and what a script would get."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, stdin: str = "", **environment: str) -> Answered:
    """Run a command of `samegoal-pipelines` through its entry point, errors and exit status included."""
    streams = {"stdin": io.BytesIO(stdin.encode()), "stdout": io.BytesIO(), "stderr": io.BytesIO()}
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["samegoal-pipelines", *arguments])
        for name, stream in streams.items():
            patch.setattr(sys, name, io.TextIOWrapper(stream, encoding="utf-8", write_through=True))
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            with pytest.raises(SystemExit) as stopped:
                main()
        finally:
            for number, handler in signals.items():
                signal.signal(number, handler)
        texts = (streams[name].getvalue().decode() for name in ("stdout", "stderr"))
        return Answered(int(stopped.value.code or 0), *texts)


Ask = Callable[..., Answered]


@pytest.fixture
def ask(environment: None) -> Ask:
    """`run`, on this test's deployment."""
    return run
