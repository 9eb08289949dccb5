"""A district's night in the terminal: the lines and tables of `sync`, `report`, `list` and `show`.

The facts come from `DistrictNight`, `Snapshot` and `DryRun`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

import click

from samegoal_pipelines.cli.exits import DONE, FAILED, HELD
from samegoal_pipelines.cli.terminal import print_sentences, print_table
from samegoal_pipelines.districts.expiry import expiry_words
from samegoal_pipelines.errors import PipelineError, fill_in
from samegoal_pipelines.printable import NOTHING, counted, on_one_line
from samegoal_pipelines.reporting.nightly_status import AWAITING_SECRET, COUNTS, Board, DistrictNight
from samegoal_pipelines.warehouse.snapshots import Snapshot

if TYPE_CHECKING:  # Dagster and pandas take a second to import
    from samegoal_pipelines.defs.dry_run import DryRun
    from samegoal_pipelines.districts.registry import District
    from samegoal_pipelines.reporting.forecast import Ahead

Outcome: TypeAlias = "Snapshot | DryRun | PipelineError"
"""A district's outcome: its run's snapshot, its dry run, or the error that left neither."""
STATUSES = ("enrolled", "pre_enrolled", "graduated", "inactive")
HOLDS_SHOWN = 20
"""The most districts that `report` names as being held soon. The page and JSON have all of them."""


# -- sync --


def exit_status(outcomes: Iterable[Outcome]) -> int:
    """The exit status of several outcomes: failed outranks held."""
    found = set(map(_status, outcomes))
    return next((status for status in (FAILED, HELD) if status in found), DONE)


def _status(outcome: Outcome) -> int:
    if isinstance(outcome, PipelineError) or outcome.failed:
        return FAILED
    return HELD if outcome.held else DONE


def line(outcome: Outcome) -> str:
    """One line for people: the district's outcome."""
    if isinstance(outcome, PipelineError):
        to_do = fill_in(outcome.next_step, outcome.district_id)
        return _in_trouble("error", outcome.district_id, outcome.reason, to_do)
    if isinstance(outcome, Snapshot):
        return _line_of_run(outcome)
    said = (
        f"{outcome.district_id}: dry run for {outcome.night}: {counted(outcome.counts.students, 'student')} "
        f"({_changes(outcome.counts)})"
    )
    if outcome.held:
        why = "; ".join(outcome.reasons)
        return on_one_line(f"{said}; the gate would hold it: {why}. To do: {outcome.to_check}")
    return f"{said}; it would be published. Nothing was published or recorded"


def _line_of_run(attempt: Snapshot) -> str:
    if attempt.held or attempt.failed:
        state = "held" if attempt.held else "error"
        return _in_trouble(state, attempt.district_id, attempt.reason, attempt.to_do)
    if not attempt.published:
        became = "published" if attempt.published_at else "held"
        return f"{attempt.district_id}: {became}, and replaced by a later run of the same night"
    unread = (
        f"; {attempt.carried_over:,} unreadable, carried over as last published"
        if attempt.carried_over
        else ""
    )
    students = counted(attempt.students or 0, "student")
    return (
        f"{attempt.district_id}: published {students} for {attempt.snapshot_date} "
        f"({_changes(attempt)}{unread})"
    )


def _in_trouble(state: str, district_id: str, reason: str | None, to_do: str | None) -> str:
    return on_one_line(f"{state}: {district_id}: {reason}" + (f". To do: {to_do}" if to_do else ""))


def _changes(counts: Any) -> str:
    return f"{counts.added:,} added, {counts.changed:,} changed, {counts.removed:,} removed"


def print_outcomes(outcomes: Sequence[Outcome], districts: Iterable[District]) -> None:
    """Print one row per district: its name, the outcome of its night, and the students by status."""
    names = {district.id: district.name for district in districts}
    columns = ["district", "name", "snapshot", "students", *(name.replace("_", "-") for name in STATUSES)]
    rows = [[one.district_id, names.get(one.district_id, NOTHING), *_cells(one)] for one in outcomes]
    print_table(columns, rows)


def _cells(outcome: Outcome) -> list[Any]:
    if isinstance(outcome, PipelineError):
        return ["failed", *[NOTHING] * 5]
    counts: Any = outcome if isinstance(outcome, Snapshot) else outcome.counts
    numbers = [getattr(counts, name) for name in ("students", *STATUSES)]
    return [outcome.became, *(NOTHING if n is None else n for n in numbers)]


def print_students(outcomes: Iterable[Outcome]) -> None:
    """Print the students whom dry runs would change."""
    print_table(
        ["district", "student", "change", "was", "would be", "changed columns, or why removed"],
        [
            [
                outcome.district_id,
                one.student_number or f"StudentID {one.student_id}",
                one.change,
                one.old_status or NOTHING,
                one.new_status or NOTHING,
                one.why or ", ".join(one.changed_columns),
            ]
            for outcome in outcomes
            if not isinstance(outcome, Snapshot | PipelineError)
            for one in outcome.changes
        ],
    )


def outcome_facts(outcome: Outcome, *, students: bool = False) -> dict[str, Any]:
    """For scripts.

    Args:
        students: also list every student whom a dry run would change.
    """
    if isinstance(outcome, PipelineError):
        to_do = fill_in(outcome.next_step, outcome.district_id) or None
        found = {"district_id": outcome.district_id, "state": "failed"}
        return {**found, "reason": outcome.reason, "kind": outcome.kind, "next_step": to_do}
    if isinstance(outcome, Snapshot):
        return outcome.facts()
    listed = {"changes": [asdict(one) for one in outcome.changes]} if students else {}
    return {
        "district_id": outcome.district_id,
        "dry_run": True,
        "snapshot_date": outcome.night,
        "state": "held" if outcome.held else "published",
        "reasons": list(outcome.reasons),
        "next_step": outcome.to_check,
        **asdict(outcome.counts),
        "gate": outcome.verdict.numbers if outcome.verdict else None,
        **listed,
    }


# -- report --


def print_trouble(board: Board) -> None:
    """The summary, every district in trouble, and every access that expires."""
    click.echo(f"{board.title}: {board.summary}")
    if board.districts:
        click.echo(", ".join(f"{state} {count:,}" for state, count in board.totals.items() if count))
    for one in board.trouble:
        click.echo()
        print_sentences([f"{one.state}: {_who(one)}, {one.since}"])
        print_sentences([one.reason or "", f"to do: {one.next_step}"], indent=4)
    if board.expiring:
        click.echo()
        print_sentences(f"Integration Access of {_who(one)} {one.expiry}" for one in board.expiring)


def print_rest(board: Board) -> None:
    """The districts that need nobody."""
    if board.rest:
        click.echo()
        print_table(
            ["district", "name", "state", *(name.replace("_", " ") for name in COUNTS), ""],
            [
                [one.district_id, one.name, one.state, *map(_number, one.counts.values()), one.remarks]
                for one in board.rest
            ],
        )


def print_ahead(ahead: Ahead) -> None:
    """Which districts will be held because time passes."""
    click.echo()
    days, about = f"the next {ahead.days} days, if nobody edits anything", ahead.looked_at
    if not ahead.districts:
        print_sentences([f"{days}: not known. {about}"])
        return
    held = f"{len(ahead.holds):,}" if ahead.holds else "no district"
    print_sentences([f"{days}: {held} will be held because time passes. {about}"])
    for one in ahead.holds[:HOLDS_SHOWN]:
        print_sentences([f"from {one.night} on: {one.name} ({one.district_id})"])
        print_sentences([one.reason, f"to do: {one.next_step}"], indent=4)
    if len(ahead.holds) > HOLDS_SHOWN:
        print_sentences([f"and {len(ahead.holds) - HOLDS_SHOWN:,} more, in --html and --json"])


def _who(one: DistrictNight) -> str:
    return f"{one.name} ({one.district_id})"


def _number(count: int | None) -> int | str:
    return NOTHING if count is None else count


# -- list and show --


def print_list(found: Iterable[DistrictNight]) -> None:
    """One row per district."""
    print_table(
        ["district", "name", "time zone", "access expires", "published", "state"],
        [
            [
                *(d.district_id, d.name, d.timezone, expiry_words(d.expires, d.expiration)),
                *(d.last_published or "never", d.schedule),
            ]
            for d in found
        ],
    )


def state_rows(one: DistrictNight) -> Iterator[list[str]]:
    """The district's state, for `show`."""
    yield ["state", one.schedule]
    if pause := one.pause_to_come:
        why = f": {pause.reason}" if pause.reason else ""
        yield ["pause", f"from {pause.paused_from} to {pause.paused_to}{why}, set by {pause.set_by}"]
    if (current := one.current) is None:
        todo = f"samegoal-pipelines sync {one.district_id}"
        if one.schedule == AWAITING_SECRET:
            todo = one.reason or ""
        yield ["last published", "never" if one.open_attempt else f"never; next: {todo}"]
    else:
        moment = (current.published_at or current.started_at).astimezone(ZoneInfo(one.timezone))
        counts = ", ".join(f"{getattr(current, name):,} {name.replace('_', '-')}" for name in STATUSES)
        yield ["last published", f"night of {current.snapshot_date}, on {moment:%Y-%m-%d at %H:%M}"]
        yield ["students", f"{current.students:,}: {counts}"]
    if attempt := one.open_attempt:
        yield ["last attempt", f"{attempt.state}, night of {attempt.snapshot_date}"]
        yield ["because", attempt.reason or "no reason was recorded"]
        yield ["to do", attempt.to_do or ""]


def state_facts(one: DistrictNight) -> Mapping[str, Any]:
    """The district's state, for scripts."""
    return {
        "state": one.schedule,
        "pause": one.pause_to_come and asdict(one.pause_to_come),
        "last_published": one.current and one.current.facts(),
        "last_attempt": one.open_attempt and one.open_attempt.facts(),
    }
