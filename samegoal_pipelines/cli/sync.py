"""`sync`, `districts preview` and `replay`: run nights now, try them, recompute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.commands import FILE, Day, command, district_command, plain
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table, reading_progress
from samegoal_pipelines.errors import Kind, PipelineError
from samegoal_pipelines.printable import counted

if TYPE_CHECKING:
    from samegoal_pipelines.cli.nights import Outcome
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.transforms.students_csv import Comparison
    from samegoal_pipelines.warehouse.replay import Replayed

TODAY = click.option(
    "--today", type=Day(), help="Classify as of this date. Default: today's date in the district."
)


@command(json=True)
@click.argument("district_ids", metavar="ID…", nargs=-1, required=True)
@TODAY
@click.option("--release", is_flag=True, help="Publish exactly what was held, without reading Qmlativ.")
@click.option("--why", help="Why you release it. Recorded together with SAMEGOAL_OPERATOR.")
@click.option("--dry-run", is_flag=True, help="Read, compute and ask the gate; publish and record nothing.")
@click.option("--students", is_flag=True, help="With --dry-run: list the students who would change.")
def sync(
    deployment: Deployment,
    district_ids: Sequence[str],
    today: date | None,
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

    outcomes = run_nights(deployment, district_ids, today=today, why=why, dry_run=dry_run)
    if as_json:
        print_json([nights.outcome_facts(outcome, students=students) for outcome in outcomes])
    elif any(nights.state_of(outcome) != "failed" for outcome in outcomes):
        nights.print_outcomes(outcomes, deployment.registry.list(), students=students)
    return nights.exit_status(outcomes)


def run_nights(
    deployment: Deployment,
    district_ids: Sequence[str],
    *,
    today: date | None = None,
    why: str | None = None,
    dry_run: bool = False,
) -> list[Outcome]:
    """Run each district's night, with progress on standard error. One failure does not stop the others.

    Args:
        why: release each district's held night for this reason, instead of running a night.
        dry_run: publish and record nothing.
    """
    from samegoal_pipelines.cli.nights import line
    from samegoal_pipelines.operations import runs

    run: Callable[..., Outcome] = runs.run_dry if dry_run else partial(runs.run_night, why=why)
    outcomes: list[Outcome] = []
    for district_id in district_ids:
        outcome: Outcome
        try:
            with reading_progress(deployment, district_id):
                outcome = run(deployment, district_id, today=today)
        except Exception as error:
            if deployment.debug:
                raise
            outcome = error if isinstance(error, PipelineError) else PipelineError(plain(error))
            outcome.district_id = outcome.district_id or district_id
        outcomes.append(outcome)
        click.echo(line(outcome), err=True)
        if isinstance(outcome, PipelineError) and outcome.kind is Kind.STOPPED:
            break
    return outcomes


@district_command(json=True)
@TODAY
@click.option("--against", type=FILE, help="CSV file of what SameGoal has, such as `export` writes.")
@click.option("--students", is_flag=True, help="List the students by number.")
def preview(
    deployment: Deployment,
    district_id: str,
    today: date | None,
    against: Path | None,
    students: bool,
    as_json: bool,
) -> int:
    """Show what the next night would publish. Nothing is published or recorded.

    With --against, the command compares it with a file of the students whom SameGoal has today, in SameGoal's
    layout: who is new, missing or different, and in which columns. It never prints a cell's value.

    Exit status 3: the gate would hold the night.
    """
    from samegoal_pipelines.cli import nights
    from samegoal_pipelines.operations.runs import compare_with, read_students_file, run_dry

    file = read_students_file(district_id, against) if against else None
    with reading_progress(deployment, district_id):
        tried = run_dry(deployment, district_id, today=today)
    click.echo(nights.line(tried), err=True)
    compared = compare_with(deployment, tried, file) if file else None
    if as_json:
        facts = compared and _facts(compared, students=students)
        print_json({**nights.outcome_facts(tried, students=students), "comparison": facts})
    else:
        nights.print_outcomes([tried], deployment.registry.list(), students=students and not compared)
        if compared:
            _print_comparison(compared, students=students)
    return nights.exit_status([tried])


def _facts(compared: Comparison, *, students: bool) -> dict[str, Any]:
    listed = {name: getattr(compared, name) for name in ("new", "missing", "different")}
    facts = compared._asdict() | {name: len(found) for name, found in listed.items()}
    return facts | ({"students": listed} if students else {})


def _print_comparison(compared: Comparison, *, students: bool) -> None:
    click.echo()
    print_sentences(f"compared with {compared.students_in_file:,} students in the file:")
    rows = (
        ("same", compared.same, "as in the file"),
        ("different", len(compared.different), "in a column at least"),
        ("new", len(compared.new), "would be published, and not in the file"),
        ("missing", len(compared.missing), "in the file, and would not be published"),
    )
    print_table({"": name, "students": count, " ": meaning} for name, count, meaning in rows)
    by_column = compared.different_by_column.items()
    print_table(({"different in": column, "students": count} for column, count in by_column), gap=True)
    click.echo()
    if count := compared.without_usable_number:
        print_sentences(
            f"{count:,} students would be published without a student number of their own, so they cannot be "
            "compared"
        )
    if count := compared.differ_in_leading_zeros:
        print_sentences(
            f"{count:,} of the missing differ from a new student only in leading zeros, which spreadsheets "
            "remove: export the file again and do not open it in one"
        )
    print_sentences(f"not compared: {', '.join(compared.not_compared)}")
    if students:
        listed = [
            *((number, "different", ", ".join(columns)) for number, columns in compared.different.items()),
            *((number, "new", None) for number in compared.new),
            *((number, "missing", None) for number in compared.missing),
        ]
        print_table(({"student": n, "": kind, "different in": names} for n, kind, names in listed), gap=True)


@district_command(json=True)
@click.option("--from", "first", type=Day(), required=True, help="The first night to replay.")
@click.option("--dry-run", is_flag=True, help="Only show the differences.")
def replay(deployment: Deployment, district_id: str, first: date, dry_run: bool, as_json: bool) -> None:
    """Recompute past nights from the landing with today's rules, without asking Qmlativ.

    Rewrites the district's history from that night to the last one, all or nothing. Shows for each night how
    many students differ from what was published.
    """
    from samegoal_pipelines.defs.errors import RunFailedError
    from samegoal_pipelines.operations.runs import run_replay

    facts: dict[str, Any] = {"district_id": district_id, "from": first, "dry_run": dry_run}
    facts |= {"reason": None, "written": False, "nights": [], "skipped": []}
    try:
        with reading_progress(deployment, district_id):
            replayed = run_replay(deployment, district_id, first=first, dry_run=dry_run)
    except RunFailedError as error:
        if as_json:
            print_json(facts | {"reason": "; ".join(filter(None, [error.reason, error.next_step]))})
        raise
    differing, nights = replayed.differing, replayed.nights
    looked_at = f"{counted(len(nights), 'night')} from {nights[0].night} to {nights[-1].night}"
    if not differing:
        summary = f"replayed {looked_at}: no difference; nothing was changed"
    elif dry_run:
        summary = f"{len(differing):,} of {looked_at} would differ; nothing was changed"
    else:
        summary = f"replayed {looked_at}: {len(differing):,} differ and were rewritten"
    click.echo(f"{district_id}: {summary}", err=True)
    if not as_json:
        _print_replay(replayed)
        return
    facts["written"] = replayed.written
    facts["skipped"] = [{"night": one.snapshot_date, "state": one.state} for one in replayed.skipped]
    for one in nights:
        counts, difference = asdict(one.counts), asdict(one.difference)
        facts["nights"].append(
            {"night": one.night, "differs": one.differs, **counts, "difference": difference}
        )
    print_json(facts)


def _print_replay(replayed: Replayed) -> None:
    differing = replayed.differing
    print_table(
        {"night": one.night, "students": one.counts.students, **one.difference.students} for one in differing
    )
    click.echo("" if differing else "no difference")
    for one in differing:
        flips = [
            f"{flip.students:,} from {flip.old_status} to {flip.new_status}"
            for flip in one.difference.transitions
        ]
        print_sentences(*([f"{one.night}: {', '.join(flips)}"] if flips else []))
    for night in replayed.skipped:
        print_sentences(f"{night.snapshot_date}: skipped: {night.state}, never published")
