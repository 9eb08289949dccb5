"""`export`: what is published, as files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.terminal import print_json
from samegoal_pipelines.printable import counted, on_one_line

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment


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
    exported = export_district(
        deployment.warehouse, district_id, folder, exported_by=deployment.settings.operator
    )
    if as_json:
        print_json(asdict(exported))
        return
    for student in exported.excluded:
        click.echo(on_one_line(f"excluded: {student.label}: {', '.join(student.reasons)}"), err=True)
    rows = f"{counted(exported.students, 'student')} and {counted(exported.parents, 'parent row')}"
    click.echo(
        f"{district_id}: {rows} of the snapshot {exported.snapshot_date} "
        f"written to {exported.file} and {exported.parents_file.name}"
        + (f"; {counted(len(exported.excluded), 'student')} excluded" if exported.excluded else "")
    )
