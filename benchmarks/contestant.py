"""A contestant: a process of its own that has everything ready and works when told to.

Own processes, so that one's memory and garbage are not the other's. Rounds are taken in turns: on a machine
that is busy, it is busy for all.
"""

import gc
import multiprocessing
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

_spawning = multiprocessing.get_context("spawn")


class Round(NamedTuple):
    """One run: wall seconds, the number of rows that came out, peak memory above the start in MB."""

    seconds: float
    rows: int
    peak_mb: float


class Contestant:
    """Runs in a new process what `prepare(*arguments)` returns, as often as asked to.

    With `twice`, each round runs it twice and times the second run. For work that takes less time than the
    operating system needs to bring back memory that the process freed before it waited for its turn.
    """

    def __init__(
        self, prepare: Callable[..., Callable[[], Any]], *arguments: Any, twice: bool = False
    ) -> None:
        self._pipe, theirs = _spawning.Pipe()
        self._process = _spawning.Process(
            target=_serve, args=(theirs, prepare, arguments, twice), daemon=True
        )
        self._process.start()
        theirs.close()
        self.rounds: list[Round] = []
        self._pipe.recv()

    def step(self) -> None:
        """One more round."""
        self._pipe.send("run")
        self.rounds.append(Round(*self._pipe.recv()))

    @property
    def seconds(self) -> list[float]:
        """Of all rounds but the first, which warms up."""
        return [each.seconds for each in self.rounds[1:]]

    @property
    def peak_mb(self) -> float:
        """Of all rounds, above what the process had before the first."""
        return max(each.peak_mb for each in self.rounds)

    def close(self) -> None:
        """Let the process end."""
        self._pipe.close()
        self._process.join(10)


def take_turns(
    contestants: Mapping[str, Contestant],
    runs: int,
    step: Callable[[str, Contestant], None] = lambda _, contestant: contestant.step(),
) -> None:
    """A warm-up and `runs` rounds of each, then the end of them. All must come out with the same rows."""
    try:
        for _ in range(runs + 1):
            for name, contestant in contestants.items():
                step(name, contestant)
    finally:
        for contestant in contestants.values():
            contestant.close()
    rows = {name: {each.rows for each in contestant.rounds} for name, contestant in contestants.items()}
    if len(set().union(*rows.values())) != 1:
        raise RuntimeError(f"not everybody has the same number of rows: {rows}")


class Memory:
    """Peak memory of this process above where it was when this was made. Linux only; 0 elsewhere."""

    def __init__(self) -> None:
        gc.collect()
        self._start = 0.0
        if Path("/proc/self/clear_refs").exists():
            Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to what is in use now
            self._start = self._status("VmRSS")

    def peak_mb(self) -> float:
        """So far."""
        return self._status("VmHWM") - self._start if self._start else 0.0

    @staticmethod
    def _status(name: str) -> float:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
        return 0.0


def _serve(
    pipe: Connection, prepare: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...], twice: bool
) -> None:
    run = prepare(*arguments)
    memory = Memory()
    pipe.send("ready")
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        if twice:
            run()
        started = time.perf_counter()
        result = run()
        seconds = time.perf_counter() - started
        rows = len(result)
        del result
        gc.collect()
        pipe.send((seconds, rows, memory.peak_mb()))
