"""`districts rotate-secret`, `credentials` and `rotate-key`: Client Keys and Client Secrets."""

from __future__ import annotations

import sys
from copy import copy
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.dates import Expiration
from samegoal_pipelines.cli.exits import DONE, FAILED, PlainError
from samegoal_pipelines.cli.terminal import print_table
from samegoal_pipelines.districts.names import shown

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.districts.registry import District

_ENCODING = "utf-8-sig"  # some editors write a byte order mark
_ENOUGH = 10_000
"""Read at most so much of a file, which may be endless. The registry rejects a secret of that length."""
SECRET_FILE = click.File("r", _ENCODING, "replace")  # the registry rejects undecodable text


def read_secret(district_id: str, file: Any, *, required: bool = True) -> str | None:
    """Read the secret from a file, standard input or a prompt. Others can see arguments.

    Args:
        required: otherwise the prompt or standard input may be empty, and the result is None.
    """
    if file is not None:
        secret = file.read(_ENOUGH)
    elif sys.stdin.isatty():
        hint = "" if required else " (empty: the district awaits its secret)"
        default = None if required else ""
        secret = click.prompt(f"Client Secret{hint}", default, hide_input=True, show_default=False)
    else:
        secret = sys.stdin.buffer.read(_ENOUGH).decode(_ENCODING, "replace")
    if secret.strip():
        return str(secret.strip())
    if file is None and not required:
        return None
    raise PlainError(
        f"{shown(district_id)}: the Client Secret is empty; give it with --client-secret-file, standard "
        "input or the prompt"
    )


@click.command("rotate-secret")
@click.argument("district_id", metavar="ID")
@click.option("--client-key", help="The new Client Key, if it changed too.")
@click.option(
    "--client-secret-file",
    type=SECRET_FILE,
    help="File with the new Client Secret ('-' for standard input). Default: ask for it.",
)
@click.option("--expires", type=Expiration(), help="When the renewed Integration Access expires.")
@click.pass_obj
def rotate_secret(
    deployment: Deployment,
    district_id: str,
    client_key: str | None,
    client_secret_file: Any,
    expires: date | None,
) -> None:
    """Set or replace a district's Client Secret.

    set-secret and rotate-secret are the same command. A district that awaits its secret becomes active: the
    schedule starts it at its next tick.
    """
    before = deployment.registry.get(district_id)
    secret = read_secret(district_id, client_secret_file) or ""
    deployment.registry.rotate_secret(district_id, client_secret=secret, client_key=client_key)
    if expires:
        deployment.registry.set(district_id, expires=expires)
    done = "secret set" if before.awaits_secret else "secret replaced"
    click.echo(f"{district_id}: {done}; next: samegoal-pipelines districts verify {district_id}")


set_secret = copy(rotate_secret)
set_secret.name = "set-secret"


@click.command("credentials")
@click.argument("district_id", metavar="ID")
@click.option("--reveal", is_flag=True, help="Also print the Client Secret, to a terminal only.")
@click.pass_obj
def credentials(deployment: Deployment, district_id: str, reveal: bool) -> None:
    """Show a district's API Base URL, Client Key, and a fingerprint of its Client Secret.

    --reveal also prints the secret. The table disclosures records who asked for it, and when.
    """
    from samegoal_pipelines.warehouse.disclosures import record_disclosure

    if reveal and not sys.stdout.isatty():
        raise PlainError(
            f"{shown(district_id)}: --reveal prints the Client Secret to a terminal only; do not redirect it"
        )
    district = deployment.registry.get(district_id)
    print_table(None, credential_rows(deployment, district))
    if reveal:
        secret = deployment.registry.connection(district, allow_local=True).client_secret
        by = deployment.settings.operator
        record_disclosure(deployment.warehouse, district_id, "client secret", by=by)
        click.echo(secret.get_secret_value())


def credential_rows(deployment: Deployment, district: District) -> list[list[str]]:
    """The credentials for people, without the secret."""
    facts = credential_facts(deployment, district)
    told = facts["secret_problem"] or f"fingerprint {facts['fingerprint']}"
    if district.secret_set_at:
        by = f" by {district.secret_set_by}" if district.secret_set_by else ""
        told += f", set {district.secret_set_at:%Y-%m-%d %H:%M} UTC{by}"
    rows = [["API Base URL", district.base_url], ["Client Key", facts["client_key"] or ""]]
    if district.access_name:
        rows.append(["Integration Access", district.access_name])
    return [*rows, ["Client Secret", told]]


def credential_facts(deployment: Deployment, district: District) -> dict[str, str | None]:
    """Client Key, fingerprint of the secret, or why there is none: awaiting secret, a lost key."""
    from samegoal_pipelines.districts.cipher import fingerprint
    from samegoal_pipelines.districts.errors import DecryptionError, SecretAwaitedError

    found, problem = None, None
    try:
        found = fingerprint(deployment.registry.connection(district, allow_local=True).client_secret)
    except (DecryptionError, SecretAwaitedError) as error:
        problem = error.reason
    client_key = deployment.registry.client_key(district.id)
    return {"client_key": client_key, "fingerprint": found, "secret_problem": problem}


@click.command("rotate-key")
@click.pass_obj
def rotate_key(deployment: Deployment) -> int:
    """Encrypt every Client Secret again with the first key of SAMEGOAL_SECRET_KEY.

    If the key is in a file under SAMEGOAL_HOME, the command first creates a new key, and removes the old
    ones at the end. You can stop it and run it again at any time. Exit status 1: some secrets need a key that
    is lost. The command names their districts and finishes all others.
    """
    rotation = deployment.registry.rotate_key()
    done = f"Client Secrets encrypted again: {rotation.reencrypted:,}, with "
    if rotation.new_key:
        click.echo(f"{done}a new key; the old keys are removed")
    else:
        click.echo(f"{done}the first key of SAMEGOAL_SECRET_KEY; you can remove the other keys")
    for line in rotation.lost:
        click.echo(f"error: {line}", err=True)
    return FAILED if rotation.lost else DONE
