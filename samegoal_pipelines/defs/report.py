"""Group report: the page about a night of all districts, and the sensor that requests it afterwards.

The warehouse says which night is over, and Dagster's runs say whether it was reported, so a restart neither
forgets a night nor reports it twice. The page's content is decided in `reporting`.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Any

import dagster as dg
from pydantic import Field

from samegoal_pipelines.defs.district_run import TODAY_TAG, read_date
from samegoal_pipelines.defs.errors import unforeseen
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.reporting.messages import Message, missing_report_message
from samegoal_pipelines.reporting.nightly_status import newest_night, read_board
from samegoal_pipelines.reporting.report import FOLDER, make_report

REPORT_JOB = "make_nightly_report"
TRIES = 3
"""The number of attempts to make a night's report."""
BOARD_TAG = "samegoal/board"
"""The tag of a report's run: the fingerprint of the reported board."""
_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


class WhichNight(dg.Config):
    """The night of a report."""

    night: str = Field(default="", description="YYYY-MM-DD. Blank: every district's newest night.")
    forecast: bool = Field(
        default=True,
        description="Also forecast the next two weeks, which takes a fraction of a second per district.",
    )


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
    from samegoal_pipelines.reporting import page  # its plots take a second to import

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
    """The file's location, or why it is missing. The report is shown either way."""
    try:
        return dg.MetadataValue.path(deployment.landing.keep_page(FOLDER, night, page))
    except LandingError as error:
        context.log.error(f"nightly_report: {error}")
        return dg.MetadataValue.text(f"not saved as a file: {error}")


@contextmanager
def _plainly_failing() -> Iterator[None]:
    """Replace any error by one plain line, because its text may quote a row."""
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
    # It only reads, so it can run without a person's decision.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests the report when every due district is published or held, or its deadline (06:00 "
    "local time) has passed, and again when the night changes, such as by a release. A failed report is "
    "tried three times.",
)
def report_after_the_night(
    context: dg.SensorEvaluationContext, deployment: dg.ResourceParam[Deployment]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request the reports of nights that are over and not reported in their current state."""
    yield from reports_due(context.instance, deployment, datetime.now(UTC))


def reports_due(
    instance: dg.DagsterInstance, deployment: Deployment, now: datetime
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """The reports to request. The last night may not be over when tonight has begun further east.

    A report is made again if its night has changed, such as by a release or a later failure. The last night's
    report is not made again after tonight's, because the asset shows the latest report.
    """
    newest = newest_night(deployment.warehouse, now)
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
            # Dagster starts no second run for the same key, even if the first failed.
            yield dg.RunRequest(
                run_key=f"report:{night}:{board.fingerprint}:{len(runs[night]) + 1}",
                tags={TODAY_TAG: night.isoformat(), BOARD_TAG: board.fingerprint},
            )
    if len(why_not) == len(nights):
        yield dg.SkipReason("; ".join(f"the night {night} {why}" for night, why in why_not.items()))


def _reports_of(instance: dg.DagsterInstance, night: date) -> list[dg.DagsterRun]:
    """The runs that report a night, newest first."""
    asked_for = dg.RunsFilter(job_name=REPORT_JOB, tags={TODAY_TAG: night.isoformat()})
    return list(instance.get_runs(asked_for))


def _tries(runs: Sequence[dg.DagsterRun], fingerprint: str) -> int | None:
    """The number of failed reports of the night's current state. None: one succeeded or is in progress."""
    if any(not run.is_finished for run in runs):
        return None
    latest = list(takewhile(lambda run: run.tags.get(BOARD_TAG) == fingerprint, runs))
    return None if any(run.is_success for run in latest) else len(latest)


def missing_reports(instance: dg.DagsterInstance, nights: Collection[date]) -> Iterator[tuple[date, Message]]:
    """Messages about the nights without a report that will not get one."""
    for night in sorted(nights):
        runs = _reports_of(instance, night)
        if len(runs) >= TRIES and all(run.status in _FAILED for run in runs):
            yield night, missing_report_message(night, len(runs), runs[0].run_id)
