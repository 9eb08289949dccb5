"""The one shape of a result, and the tables made of it. Nothing is measured here."""

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

PACKAGES = ("pyarrow", "pandas", "numpy", "dagster", "dlt", "polars", "requests", "orjson")
_HEAD = ("Case", "Ours", "Peer", "Peer's", "Ours / peer", "Target", "Ours MB", "Peer MB")


@dataclass(frozen=True)
class Case:
    """One comparison in one run: medians, in `unit`; `ratio` is ours by the peer's, so that less is better.

    `ratio` is the median of the ratios of rounds, which is not quite the ratio of the medians. `target` is
    the ratio not to exceed; memory is what a process needed above what it had at the start, in MB.
    """

    case: str
    ours: float
    peer: str
    theirs: float
    ratio: float
    target: float | None = None
    ours_mb: float | None = None
    peer_mb: float | None = None
    unit: str = "s"

    @property
    def key(self) -> str:
        """Name by which a ratio is remembered."""
        return f"{self.case} / {self.peer}"

    @property
    def verdict(self) -> str:
        """The target, and whether it was reached."""
        if self.target is None:
            return ""
        return f"≤ {_figure(self.target)} {'reached' if self.ratio <= self.target else 'not reached'}"

    def cells(self) -> list[str]:
        """The row of a table."""
        return [
            self.case,
            f"{self.ours:.2f} {self.unit}",
            self.peer,
            f"{self.theirs:.2f} {self.unit}",
            _ratio(self.ratio, "as fast" if self.unit == "s" else "less"),
            self.verdict,
            *("" if mb is None else f"{mb:.0f}" for mb in (self.ours_mb, self.peer_mb)),
        ]


@dataclass(frozen=True)
class Breakdown:
    """Where the time of a case went: part → median seconds."""

    case: str
    parts: dict[str, float]

    def cells(self) -> list[str]:
        """The row of a table: shares in percent."""
        whole = sum(self.parts.values())
        return [self.case, *(f"{100 * seconds / whole:.0f} %" for seconds in self.parts.values())]


def compared(
    case: str,
    ours: Sequence[float],
    peer: str,
    theirs: Sequence[float],
    target: float | None = None,
    *,
    ours_mb: float | None = None,
    peer_mb: float | None = None,
    unit: str = "s",
) -> Case:
    """A case from rounds that were taken in turns: their seconds, or what else `unit` says."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    middle = statistics.median
    return Case(case, middle(ours), peer, middle(theirs), middle(ratios), target, ours_mb, peer_mb, unit)


def table(cases: Iterable[Case]) -> Table:
    """For a terminal."""
    shown = Table(*_HEAD, title="Ours by the peer's: less is better")
    for case in cases:
        shown.add_row(*case.cells())
    return shown


def breakdown_table(breakdowns: Sequence[Breakdown]) -> Table:
    """For a terminal."""
    shown = Table("Case", *breakdowns[0].parts, title="Where the time goes")
    for breakdown in breakdowns:
        shown.add_row(*breakdown.cells())
    return shown


def markdown(cases: Sequence[Case], breakdowns: Sequence[Breakdown], facts: dict[str, Any]) -> str:
    """For `docs/performance.md`."""
    lines = [_measured(facts), "", *_rows(_HEAD, [case.cells() for case in cases])]
    if breakdowns:
        head = ("Share of the time", *breakdowns[0].parts)
        lines += ["", *_rows(head, [breakdown.cells() for breakdown in breakdowns])]
    return "\n".join(lines)


def facts() -> dict[str, Any]:
    """Versions, cores, and how busy the machine is."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "versions": versions,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "machine": platform.machine(),
    }


def _measured(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"Measured on {facts['cores']} cores ({facts['machine']}), load average {facts['load']} before the "
        f"first and {facts['load_after']} after the last case, medians of {facts['runs']} rounds; {versions}."
    )


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _ratio(ratio: float, better: str) -> str:
    return f"{_figure(ratio)} ({1 / ratio:.1f} × {better})" if ratio < 0.8 else _figure(ratio)


def _figure(ratio: float) -> str:
    return f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:.2f}"
