"""`districts rotate-secret`, `credentials` and `rotate-key`: Client Keys and Client Secrets."""

from __future__ import annotations

import sys
from copy import copy
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.cli.commands import DONE, FAILED, Expiration, command, district_command
from samegoal_pipelines.cli.terminal import print_facts
from samegoal_pipelines.errors import PipelineError

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment
    from samegoal_pipelines.districts.registry import District

_ENCODING = "utf-8-sig"  # some editors write a byte order mark
_ENOUGH = 10_000
"""Read at most so much of a file, which may be endless. The registry rejects a secret of that length."""
SECRET_FILE = click.option(
    "--client-secret-file",
    type=click.File("r", _ENCODING, "replace"),  # the registry rejects undecodable text
    help="File with the Client Secret ('-' for standard input). Default: ask for it, or read standard input.",
)


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
    expires: date | None,
) -> None:
    """Set or replace a district's Client Secret.

    set-secret and rotate-secret are the same command. A district that awaits its secret becomes active: the
    schedule starts it at its next tick.
    """
    before = deployment.registry.get(district_id)
    secret = read_secret(client_secret_file) or ""
    deployment.registry.rotate_secret(district_id, client_secret=secret, client_key=client_key)
    if expires:
        deployment.registry.set(district_id, expires=expires)
    done = "secret set" if before.awaits_secret else "secret replaced"
    click.echo(f"{district_id}: {done}; next: samegoal-pipelines districts verify {district_id}")


set_secret = copy(rotate_secret)
set_secret.name = "set-secret"


@district_command()
@click.option("--reveal", is_flag=True, help="Also print the Client Secret, to a terminal only.")
def credentials(deployment: Deployment, district_id: str, reveal: bool) -> None:
    """Show a district's API Base URL, Client Key, and a fingerprint of its Client Secret.

    --reveal also prints the secret. The table disclosures records who asked for it, and when.
    """
    from samegoal_pipelines.warehouse.disclosures import record_disclosure

    district = deployment.registry.get(district_id)
    if reveal and not sys.stdout.isatty():
        raise PipelineError(
            "--reveal prints the Client Secret to a terminal only",
            district_id=district_id,
            next_step="do not redirect it",
        )
    print_facts(credential_labels(deployment, district))
    if reveal:
        _, secret = deployment.registry.credentials(district_id)
        by = deployment.settings.operator
        record_disclosure(deployment.warehouse, district_id, "client secret", by=by)
        click.echo(secret.get_secret_value())


def credential_facts(deployment: Deployment, district: District) -> dict[str, str | None]:
    """Client Key, fingerprint of the secret, or why there is none: awaiting secret, a lost key."""
    from samegoal_pipelines.districts.cipher import fingerprint
    from samegoal_pipelines.districts.errors import DecryptionError, SecretAwaitedError

    facts: dict[str, str | None] = {"fingerprint": None, "secret_problem": None}
    try:
        _, secret = deployment.registry.credentials(district.id)
        facts["fingerprint"] = fingerprint(secret)
    except (DecryptionError, SecretAwaitedError) as error:
        facts["secret_problem"] = error.reason
    return {"client_key": deployment.registry.client_key(district.id), **facts}


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
