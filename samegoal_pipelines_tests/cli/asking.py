"""Ways to run a command: as the program itself, in a forked process, or in the test's own process.

Use the cheapest one that can show what the test is about. `run` takes no process, `Forked` can be killed and
costs 0.1 s to start, `program` costs 1 to 2 s.
"""

import atexit
import importlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import pytest

from samegoal_pipelines.cli.main import main
from samegoal_pipelines_tests.forking import forking

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


def program(*arguments: str, **options: object) -> Answered:
    done = subprocess.run(
        [PROGRAM, *arguments],
        **{"capture_output": True, "text": True, "timeout": 600, "check": False, **options},  # type: ignore[call-overload]
    )
    return Answered(done.returncode, done.stdout, done.stderr)


class Forked:
    """A command in a process of its own, forked from one that has imported everything.

    Args:
        patched: values by their dotted names, such as `samegoal_pipelines.cli.demo.STUDENTS`.
    """

    def __init__(self, *arguments: str, patched: Mapping[str, object] = MappingProxyType({})) -> None:
        self._folder = Path(tempfile.mkdtemp())
        self._process = forking.Process(
            target=_be, args=(arguments, {**os.environ}, {**patched}, self._folder)
        )
        self._process.start()

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def answer(self) -> Answered:
        """Wait for its end."""
        self._process.join(600)
        assert self._process.exitcode is not None
        told = [(self._folder / name).read_text() for name in ("stdout", "stderr")]
        shutil.rmtree(self._folder)
        return Answered(self._process.exitcode, *told)


def _be(
    arguments: tuple[str, ...], environment: dict[str, str], patched: dict[str, object], folder: Path
) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [PROGRAM, *arguments]
    for name, value in patched.items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    try:
        main()
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves them out


Ask = Callable[..., Answered]


@pytest.fixture
def ask(environment: None) -> Ask:
    return run
