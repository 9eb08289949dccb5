"""An alarm's words: which districts, what, since when, what to do. Counts and names of districts only.

However many they are, every district that a message is about is named, at the least by its id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

from samegoal_pipelines.printable import on_one_line
from samegoal_pipelines.reports import remedies, words
from samegoal_pipelines.reports.board import Board, DistrictNight

NAMES_IN_A_GROUP = 20
GROUPS = 60
_NUMBERS = re.compile(r"\d[\d,.-]*")
_MEASURED = re.compile(r"[\d,]+ of [\d,]+ [^();:,]{1,40}\([\d.]+ %\)")
"""What a reason of the gate begins with: `812 of 900 students (90.2 %)`."""
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


@dataclass(frozen=True)
class MissingReport:
    """A night whose report could not be made, however often it was tried."""

    night: date
    tries: int
    run_id: str
    """The last run that tried."""

    def message(self) -> Message:
        """What is said of it."""
        told = (
            f"nightly_report of the night {self.night} could not be made in {self.tries} tries; the last is "
            f"run {self.run_id}."
        )
        remedy = (
            f"To do: see in the Dagster UI why that run failed; what the report would say: "
            f"samegoal-pipelines report --night {self.night}"
        )
        subject = f"{words.title(self.night)}: its report is missing"
        return Message(subject, f"{told}\n\n{remedy}\n", f"<p>{escape(told)}</p>\n<p>{escape(remedy)}</p>")


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
        unnamed = [district_id for group in groups[GROUPS:] for district_id in group.district_ids]
        last = f"And {len(unnamed):,} more district(s): {', '.join(unnamed)}. {last}"
    shown = groups[:GROUPS]
    return Message(
        subject,
        "\n\n".join([first, *(group.text() for group in shown), last]) + "\n",
        "\n".join([f"<p>{escape(first)}</p>", *(group.html() for group in shown), f"<p>{escape(last)}</p>"]),
    )


@dataclass(frozen=True)
class _Group:
    """Districts with the same state and the same reason, which are told together."""

    district_ids: list[str]
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
        found.setdefault((one.state, _kind(one)), []).append(one)
    for (state, _), alike in found.items():
        reasons = {on_one_line(one.reason) for one in alike}
        reason = on_one_line(alike[0].reason)
        if len(reasons) > 1:
            reason = f"such as {alike[0].district_id}: {reason}"
        names = [
            f"{_who(one)}: {words.since(one)}" + (_measured(one) if len(reasons) > 1 else "")
            for one in alike[:NAMES_IN_A_GROUP]
        ]
        district_ids = [one.district_id for one in alike]
        if unnamed := district_ids[NAMES_IN_A_GROUP:]:
            names.append(f"and {len(unnamed):,} more: {', '.join(unnamed)}")
        count = "1 district" if len(alike) == 1 else f"{len(alike):,} districts"
        yield _Group(district_ids, f"{count} {_HEADINGS[state]}", reason or None, names, _remedy(alike))


def _kind(one: DistrictNight) -> str:
    """The reason; of a night that is held, without the numbers, which are every district's own."""
    reason = on_one_line(one.reason)
    return _NUMBERS.sub("", reason) if one.state == "held" else reason


def _measured(one: DistrictNight) -> str:
    """The first of a reason's numbers, where it has any."""
    found = _MEASURED.search(on_one_line(one.reason))
    return f"; {found[0]}" if found else ""


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
