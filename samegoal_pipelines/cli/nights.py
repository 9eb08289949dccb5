"""The result of a night in the terminal: its line, its table, and the students whom it changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias

from samegoal_pipelines.cli.commands import DONE, FAILED, HELD
from samegoal_pipelines.cli.terminal import print_table
from samegoal_pipelines.errors import PipelineError, fill_in
from samegoal_pipelines.printable import NOTHING, counted, on_one_line
from samegoal_pipelines.warehouse.session import StudentChange
from samegoal_pipelines.warehouse.snapshots import Snapshot

if TYPE_CHECKING:  # Dagster and pandas take a second to import
    from samegoal_pipelines.defs.op_jobs import DryRun
    from samegoal_pipelines.districts.registry import District

Outcome: TypeAlias = "Snapshot | DryRun | PipelineError"
"""A district's outcome: its run's snapshot, its dry run, or the error that left neither."""
STATUSES = ("enrolled", "pre_enrolled", "graduated", "inactive")


def state_of(outcome: Outcome) -> str:
    """The night's state. For a dry run, the one that the night would have."""
    if isinstance(outcome, PipelineError):
        return "failed"
    if isinstance(outcome, Snapshot):
        return outcome.state
    return "held" if outcome.held else "published"


def exit_status(outcomes: Iterable[Outcome]) -> int:
    """The exit status of several outcomes: failed outranks held."""
    states = {*map(state_of, outcomes)}
    return FAILED if "failed" in states else HELD if "held" in states else DONE


def line(outcome: Outcome) -> str:
    """One line for people: the district's outcome."""
    who = outcome.district_id
    if isinstance(outcome, PipelineError):
        return _in_trouble(f"error: {who}: {outcome.reason}", fill_in(outcome.next_step, who))
    counts = outcome.counts
    students = counted(counts.students, "student")
    changes = f"{counts.added:,} added, {counts.changed:,} changed, {counts.removed:,} removed"
    if not isinstance(outcome, Snapshot):
        said = f"{who}: dry run for {outcome.night}: {students} ({changes})"
        if outcome.held:
            why = "; ".join(outcome.verdict.reasons)
            return _in_trouble(f"{said}; the gate would hold it: {why}", outcome.verdict.to_check)
        return f"{said}; it would be published. Nothing was published or recorded"
    if outcome.held or outcome.failed:
        return _in_trouble(f"{'held' if outcome.held else 'error'}: {who}: {outcome.reason}", outcome.to_do)
    if not outcome.published:
        became = "published" if outcome.published_at else "held"
        return f"{who}: {became}, and replaced by a later run of the same night"
    if counts.carried_over:
        changes += f"; {counts.carried_over:,} unreadable, carried over as last published"
    return f"{who}: published {students} for {outcome.snapshot_date} ({changes})"


def _in_trouble(said: str, to_do: str | None) -> str:
    return on_one_line(f"{said}. To do: {to_do}" if to_do else said)


def print_outcomes(
    outcomes: Sequence[Outcome], districts: Iterable[District], *, students: bool = False
) -> None:
    """Print one row per district: its name, the outcome of its night, and the students by status.

    `students`: also print every student whom a dry run would change.
    """
    names = {district.id: district.name for district in districts}
    rows: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    for one in outcomes:
        became = state_of(one)
        counts: Any = one
        if not isinstance(one, Snapshot | PipelineError):
            became, counts = f"would be {became}", one.counts
            changes += [{"district": one.district_id, **student_cells(each)} for each in one.changes]
        numbers = {name: getattr(counts, name, None) for name in ("students", *STATUSES)}
        rows.append(
            {
                "district": one.district_id,
                "name": names.get(one.district_id, NOTHING),
                "snapshot": became,
                **{name.replace("_", "-"): NOTHING if n is None else n for name, n in numbers.items()},
            }
        )
    print_table(rows)
    print_table(changes if students else [], gap=True)


def student_cells(one: StudentChange) -> dict[str, Any]:
    """A changed student as cells of a table."""
    columns = [
        f"{name} (was {one.previous_number})" if one.previous_number and name == "student_number" else name
        for name in one.changed_columns
    ]
    return {
        "student": one.student_number or f"StudentID {one.student_id}",
        "change": one.change,
        "was": one.old_status,
        "is": one.new_status,
        "changed columns, or why": "; ".join(filter(None, (", ".join(columns), one.why))),
    }


def outcome_facts(outcome: Outcome, *, students: bool = False) -> dict[str, Any]:
    """For scripts. `students`: also list every student whom a dry run would change."""
    if isinstance(outcome, PipelineError):
        return {
            "district_id": outcome.district_id,
            "state": "failed",
            "reason": outcome.reason,
            "kind": outcome.kind,
            "next_step": fill_in(outcome.next_step, outcome.district_id) or None,
        }
    if isinstance(outcome, Snapshot):
        return outcome.facts()
    facts = {
        "district_id": outcome.district_id,
        "dry_run": True,
        "snapshot_date": outcome.night,
        "state": state_of(outcome),
        "reasons": list(outcome.verdict.reasons),
        "next_step": outcome.verdict.to_check or None,
        **asdict(outcome.counts),
        "gate": outcome.verdict.numbers or None,
    }
    return facts | ({"changes": [asdict(one) for one in outcome.changes]} if students else {})
