"""A district's access to Qmlativ: `districts verify`, `credentials`, `rotate-secret` and `rotate-key`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.commands import DONE, FAILED, Expiration, command, district_command
from samegoal_pipelines.cli.terminal import print_facts, print_json, print_sentences, print_table
from samegoal_pipelines.errors import PipelineError

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.districts.registry import District
    from samegoal_pipelines.districts.verify import Step, Verification

_ENCODING = "utf-8-sig"  # some editors write a byte order mark
_ENOUGH = 10_000
"""Read no more than this, because a file can be endless. The registry rejects a secret of that length."""
SECRET_FILE = click.option(
    "--client-secret-file",
    type=click.File("r", _ENCODING, "replace"),  # the registry rejects undecodable text
    help="File with the Client Secret ('-' for standard input). Default: ask for it, or read standard input.",
)
AT_ONCE = 4  # districts; each sends a few requests at once itself
_VERDICTS = {"failed": "not ready", "warning": "ready, with warnings", "ok": "ready"}
"""For each state of a verification, those that need attention first."""

# -- Client Keys and Client Secrets --


def read_secret(file: Any, *, required: bool = True) -> str | None:
    """Read the secret from a file, standard input or a prompt. Others can see arguments.

    Args:
        required: otherwise the prompt or standard input may be empty, and the result is None.
    """
    if file is not None:
        return str(file.read(_ENOUGH))
    if sys.stdin.isatty():
        hint = "" if required else " (empty: the district awaits its secret)"
        default = None if required else ""
        secret = click.prompt(f"Client Secret{hint}", default, hide_input=True, show_default=False)
    else:
        secret = sys.stdin.buffer.read(_ENOUGH).decode(_ENCODING, "replace")
    return secret if required or secret.strip() else None


@district_command("rotate-secret")
@click.option("--client-key", help="The new Client Key, if it changed too.")
@SECRET_FILE
@click.option("--expires", type=Expiration(), help="When the renewed Integration Access expires.")
def rotate_secret(
    deployment: Deployment,
    district_id: str,
    client_key: str | None,
    client_secret_file: Any,
    expires: date | str | None,
) -> None:
    """Set or replace a district's Client Secret.

    set-secret and rotate-secret are the same command. A district that awaits its secret becomes active: the
    schedule starts it at its next tick.
    """
    registry = deployment.registry
    done = "secret set" if registry.get(district_id).awaits_secret else "secret replaced"
    secret = read_secret(client_secret_file) or ""
    registry.rotate_secret(district_id, client_secret=secret, client_key=client_key)
    if expires:
        registry.set(district_id, expires=expires)
    click.echo(f"{district_id}: {done}; next: samegoal-pipelines districts verify {district_id}")


set_secret = copy(rotate_secret)
set_secret.name = "set-secret"


@district_command()
@click.option("--reveal", is_flag=True, help="Also print the Client Secret, to a terminal only.")
def credentials(deployment: Deployment, district_id: str, reveal: bool) -> None:
    """Show a district's API Base URL, Client Key, and a fingerprint of its Client Secret.

    --reveal also prints the secret. The table disclosures records who asked for it, and when.
    """
    from samegoal_pipelines.warehouse.export import record_disclosure

    district = deployment.registry.get(district_id)
    if reveal and not sys.stdout.isatty():
        only = "--reveal prints the Client Secret to a terminal only"
        raise PipelineError(only, district_id=district_id, next_step="do not redirect it")
    print_facts(credential_labels(deployment, district))
    if reveal:
        _, secret = deployment.registry.credentials(district_id)
        by = deployment.settings.operator
        record_disclosure(deployment.warehouse, district_id, "client secret", by)
        click.echo(secret.get_secret_value())


def credential_facts(deployment: Deployment, district: District) -> dict[str, str | None]:
    """Client Key, fingerprint of the secret, or why there is none: awaiting secret, a lost key."""
    from samegoal_pipelines.districts.cipher import fingerprint
    from samegoal_pipelines.districts.errors import DecryptionError, SecretAwaitedError

    facts = {
        "client_key": deployment.registry.client_key(district.id),
        "fingerprint": None,
        "secret_problem": None,
    }
    try:
        facts["fingerprint"] = fingerprint(deployment.registry.credentials(district.id)[1])
    except (DecryptionError, SecretAwaitedError) as error:
        facts["secret_problem"] = error.reason
    return facts


def credential_labels(deployment: Deployment, district: District) -> dict[str, str | None]:
    """The credentials for people, without the secret."""
    facts = credential_facts(deployment, district)
    secret = facts["secret_problem"] or f"fingerprint {facts['fingerprint']}"
    if district.secret_set_at:
        by = f" by {district.secret_set_by}" if district.secret_set_by else ""
        secret += f", set {district.secret_set_at:%Y-%m-%d %H:%M} UTC{by}"
    return {
        "API Base URL": district.base_url,
        "Client Key": facts["client_key"],
        "Integration Access": district.access_name,
        "Client Secret": secret,
    }


@command()
def rotate_key(deployment: Deployment) -> int:
    """Encrypt every Client Secret again with the first configured key.

    If the key is in a file under SAMEGOAL_HOME, the command first creates a new key, and removes the old
    ones at the end. You can stop it and run it again at any time. Exit status 1: some secrets need a key that
    is lost. The command names their districts and finishes all others.
    """
    from samegoal_pipelines.districts.cipher import CONFIGURED

    reencrypted, lost = deployment.registry.rotate_key()
    used = "a new key; the old keys are removed"
    if deployment.settings.configured_secret_keys is not None:
        used = f"the first key of {CONFIGURED}; you can remove the other keys"
    click.echo(f"Client Secrets encrypted again: {reencrypted:,}, with {used}")
    for line in lost:
        click.echo(f"error: {line}", err=True)
    return FAILED if lost else DONE


# -- whether a night would work --


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
    """Print one row per district, those that need attention first, and the number of each verdict."""
    print_table(
        {
            "district": result.district_id,
            "verdict": verdict,
            "problems": [
                line for step in result.steps if step.state != "ok" for line in _lines(step, f"{step.name}: ")
            ],
        }
        for state, verdict in _VERDICTS.items()
        for result in results
        if result.state == state
    )
    counts = Counter(_VERDICTS[result.state] for result in results)
    said = [f"{counts[verdict]:,} {verdict}" for verdict in _VERDICTS.values() if verdict in counts]
    click.echo("; ".join(said) or "no district is active")
