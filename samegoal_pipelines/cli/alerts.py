"""`alerts`: where alerts go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from samegoal_pipelines.cli.exits import DONE, FAILED, PlainError

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment


@click.group()
def alerts() -> None:
    """Check where alerts go."""


@alerts.command("test")
@click.pass_obj
def send_test(deployment: Deployment) -> int:
    """Send a test message to every alert address.

    The addresses are those of SAMEGOAL_ALERT_URLS. Exit status 1: at least one did not accept the message.
    """
    from samegoal_pipelines.reporting.addresses import AlertError, alert_addresses
    from samegoal_pipelines.reporting.messages import TEST_MESSAGE

    addresses = alert_addresses(deployment.settings.alert_urls)
    if addresses[0].url is None:
        raise PlainError("SAMEGOAL_ALERT_URLS is not set: alerts are lines in the daemon's log")
    status = DONE
    for address in addresses:
        try:
            problem = address.send(TEST_MESSAGE)
        except AlertError as error:
            problem = f"not sent: {error}"
        click.echo(problem or f"{address.name}: sent")
        status = FAILED if problem else status
    return status
