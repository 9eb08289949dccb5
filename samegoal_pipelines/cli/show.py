"""`districts list` and `districts show`: the registered districts and their state."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from samegoal_pipelines.cli.terminal import print_json, print_table

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.districts.standing import Standing
    from samegoal_pipelines.warehouse.snapshots import Snapshot

_SHOWN_IN_WORDS = ("active", "gate_limits", "show_restricted_contacts", "show_confidential_phones")
_COUNTED = ("enrolled", "pre_enrolled", "graduated", "inactive")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def list_districts(deployment: Deployment, as_json: bool) -> None:
    """List the registered districts with their last published night and state."""
    from samegoal_pipelines.districts.standing import all_standings

    found = deployment.registry.list()
    standings = all_standings(deployment.warehouse, datetime.now(UTC))
    if as_json:
        print_json(
            [
                {
                    **district.public_facts(),
                    "state": standings.state(district),
                    "last_published_night": standings.night(district),
                }
                for district in found
            ]
        )
        return
    if not found:
        click.echo("no district is registered yet; next: samegoal-pipelines districts add --help")
        return
    print_table(
        ["district", "name", "time zone", "access expires", "published", "state"],
        [
            [d.id, d.name, d.timezone, d.expires or "", standings.night(d) or "never", standings.state(d)]
            for d in found
        ],
    )


@click.command("show")
@click.argument("district_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def show_district(deployment: Deployment, district_id: str, as_json: bool) -> None:
    """Show one district's state and registration, without its secret.

    The state is its last published snapshot, the last attempt if it failed or is held, and its pause. The
    registration includes the gate's limits and which contacts are withheld.
    """
    from samegoal_pipelines.districts.standing import standing_of

    district = deployment.registry.get(district_id)
    standing = standing_of(deployment.warehouse, district, datetime.now(UTC))
    registration = district.public_facts()
    if as_json:
        print_json({**registration, **_standing_facts(standing)})
        return
    print_table(
        None,
        [
            *_standing_rows(standing),
            *(
                [name.replace("_", " "), fact]
                for name, fact in registration.items()
                if name not in _SHOWN_IN_WORDS and fact is not None
            ),
            ["restricted contacts", "shown" if district.show_restricted_contacts else "withheld"],
            ["confidential phones", "shown" if district.show_confidential_phones else "withheld"],
            *(
                [f"limit {name}", _limit(name, value) + (" (set)" if name in district.gate_limits else "")]
                for name, value in registration["gate_limits"].items()
            ),
        ],
    )


def _limit(name: str, value: float) -> str:
    from samegoal_pipelines.tables.limits import BY_NAME

    return BY_NAME[name].shown(value)


def _standing_rows(standing: Standing) -> list[list[str]]:
    """The district's state, for people."""
    rows = [["state", standing.state]]
    if standing.pause:
        pause = standing.pause
        why = f": {pause.reason}" if pause.reason else ""
        rows.append(["pause", f"from {pause.paused_from} to {pause.paused_to}{why}, set by {pause.set_by}"])
    published, trouble = standing.published, standing.in_the_way
    if published is None:
        never = f"never; next: samegoal-pipelines sync {standing.district.id}"
        rows.append(["last published", "never" if trouble else never])
    else:
        counts = ", ".join(f"{getattr(published, name):,} {name.replace('_', '-')}" for name in _COUNTED)
        rows += [
            ["last published", f"night of {published.snapshot_date}, on {_moment(standing, published)}"],
            ["students", f"{published.students:,}: {counts}"],
        ]
    if trouble:
        rows += [
            ["last attempt", f"{trouble.state}, night of {trouble.snapshot_date}"],
            ["because", trouble.reason or "no reason was recorded"],
            ["to do", _next_step(trouble)],
        ]
    return rows


def _standing_facts(standing: Standing) -> dict[str, Any]:
    """The district's state, for scripts."""
    published, trouble = standing.published, standing.in_the_way
    return {
        "state": standing.state,
        "pause": standing.pause and asdict(standing.pause),
        "last_published": published and published.facts(),
        "last_attempt": trouble
        and {
            **trouble.facts(),
            "reason": trouble.reason or "no reason was recorded",
            "next_step": _next_step(trouble),
        },
    }


def _moment(standing: Standing, published: Snapshot) -> str:
    """When it was published, by the district's clock."""
    moment = published.published_at or published.started_at
    return f"{moment.astimezone(ZoneInfo(standing.district.timezone)):%Y-%m-%d at %H:%M}"


def _next_step(attempt: Snapshot) -> str:
    from samegoal_pipelines.errors import fill_in
    from samegoal_pipelines.reporting.nightly_status import advice_about

    advice = advice_about(attempt.state, attempt.snapshot_date, attempt.next_step)
    return fill_in(advice or "", attempt.district_id, attempt.run_id)
