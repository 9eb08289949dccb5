"""`sync`: run nights now, or release held ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.dates import Night
from samegoal_pipelines.cli.exits import as_pipeline_error
from samegoal_pipelines.cli.terminal import print_json, reading_progress
from samegoal_pipelines.errors import Kind, PipelineError

if TYPE_CHECKING:
    from samegoal_pipelines.cli.nights import Outcome
    from samegoal_pipelines.deployment import Deployment


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
    if dry_run and release:
        raise click.UsageError("--dry-run and --release exclude each other")
    from samegoal_pipelines.cli import nights

    outcomes = run_nights(
        context.obj,
        district_ids,
        today=today.date() if today else None,
        release_because=why if release else None,
        dry_run=dry_run,
        debug=context.meta["debug"],
    )
    if as_json:
        print_json([nights.outcome_facts(outcome, students=students) for outcome in outcomes])
    elif any(not isinstance(outcome, PipelineError) and not outcome.failed for outcome in outcomes):
        nights.print_outcomes(outcomes, context.obj.registry.list())
        if students:
            click.echo()
            nights.print_students(outcomes)
    return nights.exit_status(outcomes)


def run_nights(
    deployment: Deployment,
    district_ids: Sequence[str],
    *,
    today: date | None = None,
    release_because: str | None = None,
    dry_run: bool = False,
    debug: bool = False,
) -> list[Outcome]:
    """Run each district's night, with progress on standard error. One failure does not stop the others.

    Args:
        release_because: release each district's held night for this reason, instead of running a night.
        dry_run: publish and record nothing.
    """
    from samegoal_pipelines.cli.nights import line
    from samegoal_pipelines.operations import runs

    run: Callable[..., Outcome] = runs.run_dry if dry_run else runs.run_night
    if release_because is not None:
        run = partial(runs.run_release, why=release_because)
    outcomes: list[Outcome] = []
    for district_id in district_ids:
        try:
            with reading_progress(deployment, district_id):
                outcome = run(deployment, district_id, today=today, debug=debug)
        except Exception as error:
            if debug:
                raise
            outcome = as_pipeline_error(error, district_id)
        outcomes.append(outcome)
        click.echo(line(outcome), err=True)
        if isinstance(outcome, PipelineError) and outcome.kind is Kind.STOPPED:
            break
    return outcomes
