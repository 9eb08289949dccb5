"""`districts erase` and `erase-student`: remove a district or one student permanently."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.commands import district_command
from samegoal_pipelines.cli.terminal import print_json, print_table

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment

YES = click.Option(["--yes"], is_flag=True, help="Erase. Without it, only show what would be erased.")


@district_command("erase", params=[YES], json=True)
def erase_district(deployment: Deployment, district_id: str, yes: bool, as_json: bool) -> None:
    """Remove a district permanently: rows, history, credentials, landed files and partition.

    A record of counts, time and operator stays, and so does Dagster's record of past runs, which names the
    district but no student. Backups are your responsibility. If the command is interrupted, run it again.
    """
    from samegoal_pipelines.operations import erase

    found = erase.erase_district(deployment, district_id, dry_run=not yes)
    others = {"landed files": found.files, "partitions in Dagster": int(found.partition)}
    done = (
        f"recorded as done by {deployment.settings.operator}. Dagster's record of past runs still names the "
        "district, with counts but no student"
    )
    _print(district_id, asdict(found), others, done if yes else None, as_json)


@district_command(params=[click.Argument(["student_number"]), YES], json=True)
@click.option("--student-id", type=int, help="Qmlativ's StudentID, if several students have this number.")
@click.option("--undo", is_flag=True, help="Let later nights publish the student again.")
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
    from samegoal_pipelines.operations import erase

    if undo:
        if yes or student_id is not None:
            raise click.UsageError("--undo takes neither --yes nor --student-id")
        erase.lift(deployment, district_id, student_number)
        click.echo(f"{district_id}: the marker is removed; the next night publishes the student again")
        return
    rows, landed = erase.erase_student(deployment, district_id, student_number, student_id, dry_run=not yes)
    facts = {"rows": rows, "files": landed.files, "landed_rows": landed.rows, "unreadable": landed.deleted}
    others = {
        "rows of landed files": landed.rows,
        "landed files rewritten": landed.files,
        "unreadable landed files deleted": landed.deleted,
    }
    done = "later nights drop the student. A held night can no longer be released: run it again"
    _print(district_id, facts, others, done if yes else None, as_json)


def _print(
    district_id: str, facts: dict[str, Any], others: dict[str, int], done: str | None, as_json: bool
) -> None:
    """Print what is or would be erased. `done`: what to know after the erasure."""
    if as_json:
        print_json({"district_id": district_id, "erased": done is not None, **facts})
    else:
        rows = {f"rows of {name}": count for name, count in sorted(facts["rows"].items())}
        what = "erased" if done else "would be erased"
        print_table({what: name, "how many": count} for name, count in (rows | others).items())
    said = f"erased; {done}" if done else "nothing is erased yet; to erase all of this permanently, add --yes"
    click.echo(f"{district_id}: {said}", err=as_json or not done)
