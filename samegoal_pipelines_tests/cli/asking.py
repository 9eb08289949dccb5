"""Run a command in the test's own process (`run`), or as a program (`start`), which takes a second more."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from samegoal_pipelines.cli.main import main

PROGRAM = str(Path(sys.executable).parent / "samegoal-pipelines")


class Answered(NamedTuple):
    """What a person would see, and what a script would get."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> Self:
        """Itself, after exit status 0."""
        assert self.returncode == 0, self.stderr
        return self

    @property
    def failed(self) -> Self:
        """Itself, after exit status 1."""
        assert self.returncode == 1, self.stderr
        return self

    @property
    def refusal(self) -> str:
        """Standard error, after exit status 1 with one line of it and nothing else."""
        assert (self.returncode, self.stdout, self.stderr.count("\n")) == (1, "", 1), self
        return self.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[str]:
        """Standard output without the spaces that align columns."""
        return [" ".join(line.split()) for line in self.stdout.splitlines()]


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


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start the program itself, without waiting for its end."""
    pipe = subprocess.PIPE
    return subprocess.Popen([PROGRAM, *arguments], stdout=pipe, stderr=pipe, text=True, **options)


def ended(process: subprocess.Popen[str]) -> Answered:
    """Wait for its end."""
    texts = process.communicate(timeout=600)
    return Answered(process.returncode, *texts)


Ask = Callable[..., Answered]


@pytest.fixture
def ask(environment: None) -> Ask:
    return run
