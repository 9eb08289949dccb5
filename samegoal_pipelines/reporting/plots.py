"""The plots of a report as SVG: the students and the changes of the last nights.

matplotlib takes a second to import, so import this module only to make a page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal

from samegoal_pipelines.reporting.trends import TrendNight

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colors, which color-blind people can distinguish. One per status.
_STATUSES = {
    "enrolled": "#0072B2",
    "pre_enrolled": "#009E73",
    "graduated": "#CC79A7",
    "inactive": "#D55E00",
}
_CHANGES = {"added": "#2e8b57", "changed": "#e0a030", "removed": "#b5443c"}


def draw(trends: Sequence[TrendNight]) -> dict[str, str]:
    """Title → SVG element, over all districts: students by status, and added, changed and removed."""
    return {
        "students by status": _svg("students", trends, _STATUSES, step=None),
        "students changed": _svg("students changed", trends, _CHANGES, step="mid"),
    }


def _stack(
    axes: Axes, trends: Sequence[TrendNight], colors: Mapping[str, str], step: Literal["mid"] | None
) -> None:
    """Stack the layers. One or two nights are drawn as bars, because an area would not be visible."""
    nights: Any = [one.night for one in trends]
    below = [0] * len(trends)
    for name, color in colors.items():
        counts = [getattr(one, name) for one in trends]
        above = [bottom + count for bottom, count in zip(below, counts, strict=True)]
        label = name.replace("_", "-")
        if len(trends) > 2:
            axes.fill_between(nights, below, above, label=label, color=color, step=step, linewidth=0)
        else:
            axes.bar(nights, counts, bottom=below, label=label, color=color, width=0.6)
        below = above


def _svg(
    name: str, trends: Sequence[TrendNight], colors: Mapping[str, str], step: Literal["mid"] | None
) -> str:
    import matplotlib as mpl
    from matplotlib.dates import (
        AutoDateLocator,
        ConciseDateFormatter,
        DateFormatter,
        DayLocator,
        date2num,
    )
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    # Text stays text, and equal data gives an equal file. The ids of two plots on one page must differ.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}):
        figure = Figure(figsize=(9, 2.8))
        figure.subplots_adjust(left=0.09, right=0.84, bottom=0.15, top=0.95)  # both plots' axes align
        axes = figure.add_subplot()
        _stack(axes, trends, colors, step)
        axes.set_ylabel(name)
        axes.margins(x=0.01)
        if len(trends) <= 2:  # bars as wide as in a week, not one giant block
            last = date2num(trends[-1].night)
            axes.set_xlim(last - 6.5, last + 0.5)
        axes.set_ylim(0, axes.dataLim.y1 * 1.05 or 1)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        few = (trends[-1].night - trends[0].night).days < 8  # otherwise the ticks would be hours
        locator = DayLocator() if few else AutoDateLocator()
        formatter = DateFormatter("%b %d") if few else ConciseDateFormatter(locator)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(formatter)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        file = StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL).strip()
