"""`explain`: why a student has the published status."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.dates import Day
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.operations.explain import Answer
    from samegoal_pipelines.transforms.explanation import SeenEnrollment


@click.command()
@click.argument("district_id", metavar="ID")
@click.argument("student_number")
@click.option("--on", type=Day(), help="Explain the snapshot that was published for this date.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def explain(
    deployment: Deployment, district_id: str, student_number: str, on: datetime | None, as_json: bool
) -> None:
    """Explain why a student has the published status, or why the student is not published.

    Shows every enrollment and the rule that decided. For an absent student, it names one cause and one next
    step.

    STUDENT_NUMBER is Qmlativ's StudentNumber. It is text, so include leading zeros.
    """
    from samegoal_pipelines.operations.explain import explain_student

    answer = explain_student(deployment, district_id, student_number, on.date() if on else None)
    if as_json:
        print_json(answer.facts())
    else:
        _print(answer)


def _print(answer: Answer) -> None:
    from samegoal_pipelines.operations.explain import shown

    print_sentences([f"{answer.district_id}, night of {answer.night}"])
    for remark in answer.remarks:
        print_sentences([f"note: {remark}"])
    for student in answer.students:
        click.echo()
        print_sentences([f"student number {shown(answer.student_number)}, StudentID {student.student_id}"])
        print_sentences(student.published_sentences())
        print_sentences(student.decision_sentences())
        if student.cause:
            print_sentences([f"cause: {student.cause.sentence}", f"next step: {student.cause.next_step}"])
        if student.explanation and student.explanation.enrollments:
            click.echo()
            print_table(
                ["enrollment", "first day", "last day", "code", "year", "school", "outcome"],
                [_row(seen) for seen in sorted(student.explanation.enrollments, key=_first_day)],
            )


def _first_day(seen: SeenEnrollment) -> date:
    return seen.first_day or date.max


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
