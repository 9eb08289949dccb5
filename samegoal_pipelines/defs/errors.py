"""Turn errors into failures of a step, and record the failures of a night.

Every failure names the district, the step and what to do. It contains no value of a row, so the text of an
unforeseen exception is dropped.
"""

import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import dagster as dg

from samegoal_pipelines.defs.district_run import OUTCOME_TAG, RETRIES, DistrictRun, NotTonightError
from samegoal_pipelines.districts.errors import SecretAwaitedError
from samegoal_pipelines.errors import REPORT, Kind, PipelineError, fill_in
from samegoal_pipelines.warehouse import snapshots

_REASON, _NEXT_STEP = "reason", "next step"  # in a failure's metadata
LONGEST_WAIT = 300.0  # seconds: no retry if a source asks for a longer wait
_SPREAD = 0.25  # so that districts that failed together do not retry together


@contextmanager
def as_dagster_failure(step: str, run: DistrictRun, *, of_night: bool = False) -> Iterator[None]:
    """Turn an error inside into a failure of the step that names the district, the step and what to do.

    With `of_night`, the night fails with the step: the failure is written to `snapshots`, and the step is
    retried if that can help and the run has a retry left. If one succeeds, the night's row is published.
    """
    try:
        yield
    except (dg.RetryRequested, dg.Failure):
        raise
    except dg.DagsterExecutionInterruptedError:
        if of_night:
            stopped = PipelineError("stopped by hand or by the machine", kind=Kind.STOPPED)
            _record(run, _in_step(stopped, step, run, of_night=True))
        raise
    except Exception as caught:
        error = _in_step(caught, step, run, of_night=of_night)
        next_step, wait = error.next_step, None
        if of_night:
            next_step, wait = error.next_step_of_night, wait_after(error, run.waits)
            if wait is not None:
                error.detail += f"; this run tries it again after {wait:.0f} seconds"
            _record(run, error)
        to_do = fill_in(next_step, run.district_id, run.run_id)
        failure = dg.Failure(
            "; ".join(filter(None, [f"{run.district_id}: {error.reason}", to_do])),
            metadata={_REASON: error.reason, _NEXT_STEP: to_do},
            allow_retries=False,  # Dagster would also retry a stopped run
        )
        if wait is None:
            raise failure from None
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=wait) from failure


class RunFailedError(PipelineError):
    """A run ended without a snapshot. Its kind is STOPPED if a person or the machine stopped its process."""


def error_of(result: dg.ExecuteInProcessResult, district_id: str) -> RunFailedError | None:
    """Why a district's run in this process failed, and what to do. None if it succeeded."""
    if result.success:
        return None
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    if any(f.error and f.error.cls_name == dg.DagsterExecutionInterruptedError.__name__ for f in failures):
        return RunFailedError("stopped", district_id=district_id, kind=Kind.STOPPED)
    for failure in (one.user_failure_data for one in failures if one.user_failure_data):
        said = {name: str(value.value) for name, value in failure.metadata.items()}
        reason, to_do = said.get(_REASON, str(failure.description)), said.get(_NEXT_STEP)
        return RunFailedError(reason, district_id=district_id, next_step=to_do)
    to_do = fill_in(snapshots.OPEN_THE_RUN, district_id, result.run_id)
    return RunFailedError("the run failed before its first step", district_id=district_id, next_step=to_do)


def wait_after(error: PipelineError, waits: Iterator[float]) -> float | None:
    """Seconds until the failed step is retried, from what is left of a run's waits. None: no retry."""
    asked_for = getattr(error, "retry_after", None) or 0.0
    if not error.transient or asked_for > LONGEST_WAIT or (wait := next(waits, None)) is None:
        return None
    return max(asked_for, wait * random.uniform(1 - _SPREAD, 1 + _SPREAD))  # noqa: S311


def _in_step(caught: Exception, step: str, run: DistrictRun, *, of_night: bool) -> PipelineError:
    """The error with its step and district. An unforeseen one becomes a defect."""
    error = caught
    if not isinstance(error, PipelineError):
        stays = "; last night's snapshot stays" if of_night else ""  # others may follow a publish
        error = PipelineError(unforeseen(caught) + stays, kind=Kind.DEFECT, next_step=REPORT)
    error.step = f"{step}: {error.step}" if error.step else step
    error.district_id = run.district_id
    return error


def _record(run: DistrictRun, error: PipelineError) -> None:
    """Write a failure to `snapshots`. An unreachable warehouse must not hide the reason.

    A district that awaits its secret never counts as failed, and a refused re-execution is no attempt of its
    original night.
    """
    if isinstance(error, SecretAwaitedError) or (isinstance(error, NotTonightError) and not run.is_scheduled):
        return
    tag_outcome(run, "failed")
    with suppress(PipelineError):
        snapshots.record_failure(run.deployment.warehouse, run.identity(), error)


def tag_outcome(run: DistrictRun, outcome: Literal["held", "failed", "published"]) -> None:
    """Tag the run for the list of runs. An unavailable storage must not hide why the run failed."""
    with suppress(Exception):
        run.outcome = outcome
        run.instance.add_run_tags(run.run_id, {OUTCOME_TAG: outcome})


def unforeseen(error: Exception) -> str:
    """Describe an unforeseen error by its type and place. Its text may quote a row."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"unforeseen {type(error).__name__} at {place.filename.rsplit('/', 1)[-1]}:{place.lineno}"


def in_plain_words(error: Exception) -> str:
    """The text of a foreseen error, and of any other its type and place."""
    return str(error) if isinstance(error, PipelineError) else f"{unforeseen(error)}; please report it"
