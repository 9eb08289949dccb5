"""`changes` and `forecast`: what changed from night to night, and what will if nobody edits anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.commands import Day, district_command
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.warehouse.changes import NightChanges

NIGHTS = 14


@district_command(json=True)
@click.option("--since", type=Day(), help=f"The first night to show. Default: the last {NIGHTS} nights.")
@click.option("--students", is_flag=True, help="List the changed students by number.")
def changes(
    deployment: Deployment, district_id: str, since: date | None, students: bool, as_json: bool
) -> None:
    """Show the students added, changed and removed each night, and why.

    For a held night, --students lists those whose status or number would change.
    """
    from samegoal_pipelines.warehouse.changes import changes_by_night

    deployment.registry.get(district_id)
    nights = changes_by_night(
        deployment.warehouse, district_id, since=since, last_nights=NIGHTS, students=students
    )
    if students:
        last = max((n for n, night in enumerate(nights) if night.state == "published"), default=-1)
        for n in range(last + 1, len(nights)):  # an older hold was compared with another snapshot
            nights[n] = _with_students(deployment, district_id, nights[n])
    if as_json:
        facts = [asdict(night) for night in nights]
        for night in facts:
            if night["listed"] is None:
                del night["listed"]
        print_json({"district_id": district_id, "since": since, "nights": facts})
    elif nights:
        _print(district_id, nights)
    elif since:
        click.echo(f"{district_id}: no night since {since}")
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


def _print(district_id: str, nights: Sequence[NightChanges]) -> None:
    from samegoal_pipelines.cli.nights import student_cells
    from samegoal_pipelines.tables.warehouse import CHANGES

    print_table(
        {
            "night": night.snapshot_date,
            "state": night.state,
            "students": night.students if night.state == "published" else None,
            **{kind: night.counts.get(kind) for kind in CHANGES},
        }
        for night in nights
    )
    click.echo()
    print_sentences(*filter(None, map(_sentence, nights)))
    if not any(any(night.counts.values()) for night in nights):
        print_sentences(f"{district_id}: nothing changed")
    held_first = sorted(nights, key=lambda night: night.state != "held")
    listed = ((night.snapshot_date, one) for night in held_first for one in night.listed or ())
    print_table(({"night": night, **student_cells(one)} for night, one in listed), gap=True)


def _sentence(night: NightChanges) -> str:
    """Explain a night's numbers; empty if there is nothing to add."""
    if night.state != "published":
        released = f", later released by {night.released_by}" if night.released_by else ""
        reason = f": {night.reason}" if night.reason else ""
        return f"{night.snapshot_date}: {night.state}{released}{reason}"
    parts = [*_flips(night)]
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


def _flips(night: NightChanges) -> Iterator[str]:
    for flip in night.flips:
        if flip.change == "added":
            yield f"{flip.students:,} added as {flip.new_status}"
        elif flip.change == "status" and flip.old_status != flip.new_status:
            yield f"{flip.students:,} from {flip.old_status} to {flip.new_status}"
        elif flip.change == "status":
            yield f"{flip.students:,} still {flip.new_status}, with another enrollment, day or building"


@district_command(json=True)
@click.option("--days", default=14, type=click.IntRange(1, 366), help="How many days to look ahead.")
@click.option("--students", "by_student", is_flag=True, help="Also list the students by number.")
def forecast(deployment: Deployment, district_id: str, days: int, by_student: bool, as_json: bool) -> None:
    """Show which statuses will change on which day if nobody edits anything in Qmlativ.

    Also names the first night that will be held because of these changes.
    """
    from samegoal_pipelines.reporting.forecast import forecast_district
    from samegoal_pipelines.reporting.nightly_status import read_district

    one = read_district(deployment.warehouse, datetime.now(UTC), district_id)
    found = forecast_district(deployment.warehouse, deployment.landing, one, days)
    if as_json:
        facts = asdict(found)
        if not by_student:
            del facts["students"]
        print_json(facts)
        return
    if found.overdue:
        overdue = "1 status has" if found.overdue == 1 else f"{found.overdue:,} statuses have"
        print_sentences(
            f"{district_id}: {overdue} changed since {found.night}, the last published night; the next "
            "snapshot will show them"
        )
    rows_of_then = f"by {found.until}, according to the rows of the night {found.night}"
    print_sentences(
        f"{district_id}: " + (f"{rows_of_then}:" if found.flips else f"no status changes {rows_of_then}")
    )
    print_table(
        {"day": one.day, **_statuses(one.old_status, one.new_status), "students": one.students}
        for one in found.flips
    )
    if hold := found.held_from:
        print_sentences(f"the night {hold.night} will be held: {hold.reason}", f"to do: {hold.next_step}")
    if by_student:
        print_table(
            {
                "student number": one["student_number"] or f"StudentID {one['student_id']}",
                "day": one["day"],
                **_statuses(one["old_status"], one["new_status"]),
            }
            for one in found.students
        )


def _statuses(old: str | None, new: str | None) -> dict[str, str]:
    return {"from": old or "no row", "to": new or "no row"}
