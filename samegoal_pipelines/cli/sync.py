"""`sync`: run nights now, or release held ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.dates import Night
from samegoal_pipelines.cli.exits import DONE, FAILED, HELD, plain
from samegoal_pipelines.cli.terminal import print_json, print_table, reading_progress

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.operations.dry_run import DryRunOutcome
    from samegoal_pipelines.operations.runs import NightOutcome


@click.command()
@click.argument("district_ids", metavar="ID…", nargs=-1, required=True)
@click.option(
    "--today", type=Night(), help="Classify as of this date. Default: today's date in the district."
)
@click.option(
    "--release", is_flag=True, help="Publish exactly the rows that were held, without reading Qmlativ."
)
@click.option("--why", help="Why you release it. Recorded together with SAMEGOAL_OPERATOR.")
@click.option(
    "--dry-run", is_flag=True, help="Read, compute and ask the gate, but publish and record nothing."
)
@click.option(
    "--students",
    is_flag=True,
    help="With --dry-run, list the students who would change, by number.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_context
def sync(
    context: click.Context,
    district_ids: Sequence[str],
    today: datetime | None,
    release: bool,
    why: str | None,
    dry_run: bool,
    students: bool,
    as_json: bool,
) -> int:
    """Run the nightly job for these districts now, as Dagster runs.

    Exit status 3: a night is held because it would change too much, and the published snapshot stays. Look
    at the changes. If they are right, publish them with --release --why. If not, correct Qmlativ and run
    sync again.

    With --dry-run, sync reads Qmlativ, asks the gate, and publishes and records nothing. It exits with 3 if
    the gate would hold the night. A --today in the future needs --dry-run.
    """
    if why is not None and not release:
        raise click.UsageError("--why goes with --release")
    if release and not (why or "").strip():
        raise click.UsageError("--release needs a reason, which is recorded: --why REASON")
    if students and not dry_run:
        raise click.UsageError("--students goes with --dry-run")
    if dry_run:
        if release:
            raise click.UsageError("--dry-run and --release exclude each other")
        return try_nights(context, district_ids, today.date() if today else None, students, as_json)
    nights = run_nights(
        context.obj,
        district_ids,
        today=today.date() if today else None,
        release_because=why if release else None,
        debug=context.meta["debug"],
    )
    if as_json:
        print_json([night.facts() for night in nights])
    elif any(night.well or night.held for night in nights):
        print_nights(nights)
    return worst_of(nights)


def run_nights(
    deployment: Deployment,
    district_ids: Sequence[str],
    *,
    today: date | None = None,
    release_because: str | None = None,
    debug: bool = False,
) -> list[NightOutcome]:
    """Run each district's night, with progress on standard error. One failure does not stop the others.

    Args:
        release_because: release each district's held night for this reason, instead of running a night.
    """
    from samegoal_pipelines.operations.runs import NightOutcome, run_night, run_release

    run = run_night if release_because is None else partial(run_release, why=release_because)
    nights = []
    for district_id in district_ids:
        try:
            with reading_progress(deployment, district_id):
                night = run(deployment, district_id, today=today, debug=debug)
        except Exception as error:
            if debug:
                raise
            night = NightOutcome(district_id, None, plain(error))
        nights.append(night)
        click.echo(night.line(), err=True)
        if night.stopped:
            break
    return nights


def try_nights(
    context: click.Context, district_ids: Sequence[str], today: date | None, students: bool, as_json: bool
) -> int:
    """Dry runs of these districts; a district that fails stops no other."""
    from samegoal_pipelines.operations.dry_run import DryRunOutcome, run_dry

    debug, outcomes = context.meta["debug"], []
    for district_id in district_ids:
        try:
            with reading_progress(context.obj, district_id):
                outcome = run_dry(context.obj, district_id, today=today, debug=debug)
        except Exception as error:
            if debug:
                raise
            outcome = DryRunOutcome(district_id, None, plain(error).removeprefix(f"{district_id}: "))
        outcomes.append(outcome)
        click.echo(outcome.line(), err=True)
        if outcome.stopped:
            break
    if as_json:
        print_json([outcome.facts(students=students) for outcome in outcomes])
    elif any(outcome.tried for outcome in outcomes):
        print_nights(outcomes)
        if students:
            click.echo()
            _print_students(outcomes)
    return worst_of(outcomes)


def _print_students(outcomes: Sequence[DryRunOutcome]) -> None:
    print_table(
        ["district", "student", "change", "was", "would be", "changed columns, or why gone"],
        [
            [
                outcome.district_id,
                one.student_number or f"StudentID {one.student_id}",
                one.change,
                one.old_status or "",
                one.new_status or "",
                one.why or ", ".join(one.changed_columns),
            ]
            for outcome in outcomes
            for one in (outcome.tried.changes if outcome.tried else ())
        ],
    )


def worst_of(nights: Sequence[NightOutcome] | Sequence[DryRunOutcome]) -> int:
    """The exit status of several nights: failed outranks held."""
    if not all(night.well or night.held for night in nights):
        return FAILED
    return HELD if any(night.held for night in nights) else DONE


def print_nights(nights: Sequence[NightOutcome] | Sequence[DryRunOutcome]) -> None:
    """Print one row per district: the outcome of its night, and the students per status."""
    columns = ["district", "snapshot", "students", "enrolled", "pre-enrolled", "graduated", "inactive"]
    print_table(columns, [night.row() for night in nights])
