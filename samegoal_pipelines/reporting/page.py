"""A night's report as a page: Markdown for the Dagster UI, and one self-contained HTML file, both with plots.

Names and reasons are the only external texts, and both forms escape them. They show no student. matplotlib
takes a second to import, so import this module only to make a page.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
    """The page as one HTML file, with links to runs in the Dagster UI at `ui_url`."""
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
    columns = [name.replace("_", " ").capitalize() for name in COUNTS]
    return rendering.render(
        template, **vars(report), columns=columns, paths=partial(_paths, ui_url), **values
    )


def _paths(ui_url: str, one: DistrictNight) -> Iterator[tuple[str, str]]:
    """Links into the Dagster UI: the district's run, and its gate check."""
    if one.tonight is None:
        return
    yield "run", f"{ui_url}/runs/{one.tonight.run_id}"
    if one.state in ("held", "published"):
        check = "view=checks&checkDetail=gate&partition"
        yield "gate", f"{ui_url}/assets/published_snapshot?{check}={one.district_id}"


# -- the plots --


def draw(trends: Sequence[TrendNight]) -> dict[str, str]:
    """Title → SVG element, over all districts: students by status, and added, changed and removed."""
    return {
        "students by status": _svg("students", trends, _STATUSES, step=None),
        "students changed": _svg("students changed", trends, _CHANGES, step="mid"),
    }


def _svg(name: str, trends: Sequence[TrendNight], colors: Mapping[str, str], step: str | None) -> str:
    # Text stays text, and equal data gives an equal file. The ids of two plots on one page must differ.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}):
        figure = Figure(figsize=(9, 2.8))
        figure.subplots_adjust(left=0.09, right=0.84, bottom=0.15, top=0.95)  # both plots' axes align
        axes = figure.add_subplot()
        nights: Any = [one.night for one in trends]
        layers = {key: [getattr(one, key) for one in trends] for key in colors}
        labels = [key.replace("_", "-") for key in layers]
        axes.margins(x=0.01)
        if len(trends) > 2:
            look: Any = {"colors": [*colors.values()], "step": step, "linewidth": 0}
            axes.stackplot(nights, *layers.values(), labels=labels, **look)
        else:  # an area of two nights would not be visible
            bottom = np.zeros(len(trends))
            for counts, label, color in zip(layers.values(), labels, colors.values(), strict=True):
                axes.bar(nights, counts, bottom=bottom, label=label, color=color, width=0.6)
                bottom += counts
            last = date2num(trends[-1].night)
            axes.set_xlim(last - 6.5, last + 0.5)  # bars as wide as in a week, not one giant block
        axes.set_ylabel(name)
        axes.set_ylim(0, axes.dataLim.y1 * 1.05 or 1)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        ticks = min(5, max(1, len(trends) - 1))  # with more, they would be hours
        axes.xaxis.set_major_locator(AutoDateLocator(minticks=ticks))
        axes.xaxis.set_major_formatter(DateFormatter("%b %d"))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        file = StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL).strip()
