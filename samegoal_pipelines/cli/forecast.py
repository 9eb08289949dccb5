"""`forecast`: which statuses will change on which day if nobody edits anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table

if TYPE_CHECKING:
    import pandas as pd

    from samegoal_pipelines.deployment import Deployment

NO_ROW = "no row"


@click.command()
@click.argument("district_id", metavar="ID")
@click.option(
    "--days", default=14, show_default=True, type=click.IntRange(1, 366), help="How many days to look ahead."
)
@click.option("--students", "by_student", is_flag=True, help="Also list the students by number.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def forecast(deployment: Deployment, district_id: str, days: int, by_student: bool, as_json: bool) -> None:
    """Show which statuses will change on which day if nobody edits anything in Qmlativ.

    Also names the first night that will be held because of these changes.
    """
    from samegoal_pipelines.operations.forecast import forecast_district
    from samegoal_pipelines.transforms.forecast import count_flips

    found = forecast_district(deployment, district_id, days)
    counted = _rows(count_flips(found.flips))
    listed = _rows(found.flips)
    if as_json:
        facts = {
            "district_id": district_id,
            "night": found.night,
            "until": found.until,
            "days": days,
            "flips": counted,
            "overdue": found.overdue,
            "held_from": found.hold and asdict(found.hold),
        }
        print_json({**facts, "students": listed} if by_student else facts)
        return
    rows_of_then = f"by {found.until}, according to the rows of the night {found.night}"
    if found.overdue:
        overdue = "1 status has" if found.overdue == 1 else f"{found.overdue:,} statuses have"
        print_sentences(
            [
                f"{district_id}: {overdue} changed since {found.night}, the last published "
                "night; the next snapshot will show them"
            ]
        )
    if counted:
        print_sentences([f"{district_id}: {rows_of_then}:"])
        rows = [[flip["day"], *_statuses(flip), flip["students"]] for flip in counted]
        print_table(["day", "from", "to", "students"], rows)
    else:
        print_sentences([f"{district_id}: no status changes {rows_of_then}"])
    if found.hold:
        print_sentences(
            [
                f"the night {found.hold.night} will be held: {found.hold.reason}",
                f"to do: {found.hold.next_step}",
            ]
        )
    if by_student:
        print_table(
            ["student number", "day", "from", "to"],
            [[_name(flip), flip["day"], *_statuses(flip)] for flip in listed],
        )


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's rows for people and scripts; missing values are None."""
    plain = frame.astype(object)
    return list(plain.where(plain.notna(), None).to_dict(orient="records"))


def _statuses(flip: dict[str, Any]) -> list[str]:
    return [flip["old_status"] or NO_ROW, flip["new_status"] or NO_ROW]


def _name(flip: dict[str, Any]) -> str:
    return flip["student_number"] or f"StudentID {flip['student_id']}"
