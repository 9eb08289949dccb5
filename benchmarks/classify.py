"""Classification against pandas' groupby.agg and Polars on one thread, and validation against classification.

`python -m benchmarks.classify [ENROLLMENTS]` prints a table; `run()` returns its rows. Everybody does the
same work: codes, school years and schools looked up, window, CECS and quarantined rows decided, both filtered
tables made, and each student's status, reason and deciding enrollment found; that the statuses are equal is
asserted. Not timed: reading the tables. Rounds are taken in turns, so that a busy machine is busy for all;
medians of five after a warm-up.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.classify_data import write_district

ROUNDS = 5
ENROLLMENTS = 3_000_000
CONTESTANTS = ("ours", "validation", "pandas", "polars packed", "polars sorted")
TARGETS = {"pandas": 1 / 8, "polars packed": 1.0, "polars sorted": 1.0}
VALIDATION_TARGET = 0.35


class Row(NamedTuple):
    """One comparison: medians of wall seconds, their ratio, that of CPU seconds, and peak memory in MB."""

    case: str
    ours: float
    peer: float
    ratio: float
    target: float
    cpu_ratio: float
    ours_mb: float
    peer_mb: float


class Contestant:
    """A process that has the tables loaded and runs when told to."""

    def __init__(self, name: str, folder: Path):
        self.result = folder / f"{name}.result.parquet"
        command = [
            sys.executable,
            "-m",
            "benchmarks.classify_contestants",
            name,
            str(folder),
            str(self.result),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        self.rounds: list[tuple[float, float, float]] = []
        if self._line() != "ready":
            raise RuntimeError(f"{name} did not get ready")

    def step(self) -> None:
        """Run once and note wall seconds, CPU seconds and peak memory."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        wall, cpu, peak = map(float, self._line().split())
        self.rounds.append((wall, cpu, peak))

    def median(self, what: int) -> float:
        """The median of wall seconds (0), CPU seconds (1) or memory (2), the warm-up left out."""
        return statistics.median(measured[what] for measured in self.rounds[1:])

    def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def run(enrollments: int = ENROLLMENTS) -> list[Row]:
    """Compare on districts of so many enrollments of a third as many students, ids dense and sparse."""
    rows = []
    for ids in ("dense", "sparse"):
        with tempfile.TemporaryDirectory() as folder:
            write_district(Path(folder), enrollments, enrollments // 3, sparse=ids == "sparse")
            rows += _compare(f"{enrollments:,} enrollments, {ids} ids", Path(folder))
    return rows


def _compare(case: str, folder: Path) -> list[Row]:
    contestants = {name: Contestant(name, folder) for name in CONTESTANTS}
    try:
        expected = pd.read_parquet(contestants["ours"].result)
        for contestant in contestants.values():
            pd.testing.assert_frame_equal(pd.read_parquet(contestant.result), expected, check_dtype=False)
        for _ in range(ROUNDS + 1):
            for contestant in contestants.values():
                contestant.step()
    finally:
        for contestant in contestants.values():
            contestant.close()
    ours, validation = contestants["ours"], contestants["validation"]
    return [
        *(
            _row(f"classify, {case}, against {name}", ours, contestants[name], TARGETS[name])
            for name in TARGETS
        ),
        _row(f"validate, {case}, against classification", validation, ours, VALIDATION_TARGET),
    ]


def _row(case: str, ours: Contestant, peer: Contestant, target: float) -> Row:
    wall, cpu, peak = range(3)
    return Row(
        case,
        ours.median(wall),
        peer.median(wall),
        ours.median(wall) / peer.median(wall),
        target,
        ours.median(cpu) / peer.median(cpu),
        max(measured[peak] for measured in ours.rounds),
        max(measured[peak] for measured in peer.rounds),
    )


def main() -> None:
    """Print the rows as a table."""
    rows = run(*map(int, sys.argv[1:]))
    print("| Case | ours s | peer s | ratio | target | ratio of CPU | ours MB | peer MB |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.case} | {row.ours:.3f} | {row.peer:.3f} | {row.ratio:.2f} | ≤ {row.target:.2f} "
            f"| {row.cpu_ratio:.2f} | {row.ours_mb:.0f} | {row.peer_mb:.0f} |"
        )


if __name__ == "__main__":
    main()
