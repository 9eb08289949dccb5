"""The text of alerts: which districts, what happened, since when, what to do. Markdown, without student data.

An alert names every affected district, at least by its id. Districts with the same state, kind and next step
are described together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from samegoal_pipelines.reporting import rendering
from samegoal_pipelines.reporting.nightly_status import Board, DistrictNight, in_words

NAMES_IN_A_GROUP = 20


@dataclass(frozen=True)
class Message:
    """A message to an address."""

    subject: str
    text: str
    kind: str = "warning"
    """`success` is shown in green where a service has colors."""


TEST_MESSAGE = Message("SameGoal: test alert", "This is a test. Nothing is wrong.", kind="success")


def missing_report_message(night: date, tries: int, run_id: str) -> Message:
    """The message about a night whose report could not be made."""
    return Message(
        f"SameGoal night {night}: its report is missing",
        f"nightly_report of the night {night} failed {tries} times, last in run {run_id}.\n\n"
        "To do: open that run in the Dagster UI. To see what the report would say: "
        f"`samegoal-pipelines report --night {night}`\n",
    )


def all_well_message(night: date, districts: int) -> Message:
    """The line about a night on which everything is well."""
    count = "1 district" if districts == 1 else f"All {districts:,} districts"
    return Message(f"SameGoal night {night}: all is well", f"{count} published.\n", "success")


def alert_message(board: Board, news: Sequence[DistrictNight], *, later: bool = False) -> Message:
    """The message about districts in trouble.

    Args:
        board: all districts with one deadline.
        news: the districts in trouble that the message is about.
        later: the message follows an earlier one of the same night.
    """
    groups: dict[tuple[str | None, ...], list[DistrictNight]] = {}
    for one in news:
        groups.setdefault((one.state, one.kind, one.advice), []).append(one)
    counts = in_words(Counter(one.state for one in news))
    return Message(
        f"{board.title}: {'also ' if later else ''}{counts} of {board.due:,}",
        rendering.render("alert.md.j2", board=board, groups=groups.values(), names=NAMES_IN_A_GROUP),
    )
