"""A night's report: its content, and its page as Markdown for the Dagster UI and as one self-contained file.

Names and reasons are the only external texts, and both pages escape them. They show no student. In a trend, a
district that was not published on a night counts with what SameGoal read that night. Otherwise a failed
district would look like students who left.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cache, partial
from hashlib import sha256
from io import StringIO
from typing import Any

import sqlalchemy as sa

from samegoal_pipelines.landing import Landing
from samegoal_pipelines.printable import NOTHING, counted, on_one_line
from samegoal_pipelines.reporting.forecast import Ahead, look_ahead
from samegoal_pipelines.reporting.nightly_status import COUNTS, Board, DistrictNight, read_board, read_newest
from samegoal_pipelines.warehouse.engine import as_operator

NIGHTS = 60
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


@dataclass(frozen=True)
class TrendNight:
    """All districts together, as SameGoal read them after one night."""

    night: date
    districts: int
    """The number of districts published that night."""
    enrolled: int
    pre_enrolled: int
    graduated: int
    inactive: int
    added: int
    changed: int
    removed: int


@dataclass(frozen=True)
class Report:
    """One night's board, the last nights, and the forecast of the next days (None: not computed)."""

    board: Board
    trends: tuple[TrendNight, ...]
    ahead: Ahead | None

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "night": self.board.night,
            "made_at": self.board.looked_at,
            "totals": self.board.totals,
            "districts": [one.facts() for one in self.board.districts],
            "expiring": [one.district_id for one in self.board.expiring],
            "trends": [asdict(one) for one in self.trends],
            "ahead": None if self.ahead is None else asdict(self.ahead),
        }

    def html(self, ui_url: str) -> str:
        """The page as one HTML file, with links to runs in the Dagster UI at `ui_url`."""
        script_hash = b64encode(sha256(_COPY.encode()).digest()).decode()
        values = {"plots": draw(self.trends).values(), "script": _COPY, "script_hash": script_hash}
        return self._render("page.html.j2", ui_url.rstrip("/"), **values)

    def markdown(self) -> str:
        """The page as Markdown for the Dagster UI, without the plots."""
        return self._render("report.md.j2", most=ROWS_IN_MARKDOWN)

    def plots_markdown(self) -> str:
        """The plots for the Dagster UI, as images inside the text."""
        images = [
            f"![{title}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"
            for title, svg in draw(self.trends).items()
        ]
        return "\n\n".join(images) or "Nothing has been published yet."

    def _render(self, template: str, ui_url: str = "", **values: Any) -> str:
        columns = [name.replace("_", " ").capitalize() for name in COUNTS]
        values |= {"columns": columns, "paths": partial(_paths, ui_url)}
        return render(template, **vars(self), **values)


def make_report(
    engine: sa.Engine,
    now: datetime,
    night: date | None = None,
    *,
    landing: Landing | None = None,
    trends: bool = True,
) -> Report:
    """The report of a night, by default of every district's newest one (`read_newest`).

    With `landing`, it has the forecast, which takes a fraction of a second per district. The trends take a
    second per thousand districts.
    """
    board = read_newest(engine, now) if night is None else read_board(engine, night, now)
    ahead = None if landing is None else look_ahead(engine, landing, board)
    return Report(board, tuple(read_trends(engine, board.night)) if trends else (), ahead)


def _paths(ui_url: str, one: DistrictNight) -> Iterator[tuple[str, str]]:
    """Links into the Dagster UI: the district's run, and its gate check."""
    if one.tonight is None:
        return
    yield "run", f"{ui_url}/runs/{one.tonight.run_id}"
    if one.state in ("held", "published"):
        check = "view=checks&checkDetail=gate&partition"
        yield "gate", f"{ui_url}/assets/published_snapshot?{check}={one.district_id}"


# The nights are found one by one from the index: distinct would read every snapshot that there is.
_TRENDS = sa.text(
    """
    with recursive nights(night, number) as (
        select max(snapshot_date), 1 from samegoal.snapshots
        where snapshot_date <= :night and state = 'published'
        union all
        select (
            select max(snapshot_date) from samegoal.snapshots
            where snapshot_date < night and state = 'published'
        ), number + 1
        from nights where night is not null and number < :nights
    )
    select
        night,
        count(*) filter (where tonight), sum(enrolled), sum(pre_enrolled), sum(graduated), sum(inactive),
        sum(added) filter (where tonight), sum(changed) filter (where tonight),
        sum(removed) filter (where tonight)
    from nights cross join samegoal.districts cross join lateral (
        select snapshot_date = night as tonight, snapshots.* from samegoal.snapshots
        where snapshots.district_id = districts.district_id and state = 'published' and snapshot_date <= night
        order by snapshot_date desc limit 1
    ) as published
    group by night order by night
    """
)


def read_trends(engine: sa.Engine, night: date, nights: int = NIGHTS) -> list[TrendNight]:
    """The last `nights` nights on which anything was published, up to this one, oldest first."""
    with as_operator(engine, "looking up the last nights") as connection:
        found = connection.execute(_TRENDS, {"night": night, "nights": nights})
        return [TrendNight(when, *map(int, counts)) for when, *counts in found]


# -- the templates of pages and messages --

_COMMAND = re.compile(r"(samegoal-pipelines(?: [^\s;,`|<>]+)+)")
_SPECIAL = re.compile(r"[\\`*_\[\]<>!|~&:@]")


@cache
def _environment() -> Any:
    """HTML is escaped automatically, and Markdown by the filters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    found = Environment(
        loader=PackageLoader("samegoal_pipelines.reporting", "templates"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {
        "commands": lambda text: "".join(
            f"`{part}`" if is_command else _as_it_is(part) for part, is_command in commands_in(text)
        ),
        "number": lambda number: NOTHING if number is None else f"{number:,}",
        "counted": counted,
        "escaped": lambda text: _as_it_is(on_one_line(text)),
        "parts": commands_in,
        "plain": lambda text: on_one_line(text).replace("<", "&lt;"),
    }
    return found


def render(name: str, **values: Any) -> str:
    """Render a template with these values."""
    return str(_environment().get_template(name).render(**values))


def commands_in(text: str | None) -> Iterator[tuple[str, bool]]:
    """The parts of a text, and whether each is a command that a person may copy."""
    for number, part in enumerate(_COMMAND.split(on_one_line(text))):
        if part:
            yield part, number % 2 == 1


def _as_it_is(text: str) -> str:
    """Text that Markdown shows literally: no link, image, HTML or table column."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", text)


# -- the plots --

# Okabe and Ito's colors, which color-blind people can distinguish. One per status.
_STATUSES = {"enrolled": "#0072B2", "pre_enrolled": "#009E73", "graduated": "#CC79A7", "inactive": "#D55E00"}
_CHANGES = {"added": "#2e8b57", "changed": "#e0a030", "removed": "#b5443c"}


def draw(trends: Sequence[TrendNight]) -> dict[str, str]:
    """Title → SVG element, over all districts: students by status, and added, changed and removed."""
    if not trends:
        return {}
    return {
        "students by status": _svg("students", trends, _STATUSES, step=None),
        "students changed": _svg("students changed", trends, _CHANGES, step="mid"),
    }


def _svg(name: str, trends: Sequence[TrendNight], colors: Mapping[str, str], step: str | None) -> str:
    import matplotlib as mpl  # takes a second
    import numpy as np
    from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

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
