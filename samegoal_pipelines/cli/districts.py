"""`districts …`, `pause` and `resume`: register, show and manage districts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from samegoal_pipelines.cli.credentials import SECRET_FILE, credential_facts, credential_rows, read_secret
from samegoal_pipelines.cli.dates import Day, Expiration
from samegoal_pipelines.cli.exits import PlainError
from samegoal_pipelines.cli.terminal import print_json, print_table
from samegoal_pipelines.districts.errors import SecretAwaitedError
from samegoal_pipelines.errors import fill_in
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.limits import BY_NAME, LIMITS

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.reporting.nightly_status import DistrictNight

ENTITIES = (
    "Whose enrollments count, from the next night on: all entities that Qmlativ returns, those that the "
    "Integration Access grants, or these EntityIDs."
)
_EXPIRES = "When the Integration Access expires; never if the district deleted the expiration."


@click.command("add")
@click.argument("district_id", metavar="ID")
@click.option("--name", required=True, help="The district's name, as people know it.")
@click.option("--base-url", required=True, help="Qmlativ's API Base URL, ending before /Custom.")
@click.option("--client-key", required=True, help="Client Key of the Integration Access.")
@click.option("--access-name", help="Name of the Integration Access in Qmlativ.")
@click.option(
    "--client-secret-file",
    type=SECRET_FILE,
    help="File with the Client Secret ('-' for standard input). Default: ask for it, or read standard input. "
    "Without a secret, the district awaits it.",
)
@click.option("--timezone", default="America/Chicago", help="The district's IANA time zone.")
@click.option("--token-url", help="Address of the token server, if not {base}/oauth/token.")
@click.option("--entity-id", type=int, help="Entity to read through, if not the district's own entity.")
@click.option("--entities", default="all", metavar="all|granted|ID,ID…", help=ENTITIES)
@click.option("--expires", type=Expiration(), help=f"{_EXPIRES} Default: assume one year from now.")
@click.option("--contact", help="E-mail address to tell when setup is complete.")
@click.pass_obj
def add_district(
    deployment: Deployment, /, district_id: str, client_secret_file: Any, **registration: Any
) -> None:
    """Register a district. The schedule starts it at its next tick.

    Without a Client Secret, the district awaits its secret: the schedule skips it until set-secret.
    """
    from samegoal_pipelines.defs.instance import add_partition

    added = deployment.registry.add(
        id=district_id,
        client_secret=read_secret(district_id, client_secret_file, required=False),
        allow_local=deployment.settings.allow_local_sources,
        **registration,
    )
    add_partition(deployment.settings, added.id)
    result = "registered; next: samegoal-pipelines districts verify ID"
    if added.awaits_secret:
        result = f"registered, awaiting secret; {SecretAwaitedError.next_step}"
    click.echo(f"{added.id}: {fill_in(result, added.id)}")


def _read_limits(
    _context: click.Context, _option: click.Parameter, given: Sequence[str]
) -> dict[str, float | None]:
    """Parse `--limit` into name → value. None restores the default."""
    limits: dict[str, float | None] = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            limits[name.strip()] = None if value.strip() == "default" else float(value)
        except ValueError:
            raise click.BadParameter(
                "write NAME=VALUE, such as dropped=15, or NAME=default to restore the default"
            ) from None
    return limits


MEANINGS = {
    "show_restricted_contacts": "from its next snapshot on, addresses, phones and e-mails of parents under "
    "active restricted access are published with the flag; to undo this: --restricted-contacts withhold",
    "show_confidential_phones": "from its next snapshot on, confidential phones are published; to undo this: "
    "--confidential-phones withhold",
}
"""What happens when a setting is changed to show."""


@click.command("set")
@click.argument("district_id", metavar="ID")
@click.option("--name", help="The district's name, as people know it.")
@click.option(
    "--base-url",
    help="Qmlativ's API Base URL, ending before /Custom. It must be the same district's.",
)
@click.option(
    "--token-url", help="Address of the token server, if not {base}/oauth/token. '' restores the default."
)
@click.option("--entity-id", type=int, help="Entity to read through, if not the district's own entity.")
@click.option("--entities", metavar="all|granted|ID,ID…", help=ENTITIES)
@click.option("--timezone", help="The district's IANA time zone.")
@click.option("--expires", type=Expiration(), help=_EXPIRES)
@click.option("--access-name", help="Name of the Integration Access in Qmlativ.")
@click.option("--contact", help="E-mail address to tell when setup is complete. '' removes it.")
@click.option(
    "--limit",
    "gate_limits",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_read_limits,
    help="Hold a night above this limit. "
    + " ".join(f"{one.name}: {one.help} ({one.shown(one.default)})." for one in LIMITS)
    + " NAME=default restores the default. Can be repeated.",
)
@click.option(
    "--restricted-contacts",
    "show_restricted_contacts",
    type=click.Choice(["withhold", "show"]),
    help="Contacts of parents under active restricted access. Default: withhold.",
)
@click.option(
    "--confidential-phones",
    "show_confidential_phones",
    type=click.Choice(["withhold", "show"]),
    help="Confidential phones. Default: withhold.",
)
@click.pass_obj
def set_district(
    deployment: Deployment,
    /,
    district_id: str,
    gate_limits: dict[str, float | None],
    **given: str | int | date | None,
) -> None:
    """Change a district's registration."""
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if gate_limits:
        changes["gate_limits"] = gate_limits
    for switch in MEANINGS.keys() & changes.keys():
        changes[switch] = changes[switch] == "show"
    if not changes:
        raise click.UsageError("name something to change; see --help")
    deployment.registry.set(district_id, allow_local=deployment.settings.allow_local_sources, **changes)
    click.echo(f"{district_id}: changed {', '.join(sorted(changes))}")
    for switch, meaning in MEANINGS.items():
        if changes.get(switch):
            click.echo(f"{district_id}: {meaning}")
    restricted, confidential = (changes.get(switch) is False for switch in MEANINGS)
    if not (restricted or confidential):
        return
    from samegoal_pipelines.operations.hide_contacts import hide_published_contacts

    hidden = hide_published_contacts(
        deployment, district_id, restricted=restricted, confidential=confidential
    )
    click.echo(
        f"{district_id}: removed from what is published: contacts of "
        f"{counted(hidden.parents, 'restricted parent')}, {counted(hidden.phones, 'phone')}"
    )


@click.command("confirm")
@click.argument("district_id", metavar="ID")
@click.pass_obj
def confirm_setup(deployment: Deployment, district_id: str) -> None:
    """Tell a district's contact by e-mail that setup is complete, also if that was done before."""
    from samegoal_pipelines.reporting import confirmation

    district, urls = deployment.registry.get(district_id), deployment.settings.mail_urls
    problem = confirmation.confirm_setup(deployment.warehouse, district, urls, datetime.now(UTC), again=True)
    if problem:
        raise PlainError(
            f"{district_id}: the contact was not told: {problem}; correct SAMEGOAL_CONTACT_MAIL_URL or the "
            f"address (samegoal-pipelines districts set {district_id} --contact E-MAIL), and confirm again"
        )
    click.echo(f"{district_id}: the contact was told that setup is complete")


@click.command("disable")
@click.argument("district_id", metavar="ID")
@click.pass_obj
def disable_district(deployment: Deployment, district_id: str) -> None:
    """Stop scheduling a district until it is enabled again.

    Its published snapshot stays. To skip only some nights, see `pause`.
    """
    deployment.registry.set_active(district_id, False)
    click.echo(f"{district_id}: disabled; its published snapshot stays")


@click.command("enable")
@click.argument("district_id", metavar="ID")
@click.pass_obj
def enable_district(deployment: Deployment, district_id: str) -> None:
    """Schedule a disabled district again."""
    deployment.registry.set_active(district_id, True)
    click.echo(f"{district_id}: enabled; the schedule starts it at its next tick")


@click.command("erase")
@click.argument("district_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Erase. Without it, only show what would be erased.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def erase_district(deployment: Deployment, district_id: str, yes: bool, as_json: bool) -> None:
    """Remove a district permanently: rows, history, credentials, landed files and partition.

    A record of counts, time and operator stays, and so does Dagster's record of past runs, which names the
    district but no student. Backups are your responsibility. If the command is interrupted, run it again.
    """
    from samegoal_pipelines.operations import erase

    found = (erase.erase_district if yes else erase.holdings)(deployment, district_id)
    others = {"landed files": found.files, "partitions in Dagster": int(found.partition)}
    print_erasure(district_id, asdict(found), others, yes=yes, as_json=as_json)
    if yes:
        what = (
            f"erased; recorded as done by {deployment.settings.operator}. Dagster's record of past runs "
            "still names the district, with counts but no student"
        )
    else:
        what = (
            "nothing is erased yet; to erase all of this permanently: "
            f"samegoal-pipelines districts erase {district_id} --yes"
        )
    click.echo(f"{district_id}: {what}", err=as_json or not yes)


def print_erasure(
    district_id: str, facts: dict[str, Any], others: dict[str, int], *, yes: bool, as_json: bool
) -> None:
    """Print what is or would be erased: the rows of each table, and what else there is."""
    if as_json:
        print_json({"district_id": district_id, "erased": yes, **facts})
        return
    rows = {f"rows of {name}": count for name, count in sorted(facts["rows"].items())}
    print_table(["erased" if yes else "would be erased", "how many"], [*(rows | others).items()])


# -- list and show --


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def list_districts(deployment: Deployment, as_json: bool) -> None:
    """List the registered districts with their last published night and state."""
    from samegoal_pipelines.districts.expiry import expiry_words
    from samegoal_pipelines.reporting.nightly_status import read_districts

    states = read_districts(deployment.warehouse, datetime.now(UTC))
    found = [(one, states[one.id]) for one in deployment.registry.list() if one.id in states]
    if as_json:
        print_json(
            [
                {
                    **district.public_facts(),
                    "state": state.schedule,
                    "last_published_night": state.last_published,
                }
                for district, state in found
            ]
        )
    elif found:
        print_table(
            ["district", "name", "time zone", "access expires", "published", "state"],
            [
                [
                    *(d.district_id, d.name, d.timezone, expiry_words(d.expires, d.expiration)),
                    *(d.last_published or "never", d.schedule),
                ]
                for _, d in found
            ],
        )
    else:
        click.echo("no district is registered yet; next: samegoal-pipelines districts add --help")


_SHOWN_AS_IT_IS = (
    *("id", "name", "token_url", "entity_id", "entities", "timezone", "contact", "confirmed_at"),
    *("confirmation_problem", "source_host", "qmlativ_code", "qmlativ_name"),
)


@click.command("show")
@click.argument("district_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_obj
def show_district(deployment: Deployment, district_id: str, as_json: bool) -> None:
    """Show one district's state, credentials and registration, without its secret.

    The state is its last published snapshot, the last attempt if it failed or is held, and its pause. The
    registration includes the gate's limits and which contacts are withheld.
    """
    from samegoal_pipelines.districts.expiry import expiry_words
    from samegoal_pipelines.reporting.nightly_status import read_districts

    district = deployment.registry.get(district_id)
    registration = district.public_facts()
    state = read_districts(deployment.warehouse, datetime.now(UTC), [district_id])[district_id]
    if as_json:
        facts = {
            "state": state.schedule,
            "pause": state.pause_to_come and asdict(state.pause_to_come),
            "last_published": state.current and state.current.facts(),
            "last_attempt": state.open_attempt and state.open_attempt.facts(),
        }
        print_json({**registration, **credential_facts(deployment, district), **facts})
        return
    withheld = {True: "shown", False: "withheld"}
    print_table(
        None,
        [
            *_state_rows(state),
            *credential_rows(deployment, district),
            ["access expires", expiry_words(district.expires, district.expiration)],
            *(
                [name.replace("_", " "), fact]
                for name, fact in registration.items()
                if name in _SHOWN_AS_IT_IS and fact is not None
            ),
            ["restricted contacts", withheld[district.show_restricted_contacts]],
            ["confidential phones", withheld[district.show_confidential_phones]],
            *(
                [f"limit {name}", BY_NAME[name].shown(value) + " (set)" * (name in district.gate_limits)]
                for name, value in registration["gate_limits"].items()
            ),
        ],
    )


def _state_rows(one: DistrictNight) -> Iterator[list[str]]:
    from samegoal_pipelines.cli.nights import STATUSES
    from samegoal_pipelines.reporting.nightly_status import AWAITING_SECRET

    yield ["state", one.schedule]
    if pause := one.pause_to_come:
        why = f": {pause.reason}" if pause.reason else ""
        yield ["pause", f"from {pause.paused_from} to {pause.paused_to}{why}, set by {pause.set_by}"]
    if (current := one.current) is None:
        todo = f"samegoal-pipelines sync {one.district_id}"
        if one.schedule == AWAITING_SECRET:
            todo = one.reason or ""
        yield ["last published", "never" if one.open_attempt else f"never; next: {todo}"]
    else:
        moment = (current.published_at or current.started_at).astimezone(ZoneInfo(one.timezone))
        counts = ", ".join(f"{getattr(current, name):,} {name.replace('_', '-')}" for name in STATUSES)
        yield ["last published", f"night of {current.snapshot_date}, on {moment:%Y-%m-%d at %H:%M}"]
        yield ["students", f"{current.students:,}: {counts}"]
    if attempt := one.open_attempt:
        yield ["last attempt", f"{attempt.state}, night of {attempt.snapshot_date}"]
        yield ["because", attempt.reason or "no reason was recorded"]
        yield ["to do", attempt.to_do or ""]


# -- pause and resume --


@click.command("pause")
@click.argument("district_id", metavar="ID")
@click.option(
    "--from",
    "paused_from",
    required=True,
    type=Day(),
    help="First night to skip, by the district's calendar.",
)
@click.option("--to", "paused_to", required=True, type=Day(), help="Last night to skip.")
@click.option("--reason", help="Why. The report shows it.")
@click.pass_obj
def pause_district(deployment: Deployment, /, district_id: str, **pause: Any) -> None:
    """Skip a district in the schedule for some nights, such as over the summer.

    It is not late on these nights, and the report shows it as paused. Its published snapshot stays, and
    `sync` still runs it. A district has one pause at a time. A new pause replaces the old one, unless the
    old one is in progress and the new one does not cover today.
    """
    from samegoal_pipelines.districts import pauses

    made = pauses.pause(deployment.warehouse, district_id, **pause, set_by=deployment.settings.operator)
    nights = (made.paused_to - made.paused_from).days + 1
    click.echo(
        f"{district_id}: paused from {made.paused_from} to {made.paused_to} ({counted(nights, 'night')}); "
        f"end it with: samegoal-pipelines resume {district_id}"
    )


@click.command("resume")
@click.argument("district_id", metavar="ID")
@click.pass_obj
def resume_district(deployment: Deployment, district_id: str) -> None:
    """End a district's pause."""
    from samegoal_pipelines.districts import pauses

    ended = pauses.resume(deployment.warehouse, district_id, datetime.now(UTC))
    if ended is None:
        click.echo(f"{district_id}: was not paused")
    else:
        click.echo(
            f"{district_id}: no longer paused (it was from {ended.paused_from} to {ended.paused_to}); "
            "the schedule runs it again"
        )
