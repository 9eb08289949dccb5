"""`worklist`: what a registrar should correct in Qmlativ."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment

CSV_COLUMNS = ("building", "student_number", "problem", "detail", "fix", "enrollment_id")


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
        print_sentences([f"{district_id}: nothing to correct"])
