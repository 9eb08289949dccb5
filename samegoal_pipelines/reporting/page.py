"""A night's report as a page: Markdown for the Dagster UI, and one self-contained HTML file.

Names and reasons are the only external texts, and both forms escape them. They show no student.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from samegoal_pipelines.reporting import plots, rendering
from samegoal_pipelines.reporting.nightly_status import COUNTS, DistrictNight
from samegoal_pipelines.reporting.report import Report

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


def html(report: Report, ui_url: str) -> str:
    """The page as one HTML file.

    Args:
        ui_url: where the Dagster UI is, for links to runs.
    """
    drawn = plots.draw(report.trends).values() if report.trends else []
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
        for title, svg in plots.draw(report.trends).items()
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
