"""`districts …`, `pause`, `resume` and `erase-student`: register, manage, show and erase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from samegoal_pipelines.cli.access import SECRET_FILE, credential_facts, credential_labels, read_secret
from samegoal_pipelines.cli.commands import Day, Expiration, command, district_command
from samegoal_pipelines.cli.terminal import print_facts, print_json, print_table
from samegoal_pipelines.districts.errors import SecretAwaitedError
from samegoal_pipelines.errors import SYNC, PipelineError, fill_in
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.limits import BY_NAME, LIMITS

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.reporting.nightly_status import DistrictNight

_ENTITIES = (
    "Whose enrollments count, from the next night on: all entities that Qmlativ returns, those that the "
    "Integration Access grants, or these EntityIDs."
)
_EXPIRES = "When the Integration Access expires; never if the district deleted the expiration."
_SHOW = click.Choice(["withhold", "show"])
_MEANINGS = {
    "restricted_contacts": "from its next snapshot on, addresses, phones and e-mails of parents under active "
    "restricted access are published with the flag; to undo this: --restricted-contacts withhold",
    "confidential_phones": "from its next snapshot on, confidential phones are published; to undo this: "
    "--confidential-phones withhold",
}
"""What happens when a setting is changed to show."""
_SHOWN_AS_IT_IS = (
    *("id", "name", "token_url", "entity_id", "entities", "timezone", "contact", "confirmed_at"),
    *("confirmation_problem", "source_host", "qmlativ_code", "qmlativ_name"),
)
YES = click.option("--yes", is_flag=True, help="Erase. Without it, only show what would be erased.")

# -- registration --


@district_command("add")
@click.option("--name", required=True, help="The district's name, as people know it.")
@click.option("--base-url", required=True, help="Qmlativ's API Base URL, ending before /Custom.")
@click.option("--client-key", required=True, help="Client Key of the Integration Access.")
@SECRET_FILE
@click.option("--access-name", help="Name of the Integration Access in Qmlativ.")
@click.option("--timezone", default="America/Chicago", help="The district's IANA time zone.")
@click.option("--token-url", help="Address of the token server, if not {base}/oauth/token.")
@click.option("--entity-id", type=int, help="Entity to read through, if not the district's own entity.")
@click.option("--entities", default="all", metavar="all|granted|ID,ID…", help=_ENTITIES)
@click.option("--expires", type=Expiration(), help=f"{_EXPIRES} Default: assume one year from now.")
@click.option("--contact", help="E-mail address to tell when setup is complete.")
def add_district(
    deployment: Deployment, /, district_id: str, client_secret_file: Any, **registration: Any
) -> None:
    """Register a district. The schedule starts it at its next tick.

    Without a Client Secret, the district awaits its secret: the schedule skips it until set-secret.
    """
    from samegoal_pipelines.defs.instance import add_partition

    secret = read_secret(client_secret_file, required=False)
    added = deployment.registry.add(id=district_id, client_secret=secret, **registration)
    add_partition(deployment.settings, added.id)
    result = "registered; next: samegoal-pipelines districts verify ID"
    if added.awaits_secret:
        result = f"registered, awaiting secret; {SecretAwaitedError.next_step}"
    click.echo(fill_in(f"ID: {result}", added.id))


def _limit(text: str) -> tuple[str, float | None]:
    """Parse NAME=VALUE. None restores the default."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), None if value.strip() == "default" else float(value)
    except ValueError:
        form = "NAME=VALUE, such as dropped=15, or NAME=default to restore the default"
        raise click.BadParameter(f"write {form}") from None


@district_command("set")
@click.option("--name", help="The district's name, as people know it.")
@click.option(
    "--base-url", help="Qmlativ's API Base URL, ending before /Custom. It must be the same district's."
)
@click.option(
    "--token-url", help="Address of the token server, if not {base}/oauth/token. '' restores the default."
)
@click.option("--entity-id", type=int, help="Entity to read through, if not the district's own entity.")
@click.option("--entities", metavar="all|granted|ID,ID…", help=_ENTITIES)
@click.option("--timezone", help="The district's IANA time zone.")
@click.option("--expires", type=Expiration(), help=_EXPIRES)
@click.option("--access-name", help="Name of the Integration Access in Qmlativ.")
@click.option("--contact", help="E-mail address to tell when setup is complete. '' removes it.")
@click.option(
    "--limit",
    "gate_limits",
    metavar="NAME=VALUE",
    multiple=True,
    type=_limit,
    help="Hold a night above this limit. "
    + " ".join(f"{one.name}: {one.help} ({one.shown(one.default)})." for one in LIMITS)
    + " NAME=default restores the default. Can be repeated.",
)
@click.option("--restricted-contacts", type=_SHOW, help="Contacts of restricted parents. Default: withhold.")
@click.option("--confidential-phones", type=_SHOW, help="Phones marked confidential. Default: withhold.")
def set_district(
    deployment: Deployment, /, district_id: str, gate_limits: Sequence[tuple[str, float | None]], **given: Any
) -> None:
    """Change a district's registration."""
    choices = {name: given.pop(name) for name in _MEANINGS}
    changes = {name: value for name, value in given.items() if value is not None}
    changes |= {f"show_{name}": choice == "show" for name, choice in choices.items() if choice}
    if gate_limits:
        changes["gate_limits"] = dict(gate_limits)
    if not changes:
        raise click.UsageError("name something to change; see --help")
    deployment.registry.set(district_id, **changes)
    click.echo(f"{district_id}: changed {', '.join(sorted(changes))}")
    for name, choice in choices.items():
        if choice == "show":
            click.echo(f"{district_id}: {_MEANINGS[name]}")
    restricted, confidential = (choice == "withhold" for choice in choices.values())
    if restricted or confidential:
        from samegoal_pipelines.operations.erase import hide_published_contacts

        hidden = hide_published_contacts(
            deployment, district_id, restricted=restricted, confidential=confidential
        )
        click.echo(
            f"{district_id}: removed from what is published: contacts of "
            f"{counted(hidden.parents, 'restricted parent')}, {counted(hidden.phones, 'phone')}"
        )


@district_command("confirm")
def confirm_setup(deployment: Deployment, district_id: str) -> None:
    """Tell a district's contact by e-mail that setup is complete, also if that was done before."""
    from samegoal_pipelines.reporting import messages

    district, urls = deployment.registry.get(district_id), deployment.settings.mail_urls
    problem = messages.confirm_setup(deployment.warehouse, district, urls, datetime.now(UTC), again=True)
    if problem:
        address = "the address (samegoal-pipelines districts set ID --contact E-MAIL)"
        to_do = f"correct SAMEGOAL_CONTACT_MAIL_URL or {address}, and confirm again"
        raise PipelineError(f"the contact was not told: {problem}", district_id=district_id, next_step=to_do)
    click.echo(f"{district_id}: the contact was told that setup is complete")


@district_command("disable")
def disable_district(deployment: Deployment, district_id: str) -> None:
    """Stop scheduling a district until it is enabled again.

    Its published snapshot stays. To skip only some nights, see `pause`.
    """
    deployment.registry.set(district_id, active=False)
    click.echo(f"{district_id}: disabled; its published snapshot stays")


@district_command("enable")
def enable_district(deployment: Deployment, district_id: str) -> None:
    """Schedule a disabled district again."""
    deployment.registry.set(district_id, active=True)
    click.echo(f"{district_id}: enabled; the schedule starts it at its next tick")


# -- what is registered, and its state --


@command("list", json=True)
def list_districts(deployment: Deployment, as_json: bool) -> None:
    """List the registered districts with their last published night and state."""
    from samegoal_pipelines.reporting.nightly_status import read_districts

    found = read_districts(deployment.warehouse, datetime.now(UTC))
    if as_json:
        print_json(
            [
                {**one.public_facts(), "state": one.schedule, "last_published_night": one.last_published}
                for one in found
            ]
        )
    elif found:
        print_table(
            {
                "district": one.id,
                "name": one.name,
                "time zone": one.timezone,
                "access expires": one.expiry_text,
                "published": one.last_published or "never",
                "state": one.schedule,
            }
            for one in found
        )
    else:
        click.echo("no district is registered yet; next: samegoal-pipelines districts add --help")


@district_command("show", json=True)
def show_district(deployment: Deployment, district_id: str, as_json: bool) -> None:
    """Show one district's state, credentials and registration, without its secret.

    The state is its last published snapshot, the last attempt if it failed or is held, and its pause. The
    registration includes the gate's limits and which contacts are withheld.
    """
    from samegoal_pipelines.reporting.nightly_status import read_district

    district = read_district(deployment.warehouse, datetime.now(UTC), district_id)
    registration = district.public_facts()
    if as_json:
        facts = {
            "state": district.schedule,
            "pause": district.pause_to_come and asdict(district.pause_to_come),
            "last_published": district.current and district.current.facts(),
            "last_attempt": district.open_attempt and district.open_attempt.facts(),
        }
        print_json({**registration, **credential_facts(deployment, district), **facts})
        return
    limits = {
        f"limit {name}": BY_NAME[name].shown(value) + " (set)" * (name in district.gate_limits)
        for name, value in registration["gate_limits"].items()
    }
    withheld = {True: "shown", False: "withheld"}
    print_facts(
        {
            **_state(district),
            **credential_labels(deployment, district),
            "access expires": district.expiry_text,
            **{name.replace("_", " "): registration[name] for name in _SHOWN_AS_IT_IS},
            "restricted contacts": withheld[district.show_restricted_contacts],
            "confidential phones": withheld[district.show_confidential_phones],
            **limits,
        }
    )


def _state(one: DistrictNight) -> dict[str, str | None]:
    from samegoal_pipelines.cli.nights import STATUSES
    from samegoal_pipelines.reporting.nightly_status import AWAITING_SECRET

    facts: dict[str, str | None] = {"state": one.schedule}
    if pause := one.pause_to_come:
        why = f": {pause.reason}" if pause.reason else ""
        facts["pause"] = f"from {pause.paused_from} to {pause.paused_to}{why}, set by {pause.set_by}"
    if current := one.current:
        moment = (current.published_at or current.started_at).astimezone(ZoneInfo(one.timezone))
        counts = ", ".join(f"{getattr(current, name):,} {name.replace('_', '-')}" for name in STATUSES)
        facts["last published"] = f"night of {current.snapshot_date}, on {moment:%Y-%m-%d at %H:%M}"
        facts["students"] = f"{current.students:,}: {counts}"
    else:
        to_do = one.reason if one.schedule == AWAITING_SECRET else fill_in(SYNC, one.district_id)
        facts["last published"] = "never" if one.open_attempt else f"never; next: {to_do}"
    if attempt := one.open_attempt:
        facts["last attempt"] = f"{attempt.state}, night of {attempt.snapshot_date}"
        facts["because"] = attempt.reason or "no reason was recorded"
        facts["to do"] = attempt.to_do
    return facts


# -- pauses --


@district_command("pause")
@click.option("--from", "paused_from", required=True, type=Day(), help="First night to skip.")
@click.option("--to", "paused_to", required=True, type=Day(), help="Last night to skip.")
@click.option("--reason", help="Why. The report shows it.")
def pause_district(
    deployment: Deployment, district_id: str, paused_from: date, paused_to: date, reason: str | None
) -> None:
    """Skip a district in the schedule for some nights of its calendar, such as over the summer.

    It is not late on these nights, and the report shows it as paused. Its published snapshot stays, and
    `sync` still runs it. A district has one pause at a time. A new pause replaces the old one, unless the
    old one is in progress and the new one does not cover today.
    """
    from samegoal_pipelines.districts.pauses import pause

    by = deployment.settings.operator
    pause(deployment.warehouse, district_id, paused_from, paused_to, set_by=by, reason=reason)
    nights = counted((paused_to - paused_from).days + 1, "night")
    click.echo(
        f"{district_id}: paused from {paused_from} to {paused_to} ({nights}); "
        f"end it with: samegoal-pipelines resume {district_id}"
    )


@district_command("resume")
def resume_district(deployment: Deployment, district_id: str) -> None:
    """End a district's pause."""
    from samegoal_pipelines.districts.pauses import resume

    ended = resume(deployment.warehouse, district_id)
    if ended is None:
        click.echo(f"{district_id}: was not paused")
    else:
        click.echo(
            f"{district_id}: no longer paused (it was from {ended.paused_from} to {ended.paused_to}); "
            "the schedule runs it again"
        )


# -- erasures --


@district_command("erase", json=True)
@YES
def erase_district(deployment: Deployment, district_id: str, yes: bool, as_json: bool) -> None:
    """Remove a district permanently: rows, history, credentials, landed files and partition.

    A record of counts, time and operator stays, and so does Dagster's record of past runs, which names the
    district but no student. Backups are your responsibility. If the command is interrupted, run it again.
    """
    from samegoal_pipelines.operations import erase

    found = erase.erase_district(deployment, district_id, dry_run=not yes)
    done = (
        f"recorded as done by {deployment.settings.operator}. Dagster's record of past runs still names the "
        "district, with counts but no student"
    )
    labels = {"files": "landed files", "partition": "partitions in Dagster"}
    _print_erasure(district_id, found, labels, done if yes else None, as_json)


@district_command(json=True)
@click.argument("student_number")
@YES
@click.option("--student-id", type=int, help="Qmlativ's StudentID, if several students have this number.")
@click.option("--undo", is_flag=True, help="Let later nights publish the student again.")
def erase_student(
    deployment: Deployment,
    district_id: str,
    student_number: str,
    yes: bool,
    student_id: int | None,
    undo: bool,
    as_json: bool,
) -> None:
    """Remove a student permanently: rows, history, changes, worklist and landed rows.

    Parents go with the student if they are no other student's. A marker without personal data stays, and
    later nights drop the student right after reading. Exported files and backups are your responsibility. If
    the command is interrupted, run it again.
    """
    from samegoal_pipelines.operations import erase

    if undo:
        if yes or student_id is not None:
            raise click.UsageError("--undo takes neither --yes nor --student-id")
        erase.lift(deployment, district_id, student_number)
        click.echo(f"{district_id}: the marker is removed; the next night publishes the student again")
        return
    rows, landed = erase.erase_student(deployment, district_id, student_number, student_id, dry_run=not yes)
    facts = {"rows": rows, "files": landed.files, "landed_rows": landed.rows, "unreadable": landed.deleted}
    labels = {
        "landed_rows": "rows of landed files",
        "files": "landed files rewritten",
        "unreadable": "unreadable landed files deleted",
    }
    done = "later nights drop the student. A held night can no longer be released: run it again"
    _print_erasure(district_id, facts, labels, done if yes else None, as_json)


def _print_erasure(
    district_id: str, facts: dict[str, Any], labels: dict[str, str], done: str | None, as_json: bool
) -> None:
    """Print the counts of an erasure, then `done`. Without `done` it is a dry run."""
    if as_json:
        print_json({"district_id": district_id, "erased": done is not None, **facts})
    else:
        counts = {f"rows of {table}": rows for table, rows in sorted(facts["rows"].items())}
        counts |= {label: int(facts[name]) for name, label in labels.items()}
        what = "erased" if done else "would be erased"
        print_table({what: name, "how many": count} for name, count in counts.items())
    said = f"erased; {done}" if done else "nothing is erased yet; to erase all of this permanently, add --yes"
    click.echo(f"{district_id}: {said}", err=as_json or not done)
