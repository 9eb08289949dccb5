"""`districts preview`: what the next night would publish, beside what SameGoal has today."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.dates import Night
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table, reading_progress

if TYPE_CHECKING:
    from samegoal_pipelines.transforms.students_csv import Comparison


@click.command()
@click.argument("district_id", metavar="ID")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What SameGoal has today: a CSV file in SameGoal's layout, like the students.csv of `export`.",
)
@click.option("--students", is_flag=True, help="List the students by number.")
@click.option(
    "--today", type=Night(), help="Classify as of this date. Default: today's date in the district."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_context
def preview(
    context: click.Context,
    district_id: str,
    against: Path | None,
    students: bool,
    today: datetime | None,
    as_json: bool,
) -> int:
    """Show what the next night would publish. Nothing is published or recorded.

    With --against, the command compares it with a file of the students whom SameGoal has today: who is new,
    missing or different, and in which columns. It never prints what stands in a cell.

    Exit status 3: the gate would hold the night.
    """
    from samegoal_pipelines.cli import nights
    from samegoal_pipelines.operations.preview import compare_with, read_students_file
    from samegoal_pipelines.operations.runs import run_dry

    file = read_students_file(district_id, against) if against else None
    with reading_progress(context.obj, district_id):
        day = today.date() if today else None
        tried = run_dry(context.obj, district_id, today=day, debug=context.meta["debug"])
    click.echo(nights.line(tried), err=True)
    compared = compare_with(context.obj, tried, file) if file else None
    if as_json:
        facts = nights.outcome_facts(tried, students=students)
        print_json({**facts, "comparison": compared and _facts(compared, students=students)})
        return nights.exit_status([tried])
    nights.print_outcomes([tried], context.obj.registry.list())
    if compared:
        _print(compared, students=students)
    elif students:
        click.echo()
        nights.print_students([tried])
    return nights.exit_status([tried])


def _counts(compared: Comparison) -> dict[str, int]:
    return {
        "same": compared.same,
        "different": len(compared.different),
        "new": len(compared.new),
        "missing": len(compared.missing),
    }


_MEANINGS = {
    "same": "as in the file",
    "different": "in a column at least",
    "new": "would be published, and not in the file",
    "missing": "in the file, and would not be published",
}


def _facts(compared: Comparison, *, students: bool) -> dict[str, Any]:
    """For scripts."""
    facts = {
        "students_in_file": compared.in_file,
        **_counts(compared),
        "different_by_column": compared.by_column,
        "not_compared": list(compared.not_compared),
        "without_usable_number": compared.unusable,
        "differ_in_leading_zeros": compared.without_zeros,
    }
    listed = {name: getattr(compared, name) for name in ("new", "missing", "different")}
    return facts | ({"students": listed} if students else {})


def _print(compared: Comparison, *, students: bool) -> None:
    click.echo()
    print_sentences([f"compared with {compared.in_file:,} students in the file:"])
    counts = _counts(compared)
    print_table(["", "students", ""], [[name, counts[name], _MEANINGS[name]] for name in counts])
    if compared.different:
        click.echo()
        print_table(["different in", "students"], [[*each] for each in compared.by_column.items()])
    click.echo()
    if compared.unusable:
        print_sentences(
            [
                f"{compared.unusable:,} students would be published without a student number of their own, "
                "so they cannot be compared"
            ]
        )
    if compared.without_zeros:
        print_sentences(
            [
                f"{compared.without_zeros:,} of the missing differ from a new student only in leading zeros, "
                "which spreadsheets remove: export the file again and do not open it in one"
            ]
        )
    print_sentences([f"not compared: {', '.join(compared.not_compared)}"])
    if students and (rows := _rows(compared)):
        click.echo()
        print_table(["student", "", "different in"], rows)


def _rows(compared: Comparison) -> list[list[str]]:
    rows = [[number, "different", ", ".join(columns)] for number, columns in compared.different.items()]
    for name in ("new", "missing"):
        rows += [[number, name, ""] for number in getattr(compared, name)]
    return rows
