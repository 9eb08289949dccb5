"""Group report: the page about a night of all districts, and the sensor that requests it afterwards.

The warehouse says which night is over, and Dagster's runs say whether it was reported, so a restart neither
forgets a night nor reports it twice.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Any

import dagster as dg
from pydantic import Field

from samegoal_pipelines.defs.district_run import TODAY_TAG, read_date
from samegoal_pipelines.defs.errors import in_plain_words
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.reporting.addresses import Message
from samegoal_pipelines.reporting.messages import missing_report_message
from samegoal_pipelines.reporting.nightly_status import newest_night, read_board
from samegoal_pipelines.reporting.report import make_report

REPORT_JOB = "make_nightly_report"
TRIES = 3
"""The number of attempts to make a night's report."""
BOARD_TAG = "samegoal/board"
"""The tag of a report's run: the fingerprint of the reported board."""


class WhichNight(dg.Config):
    """The night of a report."""

    night: str = Field(default="", description="YYYY-MM-DD. Blank: every district's newest night.")


@dg.asset(
    group_name="report",
    kinds={"markdown"},
    deps=["published_snapshot"],
    description="The result of the night in every district: published, held, failed, late and paused, with "
    "reason and next step; the trend of the last 60 nights; which Integration Access expires; and the "
    "forecast of the next two weeks if nobody edits anything. The landing has it as one HTML file.",
)
def nightly_report(
    context: dg.AssetExecutionContext, config: WhichNight, deployment: dg.ResourceParam[Deployment]
) -> dg.MaterializeResult[Any]:
    """The page about one night of all districts."""
    try:
        named = config.night or context.run.tags.get(TODAY_TAG)
        night = read_date(named, "the night") if named else None
        now = datetime.now(UTC)
        report = make_report(deployment.warehouse, now, night, landing=deployment.landing)
        html = report.html(deployment.settings.ui_url)
        where: dg.MetadataValue[Any]
        try:
            where = dg.MetadataValue.path(deployment.landing.keep_page(report.board.night, html))
        except LandingError as error:  # the report is shown all the same
            context.log.error(f"nightly_report: {error}")
            where = dg.MetadataValue.text(f"not saved as a file: {error}")
        return dg.MaterializeResult(
            metadata={
                "report": dg.MetadataValue.md(report.markdown()),
                "plots": dg.MetadataValue.md(report.plots_markdown()),
                "page": where,
                "night": report.board.night.isoformat(),
                "summary": report.board.summary,
                **report.board.totals,
            }
        )
    except Exception as error:
        said = f"nightly_report: {in_plain_words(error)}"
        raise dg.Failure(said, allow_retries=False) from None


make_nightly_report = dg.define_asset_job(
    REPORT_JOB,
    selection=[nightly_report],
    description="Make the page about one night of all districts.",
)


@dg.sensor(
    name="report_after_the_night",
    job=make_nightly_report,
    minimum_interval_seconds=60,
    # It only reads, so it can run without a person's decision.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests the report when every due district is published or held, or its deadline (06:00 "
    "local time) has passed, and again when the night changes, such as by a release. A failed report is "
    "tried three times.",
)
def report_after_the_night(
    context: dg.SensorEvaluationContext, deployment: dg.ResourceParam[Deployment]
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request the reports of nights that are over and not reported in their current state."""
    due = reports_due(context.instance, deployment, datetime.now(UTC))
    return due or dg.SkipReason("every night that is over is reported, or its report is being made")


def reports_due(instance: dg.DagsterInstance, deployment: Deployment, now: datetime) -> list[dg.RunRequest]:
    """The reports to request. The last night may not be over when tonight has begun further east.

    A report is made again if its night has changed, such as by a release or a later failure. The last night's
    report is not made again after tonight's, because the asset shows the latest report.
    """
    newest = newest_night(deployment.warehouse, now)
    runs = {night: _reports_of(instance, night) for night in (newest - timedelta(days=1), newest)}
    due = []
    for night, made in runs.items():
        if night != newest and made and any(run.is_success for run in runs[newest]):
            continue
        board = read_board(deployment.warehouse, night, now)
        if board.over and _may_be_tried(made, board.fingerprint):
            # Dagster starts no second run for the same key, even if the first failed.
            key = f"report:{night}:{board.fingerprint}:{len(made) + 1}"
            tags = {TODAY_TAG: night.isoformat(), BOARD_TAG: board.fingerprint}
            due.append(dg.RunRequest(run_key=key, tags=tags))
    return due


def _reports_of(instance: dg.DagsterInstance, night: date) -> list[dg.DagsterRun]:
    """The runs that report a night, newest first."""
    asked_for = dg.RunsFilter(job_name=REPORT_JOB, tags={TODAY_TAG: night.isoformat()})
    return list(instance.get_runs(asked_for))


def _may_be_tried(runs: Sequence[dg.DagsterRun], fingerprint: str) -> bool:
    """Whether no report is in progress, and the night's current state was neither reported nor given up."""
    latest = list(takewhile(lambda run: run.tags.get(BOARD_TAG) == fingerprint, runs))
    reported = any(run.is_success for run in latest)
    return all(run.is_finished for run in runs) and not reported and len(latest) < TRIES


def missing_reports(instance: dg.DagsterInstance, nights: Collection[date]) -> Iterator[tuple[date, Message]]:
    """Messages about the nights without a report that will not get one."""
    for night in sorted(nights):
        runs = _reports_of(instance, night)
        if len(runs) >= TRIES and all(run.is_finished and not run.is_success for run in runs):
            yield night, missing_report_message(night, len(runs), runs[0].run_id)
