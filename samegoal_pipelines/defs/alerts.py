"""The sensor that sends alerts about missing snapshots, and the checks that show them for each district.

Dagster's freshness policies know an asset, not its partitions: any district's snapshot would satisfy them.
`reporting` decides what to send.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.district_run import PUBLISHED_SNAPSHOT, DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.materializing import ERROR, Finding, check_evaluation, district_check
from samegoal_pipelines.defs.report import missing_reports
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.reporting.addresses import Address, AlertError, alert_addresses
from samegoal_pipelines.reporting.messages import Alert, alerts_due, confirm_setup, send_alert
from samegoal_pipelines.reporting.nightly_status import (
    DEADLINE,
    Board,
    DistrictNight,
    read_district,
    read_judged,
)

ON_TIME_CHECK = "on_time"
CONFIRMED_CHECK = "setup_confirmed"
SECONDS_PER_ADDRESS = 25
"""Seconds after which a tick starts no further message to an address. A tick has 60 in total."""
EVENTS_AT_ONCE = 200
"""The most districts whose checks one tick changes, because Dagster writes them one by one."""


@dg.sensor(
    name="night_alert",
    minimum_interval_seconds=60,
    # A schedule that is switched off must raise an alert, or a log line without an address.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="At 06:00 in each time zone, sends one message to each alert address about the districts "
    "whose snapshot failed, is held or is late, and turns their check on_time red. Works even if nothing "
    "has run.",
)
def night_alert(
    context: dg.SensorEvaluationContext, deployment: dg.ResourceParam[Deployment]
) -> dg.SensorResult:
    """Check every deadline that has passed."""
    return check_deadlines(context, deployment, datetime.now(UTC))


def check_deadlines(
    context: dg.SensorEvaluationContext, deployment: Deployment, now: datetime
) -> dg.SensorResult:
    """Send the alerts that are due, and update the checks.

    If an alert could not be sent and no check changed, the tick fails. The next one retries.
    """
    settings, warehouse = deployment.settings, deployment.warehouse
    boards = read_judged(warehouse, now)
    red = json.loads(context.cursor or "{}")
    outcomes = _bring_up_to_date(red, boards)
    active = [board for board in boards if any(one.active for one in board.districts)]
    missing = missing_reports(context.instance, {board.night for board in active})
    alerts = alerts_due(active, missing, all_well=settings.alert_all_well)
    addresses = alert_addresses(settings.alert_urls)
    with ThreadPoolExecutor(len(addresses)) as threads:  # a hanging address does not block another
        sending = [threads.submit(_send_all, deployment, alerts, address, now) for address in addresses]
        if outcomes:
            _show(context.instance, outcomes)
    sent, problems = ([line for one in sending for line in one.result()[n]] for n in (0, 1))
    for line in sent:
        context.log.info(line)
    for line in problems:
        context.log.error(line)
    if problems and not outcomes:
        raise AlertError("; ".join(problems))
    summary = "; ".join([*problems, *sent]) or f"deadlines checked: {len(boards)}; nothing new"
    return dg.SensorResult(cursor=json.dumps(red), skip_reason=dg.SkipReason(summary))


def _send_all(
    deployment: Deployment, alerts: Sequence[Alert], address: Address, now: datetime
) -> tuple[list[str], list[str]]:
    """The messages sent to an address, and each problem once. One failure does not stop the next message."""
    sent, problems, began = [], [], monotonic()
    for alert in alerts:
        try:
            if monotonic() - began > SECONDS_PER_ADDRESS:
                problems.append(f"alert not sent: {address.name} is slow; the next tick sends the rest")
                break
            if done := send_alert(deployment.warehouse, alert, address, now):
                sent.append(f"sent to {address.name}: {done.subject}")
                problems += filter(None, [done.problem])
        except PipelineError as error:
            problems.append(f"alert not sent: {error}; to try again: samegoal-pipelines alerts test")
        except Exception as error:  # its text may quote a message
            what = f"unforeseen {type(error).__name__}; report this"
            problems.append(f"alert not sent: {address.name}: {what}")
    return sent, list(dict.fromkeys(problems))


def _bring_up_to_date(red: dict[str, Any], boards: Iterable[Board]) -> dict[str, Finding]:
    """The findings (by district) that bring the check on_time in line with the boards.

    `red`, district → night and state of each red check, is updated with them.
    """
    judged = {one.id: one for board in boards for one in board.districts}
    wanted = {one.id: [str(one.night), one.state] for one in judged.values() if one.in_trouble}
    changed = [one for one in sorted({*red, *wanted}) if red.get(one) != wanted.get(one)][:EVENTS_AT_ONCE]
    for district_id in changed:
        red.pop(district_id, None)
        if district_id in wanted:
            red[district_id] = wanted[district_id]
    # a district that is not judged was erased
    return {district_id: _finding(judged[district_id]) for district_id in changed if district_id in judged}


def _show(instance: dg.DagsterInstance, findings: Mapping[str, Finding]) -> None:
    """Record the findings (by district) as evaluations of the check on_time.

    A sensor cannot report the events itself: without a run, Dagster 1.13 stores one evaluation per partition
    and refuses later ones (a unique key over asset, check, run and partition). The run is in this process. In
    the queue it would wait behind the late runs.
    """

    @dg.op(out=dg.Out(dg.Nothing))
    def show_outcomes(context: dg.OpExecutionContext) -> None:
        for district_id, finding in findings.items():
            evaluation = check_evaluation(instance, PUBLISHED_SNAPSHOT, ON_TIME_CHECK, district_id, finding)
            context.log_event(evaluation)  # type: ignore[arg-type]  # accepts it, contrary to its signature

    dg.GraphDefinition("show_lateness", node_defs=[show_outcomes]).execute_in_process(
        instance=instance, run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    )


def _finding(one: DistrictNight) -> Finding:
    """The outcome of the check on_time for a district."""
    what = {"night": str(one.night), "state": one.state}
    if one.in_trouble:
        what |= {"reason": one.reason or "", "what to do": one.next_step or ""}
        said = f"overdue since {DEADLINE:%H:%M} of {one.night}: {one.state}, {one.since}"
    elif one.state == "published":
        on_time = one.tonight is None or (one.tonight.published_at or one.deadline) <= one.deadline
        when = "by" if on_time else "after"
        said = f"the snapshot of {one.night} was published {when} {DEADLINE:%H:%M} of the district's time"
    else:
        said = f"no snapshot of {one.night} is due: {one.reason or one.state}"
    return Finding(not one.in_trouble, said, what, ERROR)


@dg.multi_asset_check(
    specs=[
        district_check(
            PUBLISHED_SNAPSHOT,
            ON_TIME_CHECK,
            "The night's snapshot is published by 06:00 local time. Red: it is overdue because "
            "it failed, is held, or nothing has run. The sensor night_alert turns the check red, and the "
            "next snapshot turns it green.",
        ),
        district_check(
            PUBLISHED_SNAPSHOT,
            CONFIRMED_CHECK,
            "The district's contact was told by e-mail, after the first published snapshot, that setup is "
            "complete. Yellow: the message could not be sent; the next night tries again.",
        ),
    ]
)
def once_published(district_run: dg.ResourceParam[DistrictRun]) -> Iterator[dg.AssetCheckResult]:
    """Check the night of this run, as the sensor does, and tell the contact. One step for both."""
    with as_dagster_failure(ON_TIME_CHECK, district_run):
        deployment, district = district_run.deployment, district_run.district
        one = read_district(deployment.warehouse, datetime.now(UTC), district.id, district_run.today)
    yield dg.AssetCheckResult(check_name=ON_TIME_CHECK, **_finding(one).for_dagster())
    yield dg.AssetCheckResult(check_name=CONFIRMED_CHECK, **_confirmed(deployment, district).for_dagster())


def _confirmed(deployment: Deployment, district: District) -> Finding:
    """Send the message if it is due. A mail server that is down fails no night."""
    problem, said = None, "the contact was told that setup is complete"
    if not district.contact:
        said = "the district has no contact"
    elif district.confirmed_at is None:
        try:
            urls = deployment.settings.mail_urls
            problem = confirm_setup(deployment.warehouse, district, urls, datetime.now(UTC))
        except PipelineError as error:
            problem = error.reason
    if problem:
        said = f"{problem}; to send it now: samegoal-pipelines districts confirm {district.id}"
    return Finding(not problem, said, {})
