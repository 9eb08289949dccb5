"""`districts verify`: ask Qmlativ whether a night would work."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.commands import DONE, FAILED, command
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.districts.registry import District
    from samegoal_pipelines.districts.verify import Step, Verification

AT_ONCE = 4  # districts; each sends a few requests at once itself
_VERDICTS = {"ok": "ready", "warning": "ready, with warnings", "failed": "not ready"}


@command(json=True)
@click.argument("district_ids", metavar="[ID…]", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Verify every active district, one row each.")
@click.option("--count", is_flag=True, help="Count all rows now, instead of showing last night's counts.")
def verify(
    deployment: Deployment, district_ids: Sequence[str], every: bool, count: bool, as_json: bool
) -> int:
    """Ask Qmlativ whether a night would work.

    Checks the token, the identity, entities, school years, fields, rows, and when the Integration Access
    expires. Exit status 1: a night would fail for at least one district. Warnings do not count.
    """
    from samegoal_pipelines.districts.errors import UnknownDistrictError
    from samegoal_pipelines.districts.verify import verify as verify_district
    from samegoal_pipelines.postgres.url import DatabaseURL

    if bool(district_ids) == every:
        raise click.UsageError("name the districts to verify, or use --all")
    if unverified := DatabaseURL.parse(deployment.database_url).unverified_hosts:
        click.echo(
            f"warning: the connection to Postgres on {', '.join(unverified)} does not check the server's "
            "certificate; add sslmode=verify-full (and sslrootcert, for a CA of your own) to "
            "SAMEGOAL_DATABASE_URL",
            err=True,
        )
    registry, landing, now = deployment.registry, deployment.landing, datetime.now(UTC)
    districts, unknown = registry.list_active() if every else [], []
    for district_id in dict.fromkeys(district_ids):
        try:
            districts.append(registry.get(district_id))
        except UnknownDistrictError as error:
            unknown.append(str(error))

    def ask(one: District) -> Verification:
        return verify_district(registry, one, landing, one.local_date(now), count_rows=count)

    results = []
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for result in threads.map(ask, districts):  # each as soon as it and all before it are done
            results.append(result)
            if not as_json and not every:
                _print_district(result)
    if as_json:
        print_json([result.facts() for result in results])
    elif every:
        _print_all(results)
    for line in unknown:
        click.echo(f"error: {line}", err=True)
    return DONE if not unknown and all(result.ok for result in results) else FAILED


def _print_district(result: Verification) -> None:
    print_sentences(f"{result.district_id}, {result.name}: {_VERDICTS[result.state]}")
    steps = [{"step": step.name, "state": step.state, "outcome": _lines(step)} for step in result.steps]
    print_table(steps, header=False)
    yes_no = {True: "yes", False: "no"}
    entities = (
        {
            "entity": each.label,
            "granted": yes_no[each.granted],
            "counts": yes_no[each.included],
            "enrollments": each.enrollments,
            "students": each.students or None,
        }
        for each in result.entities
    )
    print_table(entities, gap=True)
    objects = (
        {"object": each.name, "rows": each.rows, "fields": f"{each.granted} of {each.fields}"}
        for each in result.objects
    )
    print_table(objects, gap=True)
    if result.missing:
        click.echo("\nNot granted, and what you lose:")
        print_sentences(*(f"- {each.field}: {each.cost}" for each in result.missing))
    click.echo()


def _lines(step: Step, of: str = "") -> list[str]:
    return [f"{of}{step.outcome}", *([f"→ {step.next_step}"] if step.next_step else [])]


def _print_all(results: Sequence[Verification]) -> None:
    """Print one row per district, those that need attention first."""
    states = list(reversed(_VERDICTS))
    rows = []
    for result in sorted(results, key=lambda one: states.index(one.state)):
        wrong = [step for step in result.steps if step.state != "ok"]
        problems = [line for step in wrong for line in _lines(step, f"{step.name}: ")]
        verdict = _VERDICTS[result.state]
        rows.append({"district": result.district_id, "verdict": verdict, "problems": problems})
    print_table(rows)
    counts = {state: sum(result.state == state for result in results) for state in states}
    summary = "; ".join(f"{counts[state]:,} {_VERDICTS[state]}" for state in states if counts[state])
    click.echo(summary or "no district is active")
