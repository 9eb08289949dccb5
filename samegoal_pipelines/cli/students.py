"""Commands about a district's students: `changes`, `forecast`, `explain`, `worklist` and `export`."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.commands import FOLDER, Day, district_command
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table
from samegoal_pipelines.printable import counted, on_one_line, shown

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.transforms.explanation import SeenEnrollment
    from samegoal_pipelines.warehouse.changes import NightChanges

NIGHTS = 14
CSV_COLUMNS = ("building", "student_number", "problem", "detail", "fix", "enrollment_id")

# -- past and coming changes --


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
        _print_changes(district_id, nights)
    else:
        when = f"since {since}" if since else f"yet; next: samegoal-pipelines sync {district_id}"
        click.echo(f"{district_id}: no night {when}")


def _with_students(deployment: Deployment, district_id: str, night: NightChanges) -> NightChanges:
    """Add the students whom a held night would change, if its rows are still landed."""
    from samegoal_pipelines.landing import LandingError
    from samegoal_pipelines.operations.explain import students_of_hold

    if night.state != "held":
        return night
    try:
        listed = students_of_hold(deployment, district_id, night.snapshot_date, night.run_id)
    except LandingError:
        reason = f"{night.reason}; the held rows are no longer landed, so the students cannot be listed"
        return replace(night, reason=reason)
    return replace(night, listed=listed)


def _print_changes(district_id: str, nights: Sequence[NightChanges]) -> None:
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
    print_sentences(*(f"{night.snapshot_date}: {said}" for night in nights if (said := _in_words(night))))
    if not any(any(night.counts.values()) for night in nights):
        print_sentences(f"{district_id}: nothing changed")
    held_first = sorted(nights, key=lambda night: night.state != "held")
    listed = ((night.snapshot_date, one) for night in held_first for one in night.listed or ())
    print_table(({"night": night, **student_cells(one)} for night, one in listed), gap=True)


def _in_words(night: NightChanges) -> str:
    """Explain a night's numbers; empty if there is nothing to add."""
    if night.state != "published":
        released = f", later released by {night.released_by}" if night.released_by else ""
        return f"{night.state}{released}" + (f": {night.reason}" if night.reason else "")
    said = []
    for flip in night.flips:
        if flip.change == "added":
            said.append(f"{flip.students:,} added as {flip.new_status}")
        elif flip.change == "status" and flip.old_status != flip.new_status:
            said.append(f"{flip.students:,} from {flip.old_status} to {flip.new_status}")
        elif flip.change == "status":
            said.append(
                f"{flip.students:,} still {flip.new_status}, with another enrollment, day or building"
            )
    if night.counts["removed"]:
        why = ", ".join(f"{students:,} {reason}" for reason, students in night.departures.items())
        said.append(f"{night.counts['removed']:,} removed" + (f" ({why})" if why else ""))
    if night.carried_over:
        rows = "because their rows cannot be relied on"
        said.append(f"{night.carried_over:,} carried over as last published, {rows}")
    if night.released_by:
        said.append(f"released by {night.released_by}: {night.released_because}")
    return "; ".join(said)


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
        since = f"changed since {found.night}, the last published night"
        print_sentences(f"{district_id}: {overdue} {since}; the next snapshot will show them")
    by = f"by {found.until}, according to the rows of the night {found.night}"
    print_sentences(f"{district_id}: " + (f"{by}:" if found.flips else f"no status changes {by}"))

    def statuses(old: str | None, new: str | None) -> dict[str, str]:
        return {"from": old or "no row", "to": new or "no row"}

    print_table(
        {"day": flip.day, **statuses(flip.old_status, flip.new_status), "students": flip.students}
        for flip in found.flips
    )
    if hold := found.held_from:
        print_sentences(f"the night {hold.night} will be held: {hold.reason}", f"to do: {hold.next_step}")
    if by_student:
        print_table(
            {
                "student number": one["student_number"] or f"StudentID {one['student_id']}",
                "day": one["day"],
                **statuses(one["old_status"], one["new_status"]),
            }
            for one in found.students
        )


# -- one student --


@district_command(json=True)
@click.argument("student_number")
@click.option("--on", type=Day(), help="Explain the snapshot that was published for this date.")
def explain(
    deployment: Deployment, district_id: str, student_number: str, on: date | None, as_json: bool
) -> None:
    """Explain why a student has the published status, or why the student is not published.

    Shows every enrollment and the rule that decided. For an absent student, it names one cause and one next
    step.

    STUDENT_NUMBER is Qmlativ's StudentNumber. It is text, so include leading zeros.
    """
    from samegoal_pipelines.operations.explain import explain_student

    answer = explain_student(deployment, district_id, student_number, on)
    if as_json:
        print_json(asdict(answer))
        return
    print_sentences(f"{answer.district_id}, night of {answer.night}")
    print_sentences(*(f"note: {remark}" for remark in answer.remarks))
    for student in answer.students:
        click.echo()
        print_sentences(f"student number {shown(answer.student_number)}, StudentID {student['student_id']}")
        print_sentences(*student["in_words"])
        if cause := student["cause"]:
            print_sentences(f"cause: {cause.sentence}", f"next step: {cause.next_step}")
        oldest_first = sorted(student["enrollments"] or (), key=lambda one: one.first_day or date.max)
        print_table(map(_row, oldest_first), gap=True)


def _row(seen: SeenEnrollment) -> dict[str, Any]:
    ended = "unreadable" if {"EndDate", "WithdrawalDate"} & set(seen.unreadable) else "open"
    begun = "unreadable" if "StartDate" in seen.unreadable else "none"
    return {
        "enrollment": str(seen.enrollment_id or "unreadable"),
        "first day": seen.first_day or begun,
        "last day": seen.last_day or ended,
        "code": seen.withdrawal_code,
        "year": seen.school_year,
        "school": f"{seen.school or ''}{'' if seen.is_default_entity else ' (not home)'}".strip(),
        "outcome": f"{seen.words}{'; decides' if seen.decides else ''}",
    }


# -- files --


@district_command(json=True)
@click.option("--csv", "as_csv", is_flag=True, help="Print the whole list as CSV, for the registrar.")
def worklist(deployment: Deployment, district_id: str, as_csv: bool, as_json: bool) -> None:
    """Show how many enrollments a registrar should correct in Qmlativ, by school and problem.

    The file for the registrar names students by number:

    \b
        samegoal-pipelines worklist ID --csv > worklist.csv
    """  # noqa: D301  # click wants the backspace itself
    from samegoal_pipelines.warehouse.export import csv_cell
    from samegoal_pipelines.warehouse.worklist import read_worklist

    deployment.registry.get(district_id)
    rows = read_worklist(deployment.warehouse, district_id)
    if as_json:
        print_json(rows)
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows([csv_cell(row[column]) for column in CSV_COLUMNS] for row in rows)
    elif rows:
        counts = Counter((row["building"], row["problem"]) for row in rows)
        print_table(
            {"building": building, "problem": problem, "enrollments": count}
            for (building, problem), count in counts.items()
        )
    else:
        click.echo(f"{district_id}: nothing to correct")


@district_command(json=True)
@click.option("--to", "folder", required=True, type=FOLDER, help="Folder to write both files to.")
def export(deployment: Deployment, district_id: str, folder: Path, as_json: bool) -> None:
    """Write students.csv in SameGoal's Generic CSV layout, and parents.csv, from what is published.

    Both files are replaced or neither. The table disclosures records who exported what, and when.
    """
    from samegoal_pipelines.warehouse.export import export_district

    deployment.registry.get(district_id)
    by = deployment.settings.operator
    exported = export_district(deployment.warehouse, district_id, folder, exported_by=by)
    if as_json:
        print_json(asdict(exported))
        return
    for one in exported.excluded:
        student = one.student_number or f"StudentID {one.student_id}"
        click.echo(on_one_line(f"excluded: {student}: {', '.join(one.reasons)}"), err=True)
    rows = f"{counted(exported.students, 'student')} and {counted(exported.parents, 'parent row')}"
    excluded = f"; {counted(len(exported.excluded), 'student')} excluded" if exported.excluded else ""
    click.echo(
        f"{district_id}: {rows} of the snapshot {exported.snapshot_date} written to {exported.file} and "
        f"{exported.parents_file.name}{excluded}"
    )
