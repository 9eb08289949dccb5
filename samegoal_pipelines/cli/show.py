"""`districts list` and `districts show`: the registered districts and their state."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.terminal import print_json, print_table

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment

_SHOWN_IN_WORDS = (
    "access_name",
    "active",
    "base_url",
    "expiration",
    "expires",
    "gate_limits",
    "secret_set_at",
    "secret_set_by",
    "show_confidential_phones",
    "show_restricted_contacts",
)


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def list_districts(deployment: Deployment, as_json: bool) -> None:
    """List the registered districts with their last published night and state."""
    from samegoal_pipelines.cli.nights import print_list
    from samegoal_pipelines.reporting.nightly_status import read_districts

    states = read_districts(deployment.warehouse, datetime.now(UTC))
    found = [district for district in deployment.registry.list() if district.id in states]
    if as_json:
        print_json(
            [
                {
                    **district.public_facts(),
                    "state": states[district.id].schedule,
                    "last_published_night": states[district.id].last_published,
                }
                for district in found
            ]
        )
    elif found:
        print_list(states[district.id] for district in found)
    else:
        click.echo("no district is registered yet; next: samegoal-pipelines districts add --help")


@click.command("show")
@click.argument("district_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def show_district(deployment: Deployment, district_id: str, as_json: bool) -> None:
    """Show one district's state, credentials and registration, without its secret.

    The state is its last published snapshot, the last attempt if it failed or is held, and its pause. The
    registration includes the gate's limits and which contacts are withheld.
    """
    from samegoal_pipelines.cli.credentials import credential_facts, credential_rows
    from samegoal_pipelines.cli.nights import state_facts, state_rows
    from samegoal_pipelines.districts.expiry import expiry_words
    from samegoal_pipelines.reporting.nightly_status import read_districts
    from samegoal_pipelines.tables.limits import BY_NAME

    district = deployment.registry.get(district_id)
    registration = district.public_facts()
    state = read_districts(deployment.warehouse, datetime.now(UTC), [district_id])[district_id]
    if as_json:
        print_json({**registration, **credential_facts(deployment, district), **state_facts(state)})
        return
    print_table(
        None,
        [
            *state_rows(state),
            *credential_rows(deployment, district),
            ["access expires", expiry_words(district.expires, district.expiration)],
            *(
                [name.replace("_", " "), fact]
                for name, fact in registration.items()
                if name not in _SHOWN_IN_WORDS and fact is not None
            ),
            ["restricted contacts", "shown" if district.show_restricted_contacts else "withheld"],
            ["confidential phones", "shown" if district.show_confidential_phones else "withheld"],
            *(
                [f"limit {name}", BY_NAME[name].shown(value) + " (set)" * (name in district.gate_limits)]
                for name, value in registration["gate_limits"].items()
            ),
        ],
    )
