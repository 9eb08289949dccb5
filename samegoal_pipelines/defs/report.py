"""Group report: the page about the night of all districts, and the sensor that asks for it afterwards.

Which night is over is read from the warehouse, and whether it was reported from Dagster's own runs: a restart
neither forgets a night nor reports it twice. What is on the page is decided in `reports`.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Any

import dagster as dg
from pydantic import Field

from samegoal_pipelines.defs.errors import unforeseen
from samegoal_pipelines.defs.night import TODAY_TAG, read_date
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.reporting.messages import Message, missing_report_message
from samegoal_pipelines.reporting.nightly_status import active_timezones, night_now, read_board
from samegoal_pipelines.reporting.report import FOLDER, make_report

REPORT_JOB = "make_nightly_report"
TRIES = 3
"""How many times the report of a night is tried."""
BOARD_TAG = "samegoal/board"
"""On the runs of a report: the fingerprint of the board that was to be reported."""
_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


class WhichNight(dg.Config):
    """What a report is about."""

    night: str = Field(default="", description="As YYYY-MM-DD; blank: every district's newest night.")
    forecast: bool = Field(
        default=True,
        description="Look at the next two weeks as well, which takes a part of a second for each district.",
    )


@dg.asset(
    group_name="report",
    kinds={"markdown"},
    deps=["published_snapshot"],
    description="What became of the night in every district: published, held, failed, late and paused, with "
    "reason and next step; how the last 60 snapshots went; which Integration Access expires; what the next "
    "two weeks bring if nobody edits anything. The same as one HTML file in the landing.",
)
def nightly_report(
    context: dg.AssetExecutionContext, config: WhichNight, deployment: dg.ResourceParam[Deployment]
) -> dg.MaterializeResult[Any]:
    """The page about one night of all districts."""
    from samegoal_pipelines.reporting import page  # whose plots take a second to import

    with _plainly_failing():
        named = config.night or context.run.tags.get(TODAY_TAG)
        report = make_report(
            deployment.warehouse,
            datetime.now(UTC),
            read_date(named, "the night") if named else None,
            landing=deployment.landing if config.forecast else None,
        )
        return dg.MaterializeResult(
            metadata={
                "report": dg.MetadataValue.md(page.markdown(report)),
                "plots": dg.MetadataValue.md(page.plots_markdown(report)),
                "page": _kept(
                    context, deployment, report.board.night, page.html(report, deployment.settings.ui_url)
                ),
                "night": report.board.night.isoformat(),
                "summary": report.board.summary,
                **report.board.totals,
            }
        )


def _kept(
    context: dg.AssetExecutionContext, deployment: Deployment, night: date, page: str
) -> dg.MetadataValue[Any]:
    """Where the file is; or why it is not there, which is no reason to show nothing at all."""
    try:
        return dg.MetadataValue.path(deployment.landing.keep_page(FOLDER, night, page))
    except LandingError as error:
        context.log.error(f"nightly_report: {error}")
        return dg.MetadataValue.text(f"not kept as a file: {error}")


@contextmanager
def _plainly_failing() -> Iterator[None]:
    """One plain line in the place of whatever goes wrong: a text from elsewhere may quote a row."""
    try:
        yield
    except PipelineError as error:
        raise dg.Failure(f"nightly_report: {error}", allow_retries=False) from None
    except Exception as error:
        raise dg.Failure(
            f"nightly_report: {unforeseen(error)}; please report it, and see in a terminal: "
            "samegoal-pipelines report",
            allow_retries=False,
        ) from None


make_nightly_report = dg.define_asset_job(
    REPORT_JOB,
    selection=[nightly_report],
    description="Make the page about one night of all districts.",
    executor_def=dg.in_process_executor,
)


@dg.sensor(
    name="report_after_the_night",
    job=make_nightly_report,
    minimum_interval_seconds=60,
    # It only reads, and shows what there is: nothing that a person would have to decide first.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the report when every district that is due has published or is held, or its "
    "deadline (06:00 of its own time) has passed; again when the night changes, such as by a release. "
    "A report that fails is tried three times.",
)
def report_after_the_night(
    context: dg.SensorEvaluationContext, deployment: dg.ResourceParam[Deployment]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for the reports of nights that are over and not reported as they are now."""
    yield from reports_due(context.instance, deployment, datetime.now(UTC))


def reports_due(
    instance: dg.DagsterInstance, deployment: Deployment, now: datetime
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """What the sensor asks for. The last night may not be over yet when this one has begun further east.

    A report is made again when its night has changed since: a hold was released, or a later run failed. The
    last night's is not, once tonight's is there: the asset shows the report that was made last.
    """
    newest = night_now(active_timezones(deployment.warehouse), now)
    nights = (newest - timedelta(days=1), newest)
    runs = {night: _reports_of(instance, night) for night in nights}
    tonight_is_there = any(run.is_success for run in runs[newest])
    why_not: dict[date, str] = {}
    for night in nights:
        if night != newest and runs[night] and tonight_is_there:
            why_not[night] = "is reported, and so is the night after it"
            continue
        board = read_board(deployment.warehouse, night, now)
        tries = _tries(runs[night], board.fingerprint)
        if tries is None:
            why_not[night] = "is reported, or its report is being made"
        elif not board.over:
            why_not[night] = "is not over, or no district was due"
        elif tries >= TRIES:
            why_not[night] = f"could not be reported in {tries} tries"
        else:
            # Dagster starts no second run for the same key, whatever became of the first.
            yield dg.RunRequest(
                run_key=f"report:{night}:{board.fingerprint}:{len(runs[night]) + 1}",
                tags={TODAY_TAG: night.isoformat(), BOARD_TAG: board.fingerprint},
            )
    if len(why_not) == len(nights):
        yield dg.SkipReason("; ".join(f"the night {night} {why}" for night, why in why_not.items()))


def _reports_of(instance: dg.DagsterInstance, night: date) -> list[dg.DagsterRun]:
    """The runs that were asked to report a night, newest first."""
    asked_for = dg.RunsFilter(job_name=REPORT_JOB, tags={TODAY_TAG: night.isoformat()})
    return list(instance.get_runs(asked_for))


def _tries(runs: Sequence[dg.DagsterRun], fingerprint: str) -> int | None:
    """How many runs failed to report the night as it is now. None: one has, or some run is still going."""
    if any(not run.is_finished for run in runs):
        return None
    latest = list(takewhile(lambda run: run.tags.get(BOARD_TAG) == fingerprint, runs))
    return None if any(run.is_success for run in latest) else len(latest)


def missing_reports(instance: dg.DagsterInstance, nights: Collection[date]) -> Iterator[tuple[date, Message]]:
    """Messages about those of these nights that have no report and will not get one."""
    for night in sorted(nights):
        runs = _reports_of(instance, night)
        if len(runs) >= TRIES and all(run.status in _FAILED for run in runs):
            yield night, missing_report_message(night, len(runs), runs[0].run_id)
