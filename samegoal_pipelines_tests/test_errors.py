"""Every foreseen error says of what kind it is and what to do, without anybody parsing its message."""

import importlib
import pkgutil

import pytest

import samegoal_pipelines
from samegoal_pipelines.errors import SYNC, Kind, PipelineError, fill_in
from samegoal_pipelines.landing.store import LandedFileError
from samegoal_pipelines.postgres.errors import _MEANINGS, from_database
from samegoal_pipelines.qmlativ.errors import (
    InvalidCredentialsError,
    QmlativError,
    SourceUnavailableError,
)
from samegoal_pipelines.warehouse.errors import LateRunError

NOT_AT_NIGHT = {
    "AlertError",
    "PipelineError",
    "RunFailedError",
    "StudentsFileError",
}
"""Errors that no night can end with."""


def foreseen(error: type[PipelineError] = PipelineError) -> set[type[PipelineError]]:
    return {error}.union(*map(foreseen, error.__subclasses__()))


for module in pkgutil.walk_packages(samegoal_pipelines.__path__, "samegoal_pipelines."):
    if not {"__main__", "env", "deliver", "versions"} & {*module.name.split(".")}:
        importlib.import_module(module.name)


def test_every_error_that_can_end_a_night_has_a_kind_and_the_name_of_an_error():
    names = {error.__name__ for error in foreseen()}
    assert len(names) > 30
    assert {name for name in names if not name.endswith("Error")} == set()
    assert {error.__name__ for error in foreseen() if error.kind is Kind.OTHER} == NOT_AT_NIGHT


@pytest.mark.parametrize("error", sorted(foreseen(QmlativError), key=lambda error: error.__name__))
def test_every_error_of_qmlativ_says_what_to_do_before_the_night_is_run_again(error):
    made = error("what happened") if error.__init__ is PipelineError.__init__ else error("")  # type: ignore[misc]
    assert made.next_step_of_night.endswith(SYNC)
    if error is not QmlativError:  # nobody can do more about it than try again
        assert made.next_step_of_night != f"run the night again: {SYNC}"


def test_the_message_names_district_step_object_and_next_step():
    error = InvalidCredentialsError(
        "refused (HTTP 401)", "token", step="reading Qmlativ", district_id="grand-bend"
    )
    assert error.reason == "reading Qmlativ: token: refused (HTTP 401)"
    said = str(error)
    assert said.startswith("grand-bend: reading Qmlativ: token: refused (HTTP 401); check the Client Key")
    assert said.endswith("samegoal-pipelines districts rotate-secret grand-bend")


def test_an_instance_may_override_what_its_class_says():
    error = SourceUnavailableError("what", kind=Kind.ADDRESS, next_step="correct it", transient=False)
    assert error.kind is Kind.ADDRESS
    assert error.next_step_of_night == f"correct it; to run the night again: {SYNC}"
    assert not error.transient
    assert SourceUnavailableError("what").transient


def test_what_is_not_known_keeps_its_placeholder():
    assert fill_in("open RUN, then: sync ID", "alpha") == "open RUN, then: sync alpha"
    assert fill_in("open RUN, then: sync ID", "alpha", "0a1b") == "open 0a1b, then: sync alpha"
    assert fill_in("give EntityID", "alpha") == "give EntityID"


@pytest.mark.parametrize("state", sorted(_MEANINGS))
def test_whatever_postgres_says_leads_to_the_database_or_to_a_report(state):
    class Driver(Exception):
        pgcode = f"{state:0<5}"

    error = from_database(Driver(), "publishing")
    assert error.kind in {Kind.DATABASE, Kind.DEFECT}
    assert error.next_step


def test_a_night_that_is_over_is_not_run_again():
    error = LateRunError("what")
    assert error.next_step_of_night == error.next_step
    assert error.next_step.startswith("nothing")


def test_damaged_rows_are_read_again_and_no_disk_is_looked_at():
    assert LandedFileError.kind is Kind.LANDED_ROWS
    assert "space" not in LandedFileError.next_step
