"""`explain`, `worklist` and `export`: commands that name single students."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.commands import FOLDER, Day, district_command
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table
from samegoal_pipelines.printable import counted, on_one_line, shown

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.operations.explain import Answer
    from samegoal_pipelines.transforms.explanation import SeenEnrollment

CSV_COLUMNS = ("building", "student_number", "problem", "detail", "fix", "enrollment_id")


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
    else:
        _print(answer)


def _print(answer: Answer) -> None:
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
