"""What an alert says: which districts, what happened, since when, what to do. Markdown, without student data.

An alert names every district that it is about, if only by its id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from samegoal_pipelines.printable import on_one_line
from samegoal_pipelines.reporting import formatting
from samegoal_pipelines.reporting.nightly_status import Board, DistrictNight

NAMES_IN_A_GROUP = 20
GROUPS = 60
_NUMBERS = re.compile(r"\d[\d,.-]*")
_MEASURED = re.compile(r"[\d,]+ of [\d,]+ [^();:,]{1,40}\([\d.]+%\)")
"""What a reason of the gate begins with: `812 of 900 students (90.2%)`."""
_HEADINGS = {
    "failed": "failed: the last published snapshot stays",
    "late": "late",
    "held": "held: the change is too large to publish without review",
}


@dataclass(frozen=True)
class Message:
    """What is sent to an address."""

    subject: str
    text: str
    kind: str = "warning"
    """`success` is shown in green where a service has colors."""


TEST_MESSAGE = Message("SameGoal: test alert", "This is a test. Nothing is wrong.", kind="success")


def missing_report_message(night: date, tries: int, run_id: str) -> Message:
    """What to say about a night whose report could not be made."""
    return Message(
        f"{formatting.title(night)}: its report is missing",
        f"nightly_report of the night {night} failed {tries} times, last in run {run_id}.\n\n"
        "To do: open that run in the Dagster UI. To see what the report would say: "
        f"`samegoal-pipelines report --night {night}`\n",
    )


def all_well_message(night: date, districts: int) -> Message:
    """The one line about a night on which nothing is wrong."""
    count = "1 district" if districts == 1 else f"all {districts:,} districts"
    return Message(
        f"{formatting.title(night)}: all is well", f"{count} published".capitalize() + ".\n", "success"
    )


def alert_message(board: Board, news: Sequence[DistrictNight], *, later: bool = False) -> Message:
    """The message about districts in trouble.

    Args:
        board: all districts with one deadline.
        news: the districts in trouble that the message is about.
        later: the message follows an earlier one of the same night.
    """
    counts = ((sum(one.state == state for one in news), state) for state in formatting.SUMMED_UP)
    counted = ", ".join(f"{count:,} {state}" for count, state in counts if count)
    groups: dict[tuple[str, str], list[DistrictNight]] = {}
    for one in news:
        groups.setdefault((one.state, _kind(one)), []).append(one)
    named, unnamed = [*groups.values()][:GROUPS], [*groups.values()][GROUPS:]
    paragraphs = [f"{board.totals['published']:,} of {board.due:,} districts published."]
    paragraphs += [paragraph for group in named for paragraph in _paragraphs(group)]
    if unnamed:
        rest = [one.district_id for group in unnamed for one in group]
        paragraphs.append(f"And {len(rest):,} more districts: {', '.join(rest)}.")
    paragraphs.append(f"Full report: `samegoal-pipelines report --night {board.night}`")
    return Message(
        f"{formatting.title(board.night)}: {'also ' if later else ''}{counted} of {board.due:,}",
        "\n\n".join(paragraphs) + "\n",
    )


def _paragraphs(group: Sequence[DistrictNight]) -> Iterator[str]:
    """Districts with the same state and the same kind of reason, described together."""
    first, several_reasons = group[0], len({_plain(one.reason) for one in group}) > 1
    count = "1 district" if len(group) == 1 else f"{len(group):,} districts"
    yield f"**{count} {_HEADINGS[first.state]}**"
    if reason := _plain(first.reason):
        yield f"For example {first.district_id}: {reason}" if several_reasons else reason
    lines = [
        f"- {_plain(one.name)} ({one.district_id}): {formatting.since(one)}"
        + (_measured(one) if several_reasons else "")
        for one in group[:NAMES_IN_A_GROUP]
    ]
    if rest := [one.district_id for one in group[NAMES_IN_A_GROUP:]]:
        lines.append(f"- and {len(rest):,} more: {', '.join(rest)}")
    yield "\n".join(lines)
    yield f"To do: {_plain(_next_step(group))}"


def _plain(text: str | None) -> str:
    """Text from elsewhere, which must not become markup."""
    return on_one_line(text).replace("<", "&lt;")


def _kind(one: DistrictNight) -> str:
    """What groups districts: the reason, without its numbers if the night is held."""
    reason = on_one_line(one.reason)
    return _NUMBERS.sub("", reason) if one.state == "held" else reason


def _measured(one: DistrictNight) -> str:
    found = _MEASURED.search(on_one_line(one.reason))
    return f"; {found[0]}" if found else ""


def _next_step(group: Sequence[DistrictNight]) -> str:
    """What to do; for several districts, with ID in place of theirs."""
    return (group[0].next_step if len(group) == 1 else group[0].advice) or ""
