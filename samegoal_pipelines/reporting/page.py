"""A night's report as a page: Markdown for the Dagster UI, and one HTML file that needs nothing else.

Names and reasons are the only texts that come from outside; both forms escape them. No student is on either.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

from samegoal_pipelines.printable import NOTHING, on_one_line
from samegoal_pipelines.reporting import formatting, plots
from samegoal_pipelines.reporting.forecast import DistrictHold
from samegoal_pipelines.reporting.nightly_status import DistrictNight
from samegoal_pipelines.reporting.report import Report

ROWS_IN_MARKDOWN = 100
"""How many districts without trouble, and how many that will be held, the Markdown lists; Dagster keeps every
night's. The file lists all."""

_COMMAND = re.compile(r"(samegoal-pipelines(?: [^\s;,`|<>]+)+)")
_SPECIAL = re.compile(r"[\\`*_\[\]<>!|~&:@]")


def html(report: Report) -> str:
    """The page as one file."""
    page: str = _template().render(
        title=formatting.title(report.board.night),
        commands_in=commands_in,
        nothing=NOTHING,
        script_hash=_script_hash(),
        summary=formatting.summary(report.board),
        made=f"{report.board.looked_at:%Y-%m-%d %H:%M} UTC",
        totals=report.board.totals,
        board=report.board,
        trends=report.trends,
        students_plot=plots.students_plot(report.trends) if report.trends else "",
        changes_plot=plots.changes_plot(report.trends) if report.trends else "",
        ahead=report.ahead,
        since=formatting.since,
        expiry=formatting.expiry,
        flip=formatting.flip,
        looked_at=formatting.looked_at,
        remarks=formatting.remarks,
    )
    return page


@cache
def _script_hash() -> str:
    """Let the browser run the page's own script and no other."""
    script = _script().encode()
    return base64.b64encode(sha256(script).digest()).decode()


def _script() -> str:
    source, *_ = _template().environment.loader.get_source(_template().environment, "page.html.j2")
    return str(source).partition("<script>")[2].partition("</script>")[0]


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("samegoal_pipelines.reporting", "")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("page.html.j2")


def markdown(report: Report) -> str:
    """The page for the Dagster UI, without the plots."""
    return "\n".join(_lines(report)) + "\n"


def plots_markdown(report: Report) -> str:
    """The plots for the Dagster UI: images that are part of the text."""
    if not report.trends:
        return "Nothing was published yet."
    return "\n\n".join(
        f"![{name}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
        for name, svg in (
            ("students by status", plots.students_plot(report.trends)),
            ("students changed", plots.changes_plot(report.trends)),
        )
    )


def _lines(report: Report) -> Iterator[str]:
    board = report.board
    yield f"## {formatting.title(board.night)}: {formatting.summary(board)}\n"
    totals = board.totals
    yield from _table([state for state in totals], [[f"{count:,}" for count in totals.values()]])
    if board.trouble:
        yield "\n### Needs attention\n"
        yield from _table(
            ["District", "State", "Since", "Reason", "What to do", ""],
            (
                [
                    _who(one),
                    f"**{one.state}**",
                    formatting.since(one),
                    _escaped(one.reason),
                    _with_commands(one.next_step),
                    _links(one),
                ]
                for one in board.trouble
            ),
        )
    if board.expiring:
        yield "\n### Integration Access that expires soon\n"
        yield from _table(
            ["District", "Integration Access"],
            ([_who(one), formatting.expiry(one)] for one in board.expiring),
        )
    yield from _ahead_lines(report)
    if board.rest:
        yield "\n### All other districts\n"
        yield from _table(
            ["District", "State", "Students", "Enrolled", "Added", "Changed", "Removed", "Notes", ""],
            (
                [
                    _who(one),
                    one.state,
                    *(
                        NOTHING if count is None else f"{count:,}"
                        for count in (one.students, one.enrolled, one.added, one.changed, one.removed)
                    ),
                    _escaped(formatting.remarks(one)),
                    _links(one),
                ]
                for one in board.rest[:ROWS_IN_MARKDOWN]
            ),
        )
        if len(board.rest) > ROWS_IN_MARKDOWN:
            yield f"\nand {len(board.rest) - ROWS_IN_MARKDOWN:,} more, in the file."


def _ahead_lines(report: Report) -> Iterator[str]:
    ahead = report.ahead
    if ahead is None:
        return
    yield f"\n### The next {ahead.days} days, if nobody edits anything\n"
    if ahead.holds:
        yield f"Will be held because time passes: {len(ahead.holds):,}.\n"
        yield from _table(
            ["From the night", "District", "Reason", "What to do"],
            (
                [f"**{one.night}**", _who(one), _escaped(one.reason), _with_commands(one.next_step)]
                for one in ahead.holds[:ROWS_IN_MARKDOWN]
            ),
        )
        if len(ahead.holds) > ROWS_IN_MARKDOWN:
            yield f"\nand {len(ahead.holds) - ROWS_IN_MARKDOWN:,} more, in the file."
        yield ""
    elif ahead.districts:
        yield "No district will be held because time passes.\n"
    if ahead.flips:
        yield from _table(
            ["Day", "Status", "Students"],
            (
                [str(one.day), formatting.flip(one.old_status, one.new_status), f"{one.students:,}"]
                for one in ahead.flips
            ),
        )
    elif ahead.districts:
        yield "No status changes by time alone."
    yield f"\n{formatting.looked_at(ahead)}."


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _who(one: DistrictNight | DistrictHold) -> str:
    return f"{_escaped(one.name)} ({_escaped(one.district_id)})"


def _links(one: DistrictNight) -> str:
    """Links within the Dagster UI to the district's run and its check of the gate."""
    if one.run_id is None:
        return ""
    check = (
        f"/assets/published_snapshot?view=checks&checkDetail=gate&partition={one.district_id}"
        if one.state in ("held", "published")
        else ""
    )
    return f"[run](/runs/{one.run_id})" + (f" · [gate]({check})" if check else "")


def _with_commands(text: str | None) -> str:
    """Escaped text in which commands stand in code style."""
    return "".join(f"`{part}`" if is_command else _as_it_is(part) for part, is_command in commands_in(text))


def commands_in(text: str | None) -> Iterator[tuple[str, bool]]:
    """The parts of a text, and whether each is a command that a person may copy."""
    for number, part in enumerate(_COMMAND.split(on_one_line(text))):
        if part:
            yield part, number % 2 == 1


def _escaped(text: str | None) -> str:
    """Text that Markdown shows as it is: no link, no image, no HTML, no column of its own."""
    return _as_it_is(on_one_line(text))


def _as_it_is(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", text)
