"""An alarm's words: which districts, what, since when, what to do. Counts and names of districts only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from samegoal_pipelines.printable import on_one_line
from samegoal_pipelines.reports import remedies, words
from samegoal_pipelines.reports.board import Board, DistrictNight

NAMES_IN_A_GROUP = 20
GROUPS = 60
_HEADINGS = {
    "failed": "failed: what was last published stays",
    "late": "late",
    "held": "held: the change is too large to publish unseen",
}


@dataclass(frozen=True)
class Message:
    """What a channel sends."""

    subject: str
    text: str
    html: str


def alarm_message(board: Board, told: Sequence[DistrictNight], *, later: bool = False) -> Message:
    """The message about these districts of a board that covers all districts of one deadline.

    Args:
        told: the districts in trouble that it is about.
        later: it follows an earlier message of the same night, which it does not repeat.
    """
    counted = ", ".join(
        f"{count:,} {state}"
        for state in words.SUMMED_UP
        if (count := sum(one.state == state for one in told))
    )
    subject = f"{words.title(board.night)}: {'also ' if later else ''}{counted} of {board.due:,}"
    groups = list(_groups(told))
    first = f"{board.totals['published']:,} of {board.due:,} district(s) published."
    last = f"All of it: samegoal-pipelines report --night {board.night}, or nightly_report in Dagster."
    if len(groups) > GROUPS:
        last = f"And {sum(group.count for group in groups[GROUPS:]):,} more district(s). {last}"
    shown = groups[:GROUPS]
    return Message(
        subject,
        "\n\n".join([first, *(group.text() for group in shown), last]) + "\n",
        "\n".join([f"<p>{escape(first)}</p>", *(group.html() for group in shown), f"<p>{escape(last)}</p>"]),
    )


@dataclass(frozen=True)
class _Group:
    """Districts with the same state and the same reason, which are told together."""

    count: int
    heading: str
    reason: str | None
    names: list[str]
    remedy: str

    def text(self) -> str:
        reason = [f"  {self.reason}"] if self.reason else []
        names = [f"  - {name}" for name in self.names]
        return "\n".join([self.heading, *reason, *names, f"  To do: {self.remedy}"])

    def html(self) -> str:
        reason = f"<p>{escape(self.reason)}</p>" if self.reason else ""
        names = "".join(f"<li>{escape(name)}</li>" for name in self.names)
        remedy = f"<p><b>To do:</b> {escape(self.remedy)}</p>"
        return f"<h3>{escape(self.heading)}</h3>{reason}<ul>{names}</ul>{remedy}"


def _groups(told: Sequence[DistrictNight]) -> Iterator[_Group]:
    """The groups, in the order of the first district of each."""
    found: dict[tuple[str, str], list[DistrictNight]] = {}
    for one in told:
        found.setdefault((one.state, on_one_line(one.reason)), []).append(one)
    for (state, reason), alike in found.items():
        names = [f"{_who(one)}: {words.since(one)}" for one in alike[:NAMES_IN_A_GROUP]]
        if len(alike) > NAMES_IN_A_GROUP:
            names.append(f"and {len(alike) - NAMES_IN_A_GROUP:,} more")
        count = "1 district" if len(alike) == 1 else f"{len(alike):,} districts"
        yield _Group(len(alike), f"{count} {_HEADINGS[state]}", reason or None, names, _remedy(alike))


def _remedy(group: Sequence[DistrictNight]) -> str:
    """What to do; for several districts, with ID in the place of theirs."""
    one = group[0]
    if len(group) == 1:
        return one.remedy or ""
    if one.state == "late":
        return remedies.of_lateness("ID")
    if one.state == "held":
        return remedies.of_hold("ID", one.night, one.night)
    return remedies.of_failure("ID", one.reason, None)


def _who(one: DistrictNight) -> str:
    return f"{on_one_line(one.name)} ({one.district_id})"
