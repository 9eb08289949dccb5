"""`districts verify`: ask Qmlativ whether a night would work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.exits import DONE, FAILED
from samegoal_pipelines.cli.terminal import print_json, print_sentences, print_table
from samegoal_pipelines.postgres.url import DatabaseURL

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.districts.registry import District
    from samegoal_pipelines.districts.verify import Step, Verification
    from samegoal_pipelines.transforms.entities import EntityCount

AT_ONCE = 4  # districts; each sends a few requests at once itself
_VERDICTS = {"ok": "ready", "warning": "ready, with warnings", "failed": "not ready"}


@click.command()
@click.argument("district_ids", metavar="[ID…]", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Verify every active district, one row each.")
@click.option(
    "--count",
    is_flag=True,
    help="Count the rows of every object now, instead of showing last night's counts.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def verify(
    deployment: Deployment, district_ids: Sequence[str], every: bool, count: bool, as_json: bool
) -> int:
    """Ask Qmlativ whether a night would work.

    Checks the token, the identity, entities, school years, fields, rows, and when the Integration Access
    expires. Exit status 1: a night would fail for at least one district. Warnings do not count.
    """
    from samegoal_pipelines.districts.errors import UnknownDistrictError

    if bool(district_ids) == every:
        raise click.UsageError("name the districts to verify, or use --all")
    if unverified := DatabaseURL.parse(deployment.database_url).unverified_hosts:
        click.echo(
            f"warning: the connection to Postgres on {', '.join(unverified)} does not check the server's "
            "certificate; add sslmode=verify-full (and sslrootcert, for a CA of your own) to "
            "SAMEGOAL_DATABASE_URL",
            err=True,
        )
    registry = deployment.registry
    districts, unknown = registry.list_active() if every else [], []
    for district_id in dict.fromkeys(district_ids):
        try:
            districts.append(registry.get(district_id))
        except UnknownDistrictError as error:
            unknown.append(str(error))
    results = []
    for result in _verifications(deployment, districts, count=count):
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


def _verifications(
    deployment: Deployment, districts: Sequence[District], *, count: bool
) -> Iterator[Verification]:
    """Yield results in the order of the districts, each as soon as it and all before it are done."""
    from samegoal_pipelines.districts.verify import verify as ask

    registry, landing = deployment.registry, deployment.landing
    local, now = deployment.settings.allow_local_sources, datetime.now(UTC)

    def asked(one: District) -> Verification:
        today = one.local_date(now)
        return ask(registry, one, today=today, landing=landing, allow_local=local, count_rows=count)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield from threads.map(asked, districts)


def _print_district(result: Verification) -> None:
    """Print everything about one district."""
    print_sentences([f"{result.district_id}, {result.name}: {_VERDICTS[result.state]}"])
    print_table(None, [[step.name, step.state, _lines(step)] for step in result.steps])
    if result.entities:
        click.echo()
        columns = ["entity", "granted", "counts", "enrollments", "students"]
        print_table(columns, [_entity_row(each) for each in result.entities])
    if result.objects:
        click.echo()
        counted = any(each.rows is not None for each in result.objects)
        print_table(
            ["object", *(["rows"] if counted else []), "fields"],
            [
                [
                    each.name,
                    *(["" if each.rows is None else each.rows] if counted else []),
                    f"{each.granted} of {each.fields}",
                ]
                for each in result.objects
            ],
        )
    if result.missing:
        click.echo("\nNot granted, and what you lose:")
        print_sentences(f"- {each.field}: {each.cost}" for each in result.missing)
    click.echo()


def _entity_row(each: EntityCount) -> list[Any]:
    answers = ["yes" if answer else "no" for answer in (each.granted, each.included)]
    return [each.label, *answers, "" if each.enrollments is None else each.enrollments, each.students or ""]


def _lines(step: Step, of: str = "") -> list[str]:
    return [f"{of}{step.outcome}", *([f"→ {step.next_step}"] if step.next_step else [])]


def _print_all(results: Sequence[Verification]) -> None:
    """Print one row per district, those that need attention first."""
    states = list(reversed(_VERDICTS))
    rows = []
    for result in sorted(results, key=lambda one: states.index(one.state)):
        wrong = [step for step in result.steps if step.state != "ok"]
        rows.append(
            [
                result.district_id,
                _VERDICTS[result.state],
                [line for step in wrong for line in _lines(step, f"{step.name}: ")],
            ]
        )
    if rows:
        print_table(["district", "verdict", "problems"], rows)
    counts = {state: sum(result.state == state for result in results) for state in states}
    summary = "; ".join(f"{counts[state]:,} {_VERDICTS[state]}" for state in states if counts[state])
    click.echo(summary or "no district is active")
