"""The sensor that raises its voice when snapshots are missing, and the check that shows it for each district.

Dagster's freshness policies know an asset, not its partitions: any district's snapshot would do for all. So
each deadline is looked at here, also when nothing has run at all. What is wrong, what was told already and
how it reads is decided in `reports`; how it is sent, in `alarms`.
"""

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from time import monotonic
from typing import Any

import dagster as dg

from samegoal_pipelines.alarms.channels import Channel, ChannelError, channels_of
from samegoal_pipelines.defs.gate import PUBLISHED_SNAPSHOT
from samegoal_pipelines.defs.night import Night
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.report import missing_reports
from samegoal_pipelines.defs.steps import last_materialization, plainly_failing
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.reports.alarm import boards_judged, tell, tell_of_report
from samegoal_pipelines.reports.board import DEADLINE, Board, DistrictNight, read_board
from samegoal_pipelines.reports.message import MissingReport
from samegoal_pipelines.reports.words import since
from samegoal_pipelines.warehouse.errors import WarehouseError

ON_TIME_CHECK = "on_time"
SECONDS_OF_A_CHANNEL = 10
"""After how many seconds a look begins no further message through a channel: a tick has 60 in all."""
EVENTS_AT_ONCE = 200
"""How many districts' checks one look changes at most: the daemon writes them one by one."""


class AlarmNotSent(Exception):
    """A channel could not send; says why, without a secret."""


@dg.sensor(
    name="night_alarm",
    minimum_interval_seconds=60,
    # Whoever forgets to switch the schedule on must hear of it; without a channel it is a line in the log.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="At 06:00 of each time zone: one message through every channel about the districts whose "
    "snapshot of the night failed, is held or has not come, and their check on_time turns red. Also when "
    "nothing has run at all.",
)
def night_alarm(
    context: dg.SensorEvaluationContext, deployment: dg.ResourceParam[Deployment]
) -> dg.SensorResult:
    """Look at every deadline that has passed last."""
    return look(context, deployment, datetime.now(UTC))


def look(context: dg.SensorEvaluationContext, deployment: Deployment, now: datetime) -> dg.SensorResult:
    """Tell what has not been told, and bring the checks up to date.

    Raises:
        AlarmNotSent: a channel failed, and there was nothing else to write down: the tick is red. The next
            one tries again.
    """
    boards = boards_judged(deployment.warehouse, now)
    red = {**json.loads(context.cursor or "{}")}
    outcomes = _bring_up_to_date(red, [*boards, *_boards_of_the_others(deployment, red, boards, now)])
    missing = missing_reports(context.instance, {board.night for board in boards})
    with _telling_all(deployment, boards, missing, now) as told:  # meanwhile: neither waits for the other
        if outcomes:
            _show(context.instance, outcomes)
    sent, faults = told()
    for line in sent:
        context.log.info(line)
    for line in faults:
        context.log.error(line)
    if faults and not outcomes:
        raise AlarmNotSent("; ".join(faults))
    said = "; ".join([*faults, *sent]) or f"{len(boards)} deadline(s) looked at, nothing new to tell"
    return dg.SensorResult(cursor=json.dumps(red), skip_reason=dg.SkipReason(said))


def _boards_of_the_others(
    deployment: Deployment, red: Mapping[str, Any], boards: Sequence[Board], now: datetime
) -> Iterator[Board]:
    """Red districts that no deadline speaks of any more: the last active one of a time zone was disabled."""
    others = red.keys() - {one.district_id for board in boards for one in board.districts}
    if others:
        night = max(date.fromisoformat(red[district_id][0]) for district_id in others)
        yield read_board(deployment.warehouse, night, now, others)


@contextmanager
def _telling_all(
    deployment: Deployment, boards: Sequence[Board], missing: Sequence[MissingReport], now: datetime
) -> Iterator[Callable[[], tuple[list[str], list[str]]]]:
    """Tell of boards and reports through every channel, each in a thread; at the end all of them are done.

    A channel that fails or hangs keeps no other from it, and a message that is refused no later one.

    Yields:
        What, asked at the end, says what was sent and what went wrong, in a line each.
    """
    settings = deployment.settings
    channels = channels_of(
        email_to=settings.alarm_email_to,
        email_from=settings.alarm_email_from,
        smtp_url=settings.smtp_url,
        webhook_url=settings.alarm_webhook_url,
    )

    def tell_through(channel: Channel) -> tuple[list[str], list[str]]:
        sent: list[str] = []
        faults: dict[str, None] = {}  # each once, though it be the same for every message
        began = monotonic()
        all_there_is = [
            *(partial(tell, deployment.warehouse, board) for board in boards),
            *(partial(tell_of_report, deployment.warehouse, report) for report in missing),
        ]
        for tell_it in all_there_is:
            if monotonic() - began > SECONDS_OF_A_CHANNEL:
                faults[f"alarm not sent: {channel.name} is slow: the rest comes with the next look"] = None
                break
            try:
                message = tell_it(channel, now)
            except (ChannelError, WarehouseError) as error:
                faults[f"alarm not sent: {error}"] = None
                continue
            except Exception as error:  # whatever it is, the other channels and districts are told
                what = f"{channel.name}: unforeseen {type(error).__name__}; report this"
                faults[f"alarm not sent: {what}"] = None
                continue
            if message is not None:
                sent.append(f"sent by {channel.name}: {message.subject}")
        return sent, [*faults]

    with ThreadPoolExecutor(len(channels)) as threads:
        outcomes = threads.map(tell_through, channels)

        def told() -> tuple[list[str], list[str]]:
            found = list(outcomes)
            return [line for sent, _ in found for line in sent], [
                line for _, wrong in found for line in wrong
            ]

        yield told


def _bring_up_to_date(red: dict[str, Any], boards: Iterable[Board]) -> list[dict[str, Any]]:
    """The outcomes that make the check on_time say what the boards say.

    Args:
        red: district → night and state of the red that is shown; is changed to what will be shown then.
    """
    judged = {one.district_id: one for board in boards for one in board.districts}
    wanted = {one.district_id: [str(one.night), one.state] for one in judged.values() if one.in_trouble}
    changed = [
        district_id
        for district_id in sorted({*red, *wanted})
        if red.get(district_id) != wanted.get(district_id)
    ]
    outcomes = []
    for district_id in changed[:EVENTS_AT_ONCE]:
        if district_id in wanted:
            red[district_id] = wanted[district_id]
        else:
            red.pop(district_id)
        if district_id in judged:  # else it was erased
            outcomes.append({"district_id": district_id, **_outcome(judged[district_id])})
    return outcomes


class Outcomes(dg.Config):
    """What the check on_time is to say: district_id, passed, description, metadata of each."""

    outcomes: list[dict[str, Any]]


@dg.op(out=dg.Out(dg.Nothing))
def show_outcomes(context: dg.OpExecutionContext, config: Outcomes) -> None:
    """Write the outcomes down as evaluations of the check."""
    for one in config.outcomes:
        context.log_event(  # which takes evaluations, though its signature does not say so
            dg.AssetCheckEvaluation(  # type: ignore[arg-type]
                asset_key=dg.AssetKey(PUBLISHED_SNAPSHOT),
                check_name=ON_TIME_CHECK,
                passed=one["passed"],
                description=one["description"],
                metadata=one["metadata"],
                target_materialization_data=last_materialization(
                    context.instance, PUBLISHED_SNAPSHOT, one["district_id"]
                ),
                partition=one["district_id"],
            )
        )


@dg.job(
    executor_def=dg.in_process_executor,
    description="Turns the check on_time of districts red and green; the sensor night_alarm runs it.",
)
def show_lateness() -> None:
    """One step for all districts that have changed."""
    show_outcomes()


def _show(instance: dg.DagsterInstance, outcomes: list[dict[str, Any]]) -> None:
    """Run that job here and now: in the queue it would wait behind the very runs that are late.

    A sensor's own asset events will not do: without a run, Dagster 1.13 stores one evaluation per partition
    and refuses every later one (a unique key over asset, check, run and partition).
    """
    show_lateness.execute_in_process(
        instance=instance,
        run_config={
            "ops": {"show_outcomes": {"config": {"outcomes": outcomes}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )


def _outcome(one: DistrictNight) -> dict[str, Any]:
    """What the check says of a district: passed, description, metadata."""
    what = {"night": str(one.night), "state": one.state}
    if one.in_trouble:
        what |= {"reason": one.reason or "", "what to do": one.remedy or ""}
        said = f"overdue since {DEADLINE:%H:%M} of {one.night}: {one.state}, {since(one)}"
    elif one.state == "published":
        when = "by" if one.published_at is None or one.published_at <= one.deadline else "after"
        said = f"the snapshot of {one.night} is there; it came {when} {DEADLINE:%H:%M} of the district's time"
    else:
        said = f"no snapshot of {one.night} is waited for: {one.reason or one.state}"
    return {"passed": not one.in_trouble, "description": said, "metadata": what}


with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.PreviewWarning)  # of checks with partitions, in Dagster 1.13

    @dg.asset_check(
        asset=PUBLISHED_SNAPSHOT,
        name=ON_TIME_CHECK,
        partitions_def=DISTRICTS,
        description="The snapshot of the night is there by 06:00 of the district's time. Red: it is overdue, "
        "because it failed, is held, or nothing has run at all. The sensor night_alarm turns it red, and the "
        "next snapshot green.",
    )
    def on_time(
        night: dg.ResourceParam[Night], deployment: dg.ResourceParam[Deployment]
    ) -> dg.AssetCheckResult:
        """Look at the night of this run, as the sensor does."""
        with plainly_failing(ON_TIME_CHECK, night):
            board = read_board(deployment.warehouse, night.today, datetime.now(UTC), [night.district.id])
            if not board.districts:
                told = f"the district was registered after the night of {night.today}"
                return dg.AssetCheckResult(passed=True, description=told)
            return dg.AssetCheckResult(**_outcome(board.districts[0]))
