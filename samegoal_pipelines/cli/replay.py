"""`replay`: recompute past nights with today's rules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.dates import Night
from samegoal_pipelines.cli.exits import DONE, FAILED
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table, reading_progress

if TYPE_CHECKING:
    from samegoal_pipelines.operations.runs import ReplayOutcome
    from samegoal_pipelines.warehouse.replay import ReplayedNight

DIFFERENCES = ("added", "removed", "status", "demographics", "parents", "changes", "departures")


@click.command()
@click.argument("district_id", metavar="ID")
@click.option(
    "--from",
    "first",
    type=Night(),
    required=True,
    help="The first night to replay. All later published nights are replayed too.",
)
@click.option("--dry-run", is_flag=True, help="Only show the differences.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_context
def replay(context: click.Context, district_id: str, first: datetime, dry_run: bool, as_json: bool) -> int:
    """Recompute past nights from the landing with today's rules, without asking Qmlativ.

    Rewrites the district's history from that night on, all or nothing. Shows for each night how many students
    differ from what was published.
    """
    from samegoal_pipelines.operations.runs import run_replay

    with reading_progress(context.obj, district_id):
        replayed = run_replay(
            context.obj, district_id, first=first.date(), dry_run=dry_run, debug=context.meta["debug"]
        )
    click.echo(replayed.line(), err=True)
    if as_json:
        print_json(replayed.facts())
    else:
        _print(replayed)
    return DONE if replayed.outcome else FAILED


def _print(replayed: ReplayOutcome) -> None:
    if replayed.differing:
        print_table(
            ["night", "students", *DIFFERENCES],
            [
                [
                    night.night,
                    night.counts.students,
                    *(getattr(night.difference, part) for part in DIFFERENCES),
                ]
                for night in replayed.differing
            ],
        )
        click.echo()
        print_sentences(_transitions(replayed.differing))
    elif replayed.outcome:
        click.echo("no difference")
    print_sentences(
        [f"{one.snapshot_date}: skipped: {one.state}, never published" for one in replayed.skipped]
    )


def _transitions(nights: Sequence[ReplayedNight]) -> list[str]:
    sentences = []
    for night in nights:
        parts = [
            f"{one.students:,} from {one.old_status} to {one.new_status}"
            for one in night.difference.transitions
        ]
        if parts:
            sentences.append(f"{night.night}: {', '.join(parts)}")
    return sentences
