"""A district's snapshots at a glance: the statuses over time as a small picture, and tonight's in a table.

Here: Dagster metadata out of rows of `snapshots`, which are counts. Not here: any row of a person, nor the
report over all districts.

The picture is SVG written by hand in a Markdown image: no run needs a plotting library for it, and it adds
six kilobytes to a night in the event log.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import date
from html import escape
from typing import NamedTuple, Protocol

import dagster as dg

from samegoal_pipelines.printable import NOTHING
from samegoal_pipelines.reporting.plots import STATUS_COLORS

LAST_SNAPSHOTS = 60


class Counted(Protocol):
    """Counts of a snapshot: an `Snapshot`, a `Published` or a `Held`."""

    @property
    def students(self) -> int | None: ...  # noqa: D102
    @property
    def enrolled(self) -> int | None: ...  # noqa: D102
    @property
    def pre_enrolled(self) -> int | None: ...  # noqa: D102
    @property
    def graduated(self) -> int | None: ...  # noqa: D102
    @property
    def inactive(self) -> int | None: ...  # noqa: D102


class Night(Counted, Protocol):
    """One attempt: when, and what became of it."""

    @property
    def snapshot_date(self) -> date: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102


class _Series(NamedTuple):
    column: str
    label: str
    color: str


# Okabe and Ito's colors, which people who see colors differently can tell apart; each has its own panel and
# label as well, so that none has to.
_SERIES = (
    _Series("enrolled", "ENROLLED", STATUS_COLORS["enrolled"]),
    _Series("pre_enrolled", "PRE-ENROLLED", STATUS_COLORS["pre_enrolled"]),
    _Series("graduated", "GRADUATED", STATUS_COLORS["graduated"]),
    _Series("inactive", "INACTIVE", STATUS_COLORS["inactive"]),
)
# A night that was not published: sign (a shape, not a color alone) and word.
_MARKS = {"held": ("▲", "held"), "failed": ("×", "failed")}

_WIDTH, _LEFT, _RIGHT = 640, 112, 72
_PANEL, _GAP, _TOP, _BOTTOM = 52, 14, 10, 34
_HEIGHT = _TOP + len(_SERIES) * (_PANEL + _GAP) + _BOTTOM
_LINE = 12  # pixels between two texts
_INK, _FAINT = "#333", "#bbb"


def status_table(attempt: Counted, previous: Counted | None) -> dg.MetadataValue:
    """How many students have which status, and how many more or fewer than in the snapshot before."""
    rows = [*((one.label, one.column) for one in _SERIES), ("all students", "students")]
    records = []
    for label, column in rows:
        now, before = getattr(attempt, column), getattr(previous, column, None)
        change = NOTHING if None in (now, before) else _signed(now - before)
        records.append(
            dg.TableRecord(
                {"status": label, "students": _number(now), "before": _number(before), "change": change}
            )
        )
    columns = {
        "status": "The four statuses, and their sum",
        "students": "Students with it in this snapshot",
        "before": "Students with it in the snapshot before; – if there was none",
        "change": "How many more or fewer",
    }
    schema = dg.TableSchema([dg.TableColumn(name, "string", text) for name, text in columns.items()])
    return dg.MetadataValue.table(records, schema)


def snapshots_plot(attempts: Iterable[Night]) -> dg.MetadataValue:
    """The statuses of the last published snapshots over time, and which nights were held or failed.

    Args:
        attempts: of one district, in any order; of one night's attempts the published one counts.
    """
    nights = _last_nights(attempts)
    if not nights:
        return dg.MetadataValue.md("No snapshot yet.")
    picture = base64.b64encode(_svg(nights).encode()).decode()
    return dg.MetadataValue.md(f"![{_in_words(nights)}](data:image/svg+xml;base64,{picture})")


def _last_nights(attempts: Iterable[Night]) -> list[Night]:
    """One attempt per night, oldest first: what was published, else what became of the night in the end."""
    weight = {"published": 2, "held": 1, "failed": 1}
    found: dict[date, Night] = {}
    for attempt in attempts:
        known = found.get(attempt.snapshot_date)
        if attempt.state in weight and (known is None or weight[attempt.state] > weight[known.state]):
            found[attempt.snapshot_date] = attempt
    return [found[night] for night in sorted(found)][-LAST_SNAPSHOTS:]


def _in_words(nights: Sequence[Night]) -> str:
    """What the picture shows, for those who do not see it."""
    published = [night for night in nights if night.state == "published"]
    counts = [f"{len(published)} published"]
    counts += [f"{n} {state}" for state in _MARKS if (n := sum(night.state == state for night in nights))]
    text = f"Snapshots from {nights[0].snapshot_date} to {nights[-1].snapshot_date}: {', '.join(counts)}."
    if published:
        first, last = published[0], published[-1]
        for series in _SERIES:
            begin, end = (_number(getattr(one, series.column)) for one in (first, last))
            text += f" {series.label} {begin} to {end}."
    return text


def _svg(nights: Sequence[Night]) -> str:
    first, last = nights[0].snapshot_date, nights[-1].snapshot_date
    span = max((last - first).days, 1)

    def x(night: Night) -> float:
        days = (night.snapshot_date - first).days
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (days / span if last > first else 0.5)

    published = [night for night in nights if night.state == "published"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="11" fill="{_INK}" role="img">',
        f"<title>{escape(_in_words(nights))}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
    ]
    for number, series in enumerate(_SERIES):
        points = [(x(night), getattr(night, series.column) or 0) for night in published]
        parts += _panel(series, points, _TOP + number * (_PANEL + _GAP))
    parts += _marks([(x(night), night.state) for night in nights if night.state in _MARKS])
    for night, anchor in ((nights[0], "start"), (nights[-1], "end"))[: 1 + (last > first)]:
        place = f'x="{x(night):.0f}" y="{_HEIGHT - 6}" text-anchor="{anchor}"'
        parts.append(f"<text {place}>{night.snapshot_date}</text>")
    return "".join([*parts, "</svg>"])


def _panel(series: _Series, points: Sequence[tuple[float, int]], top: int) -> list[str]:
    """One status: its name, a line over time between its own least and greatest count, and the last count.

    Each status has a scale of its own: next to 60,000 enrolled students, a hundred others would be a flat
    line.
    """
    bottom = top + _PANEL
    parts = [
        f'<text x="{_LEFT - 10}" y="{top + _PANEL / 2 + 4:.0f}" text-anchor="end">{series.label}</text>',
        f'<path d="M{_LEFT} {top}H{_WIDTH - _RIGHT}M{_LEFT} {bottom}H{_WIDTH - _RIGHT}" stroke="{_FAINT}"/>',
    ]
    if not points:
        return parts
    counts = [count for _, count in points]
    low, high = min(counts), max(counts)
    placed = [
        (at, bottom - _PANEL * ((count - low) / (high - low) if high > low else 0.5)) for at, count in points
    ]
    line = " ".join(f"{at:.0f},{y:.1f}" for at, y in placed)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{series.color}" stroke-width="2"/>')
    at, y = placed[-1]
    parts.append(f'<circle cx="{at:.0f}" cy="{y:.1f}" r="3" fill="{series.color}"/>')
    right = _WIDTH - _RIGHT + 6
    labels = {y: counts[-1]}
    if high > low:  # the ends of the scale, but where the last count stands already
        labels |= {end: count for end, count in ((top, high), (bottom, low)) if abs(end - y) > _LINE}
    for height, count in labels.items():
        bold = ' font-weight="bold"' if height == y else ""
        parts.append(f'<text x="{right}" y="{height + 4:.0f}"{bold}>{count:,}</text>')
    return parts


def _marks(marks: Sequence[tuple[float, str]]) -> list[str]:
    """The nights without a snapshot, each with its sign, and what the signs mean."""
    y = _HEIGHT - _BOTTOM + 10
    parts = [
        f'<text x="{at:.0f}" y="{y}" text-anchor="middle">{_MARKS[state][0]}</text>' for at, state in marks
    ]
    words = [f"{sign} {word}" for state, (sign, word) in _MARKS.items() if any(s == state for _, s in marks)]
    if words:
        parts.append(f'<text x="{_LEFT - 10}" y="{y}" text-anchor="end">{escape(", ".join(words))}</text>')
    return parts


def _number(count: int | None) -> str:
    return NOTHING if count is None else f"{count:,}"


def _signed(change: int) -> str:
    return f"{change:+,}" if change else "0"
