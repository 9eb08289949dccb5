"""A night's report as a page: Markdown for the Dagster UI, and one self-contained HTML file, both with plots.

Names and reasons are the only external texts, and both forms escape them. They show no student. matplotlib
takes a second to import, so import this module only to make a page.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from io import StringIO
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateFormatter, DayLocator, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from samegoal_pipelines.reporting import rendering
from samegoal_pipelines.reporting.nightly_status import COUNTS, DistrictNight
from samegoal_pipelines.reporting.report import Report, TrendNight

ROWS_IN_MARKDOWN = 100
"""How many well districts, and how many that will be held, the Markdown lists at most. The file lists all,
but Dagster keeps every night's Markdown."""
_COPY = """
document.querySelectorAll("button").forEach(function (button) {
  button.addEventListener("click", function () {
    navigator.clipboard.writeText(button.previousElementSibling.textContent).then(function () {
      button.textContent = "Copied";
    });
  });
});
"""

# Okabe and Ito's colors, which color-blind people can distinguish. One per status.
_STATUSES = {
    "enrolled": "#0072B2",
    "pre_enrolled": "#009E73",
    "graduated": "#CC79A7",
    "inactive": "#D55E00",
}
_CHANGES = {"added": "#2e8b57", "changed": "#e0a030", "removed": "#b5443c"}


def html(report: Report, ui_url: str) -> str:
    """The page as one HTML file.

    Args:
        ui_url: where the Dagster UI is, for links to runs.
    """
    drawn = draw(report.trends).values() if report.trends else []
    script_hash = base64.b64encode(sha256(_COPY.encode()).digest()).decode()
    values = {"plots": drawn, "script": _COPY, "script_hash": script_hash}
    return _render("page.html.j2", report, ui_url.rstrip("/"), **values)


def markdown(report: Report) -> str:
    """The page as Markdown for the Dagster UI, without the plots."""
    return _render("report.md.j2", report, most=ROWS_IN_MARKDOWN)


def plots_markdown(report: Report) -> str:
    """The plots for the Dagster UI, as images inside the text."""
    if not report.trends:
        return "Nothing has been published yet."
    return "\n\n".join(
        f"![{title}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
        for title, svg in draw(report.trends).items()
    )


def _render(template: str, report: Report, ui_url: str = "", **values: Any) -> str:
    """Render a template with the report. Links in the file begin with the UI's address."""
    return rendering.render(
        template,
        board=report.board,
        trends=report.trends,
        ahead=report.ahead,
        columns=[name.replace("_", " ").capitalize() for name in COUNTS],
        paths=lambda one: [(name, ui_url + path) for name, path in _paths(one)],
        **values,
    )


def _paths(one: DistrictNight) -> Iterator[tuple[str, str]]:
    """Paths in the Dagster UI: the district's run, and its gate check."""
    if one.tonight is None:
        return
    yield "run", f"/runs/{one.tonight.run_id}"
    if one.state in ("held", "published"):
        check = "view=checks&checkDetail=gate&partition"
        yield "gate", f"/assets/published_snapshot?{check}={one.district_id}"


# -- the plots --


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
