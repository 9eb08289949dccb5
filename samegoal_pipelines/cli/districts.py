"""`districts …`: register and manage districts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.credentials import SECRET_FILE, read_secret
from samegoal_pipelines.cli.dates import Expiration
from samegoal_pipelines.cli.exits import DONE, PlainError
from samegoal_pipelines.cli.sections import Sections
from samegoal_pipelines.cli.terminal import print_json, print_table
from samegoal_pipelines.districts.errors import SecretAwaitedError
from samegoal_pipelines.errors import fill_in
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.limits import LIMITS

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment

ENTITIES = (
    "Whose enrollments count, from the next night on: all entities that Qmlativ returns, those that the "
    "Integration Access grants, or these EntityIDs."
)
_EXPIRES = "When the Integration Access expires; never if the district deleted the expiration."


@click.group(cls=Sections)
def districts() -> None:
    """Register and manage districts."""


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
@click.option(
    "--timezone", default="America/Chicago", show_default=True, help="The district's IANA time zone."
)
@click.option("--token-url", help="Address of the token server, if not {base}/oauth/token.")
@click.option("--entity-id", type=int, help="Entity to read through, if not the district's own entity.")
@click.option("--entities", default="all", metavar="all|granted|ID,ID…", show_default=True, help=ENTITIES)
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

    district = deployment.registry.add(
        id=district_id,
        client_secret=read_secret(district_id, client_secret_file, required=False),
        allow_local=deployment.settings.allow_local_sources,
        **registration,
    )
    add_partition(deployment.settings, district.id)
    if district.awaits_secret:
        result = f"registered, awaiting secret; {SecretAwaitedError.next_step}"
    else:
        result = "registered; next: samegoal-pipelines districts verify ID"
    click.echo(f"{district.id}: {fill_in(result, district.id)}")


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
    if withheld := {switch for switch in MEANINGS if changes.get(switch) is False}:
        _hide_published(deployment, district_id, withheld)


def _hide_published(deployment: Deployment, district_id: str, withheld: set[str]) -> None:
    """Remove newly withheld contacts from the published rows, and print the counts."""
    from samegoal_pipelines.operations.hide_contacts import hide_published_contacts

    hidden = hide_published_contacts(
        deployment,
        district_id,
        restricted="show_restricted_contacts" in withheld,
        confidential="show_confidential_phones" in withheld,
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
def erase_district(deployment: Deployment, district_id: str, yes: bool, as_json: bool) -> int:
    """Remove a district permanently: rows, history, credentials, landed files and partition.

    A record of counts, time and operator stays, and so does Dagster's record of past runs, which names the
    district but no student. Backups are your responsibility. If the command is interrupted, run it again.
    """
    from samegoal_pipelines.operations import erase

    found = (erase.erase_district if yes else erase.holdings)(deployment, district_id)
    if as_json:
        print_json({"district_id": district_id, "erased": yes, **asdict(found)})
    else:
        print_table(
            ["erased" if yes else "would be erased", "how many"],
            [
                *([f"rows of {name}", count] for name, count in sorted(found.rows.items())),
                ["landed files", found.files],
                ["partitions in Dagster", int(found.partition)],
            ],
        )
    if not yes:
        click.echo(
            f"{district_id}: nothing is erased yet; to erase all of this permanently: "
            f"samegoal-pipelines districts erase {district_id} --yes",
            err=True,
        )
        return DONE
    click.echo(
        f"{district_id}: erased; recorded as done by {deployment.settings.operator}. Dagster's record of "
        "past runs still names the district, with counts but no student",
        err=as_json,
    )
    return DONE
