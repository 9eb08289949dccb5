"""`explain`, `worklist`, `export` and `erase-student`: commands about single students."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.dates import Day
from samegoal_pipelines.cli.districts import print_erasure
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table
from samegoal_pipelines.printable import counted, on_one_line

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.operations.explain import Answer
    from samegoal_pipelines.transforms.explanation import SeenEnrollment

CSV_COLUMNS = ("building", "student_number", "problem", "detail", "fix", "enrollment_id")


@click.command()
@click.argument("district_id", metavar="ID")
@click.argument("student_number")
@click.option("--on", type=Day(), help="Explain the snapshot that was published for this date.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
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
        print_json(answer.facts())
    else:
        _print(answer)


def _print(answer: Answer) -> None:
    from samegoal_pipelines.districts.names import shown

    print_sentences([f"{answer.district_id}, night of {answer.night}"])
    print_sentences(f"note: {remark}" for remark in answer.remarks)
    for student in answer.students:
        click.echo()
        print_sentences([f"student number {shown(answer.student_number)}, StudentID {student.student_id}"])
        print_sentences([*student.published_sentences(), *student.decision_sentences()])
        if student.cause:
            print_sentences([f"cause: {student.cause.sentence}", f"next step: {student.cause.next_step}"])
        if student.explanation and student.explanation.enrollments:
            click.echo()
            seen = sorted(student.explanation.enrollments, key=lambda one: one.first_day or date.max)
            columns = ["enrollment", "first day", "last day", "code", "year", "school", "outcome"]
            print_table(columns, [_row(one) for one in seen])


def _row(seen: SeenEnrollment) -> list[str]:
    ended = "unreadable" if {"EndDate", "WithdrawalDate"} & set(seen.unreadable) else "open"
    begun = "unreadable" if "StartDate" in seen.unreadable else "none"
    return [
        str(seen.enrollment_id or "unreadable"),
        str(seen.first_day or begun),
        str(seen.last_day or ended),
        seen.withdrawal_code or "",
        seen.school_year or "",
        f"{seen.school or ''}{'' if seen.is_default_entity else ' (not home)'}".strip(),
        f"{seen.words}{'; decides' if seen.decides else ''}",
    ]


@click.command()
@click.argument("district_id", metavar="ID")
@click.option("--csv", "as_csv", is_flag=True, help="Print the whole list as CSV, for the registrar.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
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
        counts = Counter((row["building"] or "", row["problem"]) for row in rows)
        print_table(["building", "problem", "enrollments"], [[*key, count] for key, count in counts.items()])
    else:
        click.echo(f"{district_id}: nothing to correct")


@click.command()
@click.argument("district_id", metavar="ID")
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write students.csv and parents.csv to.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
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
    for student in exported.excluded:
        click.echo(on_one_line(f"excluded: {student.label}: {', '.join(student.reasons)}"), err=True)
    rows = f"{counted(exported.students, 'student')} and {counted(exported.parents, 'parent row')}"
    excluded = f"; {counted(len(exported.excluded), 'student')} excluded" if exported.excluded else ""
    click.echo(
        f"{district_id}: {rows} of the snapshot {exported.snapshot_date} written to {exported.file} and "
        f"{exported.parents_file.name}{excluded}"
    )


@click.command("erase-student")
@click.argument("district_id", metavar="ID")
@click.argument("student_number")
@click.option("--student-id", type=int, help="Qmlativ's StudentID, if several students have this number.")
@click.option("--yes", is_flag=True, help="Erase. Without it, only show what would be erased.")
@click.option("--undo", is_flag=True, help="Let later nights publish the student again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def erase_student(
    deployment: Deployment,
    district_id: str,
    student_number: str,
    student_id: int | None,
    yes: bool,
    undo: bool,
    as_json: bool,
) -> None:
    """Remove a student permanently: rows, history, changes, worklist and landed rows.

    Parents go with the student if they are no other student's. A marker without personal data stays, and
    later nights drop the student right after reading. Exported files and backups are your responsibility. If
    the command is interrupted, run it again.
    """
    from samegoal_pipelines.operations import erase_student as operation

    if undo:
        if yes or student_id is not None:
            raise click.UsageError("--undo takes neither --yes nor --student-id")
        operation.lift(deployment, district_id, student_number)
        click.echo(f"{district_id}: the marker is removed; the next night publishes the student again")
        return
    act = operation.erase_student if yes else operation.holdings
    found = act(deployment, district_id, student_number, student_id)
    others = {
        "rows of landed files": found.landed_rows,
        "landed files rewritten": found.files,
        "unreadable landed files deleted": found.unreadable,
    }
    print_erasure(district_id, asdict(found), others, yes=yes, as_json=as_json)
    what = "nothing is erased yet; to erase all of this permanently, add --yes"
    if yes:
        what = "erased; later nights drop the student. A held night can no longer be released: run it again"
    click.echo(f"{district_id}: {what}", err=as_json or not yes)
