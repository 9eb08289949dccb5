"""`erase-student`: remove one student for good."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.exits import DONE
from samegoal_pipelines.cli.terminal import print_json, print_table

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment


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
) -> int:
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
        return DONE
    act = operation.erase_student if yes else operation.holdings
    found = act(deployment, district_id, student_number, student_id)
    if as_json:
        print_json({"district_id": district_id, "erased": yes, **asdict(found)})
    else:
        print_table(
            ["erased" if yes else "would be erased", "how many"],
            [
                *([f"rows of {name}", count] for name, count in sorted(found.rows.items())),
                ["rows of landed files", found.landed_rows],
                ["landed files rewritten", found.files],
                ["unreadable landed files deleted", found.unreadable],
            ],
        )
    if yes:
        click.echo(
            f"{district_id}: erased; later nights drop the student. A held night can no longer be released: "
            "run it again",
            err=as_json,
        )
    else:
        click.echo(
            f"{district_id}: nothing is erased yet; to erase all of this permanently, add --yes", err=True
        )
    return DONE
