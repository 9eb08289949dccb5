"""Classification against pandas' groupby.agg and Polars on one thread, and validation against classification.

Everybody does the same work: codes, school years and schools looked up, window, CECS and quarantined rows
decided, both filtered tables made, and each student's status, reason and deciding enrollment found; that the
statuses are equal is asserted. Not timed: reading the tables.
"""

import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.cases import Case, compared
from benchmarks.classify_contestants import CONTESTANTS, prepare
from benchmarks.classify_data import write_district
from benchmarks.contestant import Contestant, take_turns

ENROLLMENTS = 3_000_000
TARGETS = {"pandas": 1 / 8, "polars packed": 1.0, "polars sorted": 1.0}
VALIDATION_TARGET = 0.35


def run(runs: int, enrollments: int = ENROLLMENTS) -> list[Case]:
    """Compare on districts of so many enrollments of a third as many students, ids dense and sparse."""
    cases = []
    for ids in ("dense", "sparse"):
        with tempfile.TemporaryDirectory() as folder:
            write_district(Path(folder), enrollments, enrollments // 3, sparse=ids == "sparse")
            cases += _compare(f"{enrollments:,} enrollments, {ids} ids", folder, runs)
    return cases


def _compare(case: str, folder: str, runs: int) -> list[Case]:
    results = {name: f"{folder}/{name}.result.parquet" for name in CONTESTANTS}
    contestants = {name: Contestant(prepare, name, folder, out, twice=True) for name, out in results.items()}
    take_turns(contestants, runs)
    expected = pd.read_parquet(results["ours"])
    for out in results.values():
        pd.testing.assert_frame_equal(pd.read_parquet(out), expected, check_dtype=False)

    def comparison(what: str, name: str, peer: str, label: str, target: float) -> Case:
        ours, theirs = contestants[name], contestants[peer]
        megabytes = {"ours_mb": ours.peak_mb, "peer_mb": theirs.peak_mb}
        return compared(f"{what}, {case}", ours.seconds, label, theirs.seconds, target, **megabytes)

    return [
        *(comparison("classify", "ours", peer, peer, target) for peer, target in TARGETS.items()),
        comparison("validate", "validation", "ours", "classification", VALIDATION_TARGET),
    ]
