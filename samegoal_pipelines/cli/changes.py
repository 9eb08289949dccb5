"""`changes`: what changed from night to night."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.dates import Day
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.warehouse.changes import NightChanges, StatusChange
    from samegoal_pipelines.warehouse.session import StudentChange

NIGHTS = 14
KINDS = ("added", "status", "demographics", "parents", "removed")


@click.command()
@click.argument("district_id", metavar="ID")
@click.option(
    "--since",
    type=Day(),
    help=f"The first night to show. Default: the last {NIGHTS} nights.",
)
@click.option(
    "--students",
    is_flag=True,
    help="List the changed students by number. For a held night, those whose status or number would change.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def changes(
    deployment: Deployment, district_id: str, since: datetime | None, students: bool, as_json: bool
) -> None:
    """Show the students added, changed and removed each night, and why."""
    from samegoal_pipelines.warehouse.changes import changes_by_night

    deployment.registry.get(district_id)
    start = since.date() if since else None
    nights = changes_by_night(
        deployment.warehouse,
        district_id,
        since=start,
        last_nights=NIGHTS,
        students=students,
    )
    if students:
        last_published = max((n for n, night in enumerate(nights) if night.state == "published"), default=-1)
        nights = [
            # a hold before the last publication was compared with another snapshot
            _with_students(deployment, district_id, night) if n > last_published else night
            for n, night in enumerate(nights)
        ]
    if as_json:
        print_json(
            {"district_id": district_id, "since": start, "nights": [_facts(night) for night in nights]}
        )
    elif nights:
        _print(district_id, nights)
    elif start:
        click.echo(f"{district_id}: no night since {start}")
    else:
        click.echo(f"{district_id}: no night yet; next: samegoal-pipelines sync {district_id}")


def _with_students(deployment: Deployment, district_id: str, night: NightChanges) -> NightChanges:
    """Add the students whom a held night would change, if its rows are still landed."""
    from samegoal_pipelines.landing import LandingError

    if night.state != "held":
        return night
    from samegoal_pipelines.operations.held_students import students_of_hold

    try:
        listed = students_of_hold(deployment, district_id, night.snapshot_date, night.run_id)
    except LandingError:
        reason = f"{night.reason}; the held rows are no longer landed, so the students cannot be listed"
        return replace(night, reason=reason)
    return replace(night, listed=listed)


def _facts(night: NightChanges) -> dict[str, Any]:
    facts = asdict(night)
    if night.listed is None:
        del facts["listed"]
    return facts


def _print(district_id: str, nights: Sequence[NightChanges]) -> None:
    print_table(
        ["night", "state", "students", *KINDS],
        [
            [
                night.snapshot_date,
                night.state,
                night.students if night.state == "published" else "",
                *(night.counts.get(kind, "") for kind in KINDS),
            ]
            for night in nights
        ],
    )
    click.echo()
    sentences = [sentence for night in nights if (sentence := _sentence(night))]
    if not any(any(night.counts.values()) for night in nights):
        sentences.append(f"{district_id}: nothing changed")
    print_sentences(sentences)
    held_first = sorted(nights, key=lambda night: night.state != "held")
    listed = [(night.snapshot_date, one) for night in held_first for one in night.listed or ()]
    if listed:
        click.echo()
        print_table(
            ["night", "student", "change", "was", "is", "changed columns, or why"],
            [
                [
                    date,
                    one.student_number or f"StudentID {one.student_id}",
                    one.change,
                    one.old_status or "",
                    one.new_status or "",
                    "; ".join(filter(None, (", ".join(_column_words(one)), one.why))),
                ]
                for date, one in listed
            ],
        )


def _column_words(change: StudentChange) -> list[str]:
    """The changed columns, with the number that the student had before."""
    was = change.previous_number
    return [
        f"{name} (was {was})" if was and name == "student_number" else name for name in change.changed_columns
    ]


def _sentence(night: NightChanges) -> str:
    """Explain a night's numbers; empty if there is nothing to add."""
    if night.state != "published":
        released = f", later released by {night.released_by}" if night.released_by else ""
        reason = f": {night.reason}" if night.reason else ""
        return f"{night.snapshot_date}: {night.state}{released}{reason}"
    parts = [words for flip in night.flips if (words := _flip_words(flip))]
    if night.counts["removed"]:
        why = ", ".join(f"{students:,} {reason}" for reason, students in night.departures.items())
        parts.append(f"{night.counts['removed']:,} removed" + (f" ({why})" if why else ""))
    if night.carried_over:
        parts.append(
            f"{night.carried_over:,} carried over as last published, because their rows cannot be relied on"
        )
    if night.released_by:
        parts.append(f"released by {night.released_by}: {night.released_because}")
    return f"{night.snapshot_date}: {'; '.join(parts)}" if parts else ""


def _flip_words(flip: StatusChange) -> str:
    if flip.change == "added":
        return f"{flip.students:,} added as {flip.new_status}"
    if flip.change != "status":
        return ""
    if flip.old_status == flip.new_status:
        return f"{flip.students:,} still {flip.new_status}, with another enrollment, day or building"
    return f"{flip.students:,} from {flip.old_status} to {flip.new_status}"
