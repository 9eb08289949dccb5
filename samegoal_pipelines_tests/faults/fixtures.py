"""A district with a good night behind it, and what a bad one must leave of it.

The nights run through the command's own entry point: reading a served sandbox, publishing into a real
Postgres. A night that fails changes nothing, so all tests share one district.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.registry import Registry
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.qmlativ.connection import RetryPolicy
from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict, SandboxServer, serve
from samegoal_pipelines_tests.cli.asking import Answered, Ask, run
from samegoal_pipelines_tests.conftest import _database
from samegoal_pipelines_tests.mass_changes import TOMORROW
from samegoal_pipelines_tests.pipeline import TODAY, Pipeline, no_compute_logs

OURS = "grand-bend"
STUDENTS = 24
PAGE = 10  # rows, so that what matters comes in several pages
ATTEMPTS = 3
IMPATIENT = RetryPolicy(attempts=ATTEMPTS, backoff=0.001, longest_wait=0.01)
READING = "reading Qmlativ: "


@dataclass
class PublishedDistrict:
    """A registered district that is served, and where its nights are published."""

    pipeline: Pipeline
    district: SandboxDistrict
    environment: dict[str, str]
    limits: dict[str, Any] = field(default_factory=dict)
    """Of the connection, for one night: `retry_policy`, `max_pages` and the like."""

    @property
    def source(self) -> SandboxServer:
        return self.pipeline.source

    @property
    def values(self) -> set[str]:
        """What stands in published rows and must stand in no message: texts that no message has by chance."""
        columns = ("last_name", "street", "phone", "email")
        return {value for column in columns for value in self.values_of(column) if len(value) > 4}

    def values_of(self, column: str) -> list[str]:
        rows = self.pipeline.rows(f"select {column} from samegoal.student_demographics")
        return [value for (value,) in rows if value]

    def ledgers(self) -> list[tuple[Any, ...]]:
        """The ledgers of what was published: neither may a failed night touch them."""
        tables = ("student_status_history", "student_demographics_history", "parent_demographics_history")
        counted = ", ".join(f"(select count(*) from samegoal.{table})" for table in tables)
        return self.pipeline.rows(f"select {counted}, (select count(*) from samegoal.student_changes)")


@pytest.fixture(scope="session")
def published_once(
    postgres: EmbeddedPostgres, deployment_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PublishedDistrict]:
    """A district of a few pages, registered, served, and published once; for all tests of this folder."""
    home = tmp_path_factory.mktemp("published") / "home"
    for url in _database(postgres, deployment_template):
        with serve(Sandbox([])) as source, pytest.MonkeyPatch.context() as patched:
            environment = {
                "SAMEGOAL_HOME": str(home),
                "SAMEGOAL_DATABASE_URL": url,
                "SAMEGOAL_ALLOW_LOCAL_SOURCES": "1",
                "DAGSTER_HOME": "",
            }
            for name, value in environment.items():
                patched.setenv(name, value)
            deployment = Deployment()
            (district,) = Sandbox.generate(districts=1, students=STUDENTS, seed=7, today=TODAY).districts
            district.id = OURS
            made = PublishedDistrict(Pipeline(deployment, source), district, environment)
            made.pipeline.add(district)
            assert made.pipeline.run().published
            patched.undo()
            yield made
            deployment.warehouse.dispose()


@pytest.fixture
def published(
    published_once: PublishedDistrict, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PublishedDistrict]:
    """That district tonight. What a test makes to go wrong is right again after it."""
    for name, value in published_once.environment.items():
        monkeypatch.setenv(name, value)
    real = Registry.connection
    limits = {"retry_policy": IMPATIENT, "page_size": PAGE}
    monkeypatch.setattr(
        Registry,
        "connection",
        lambda self, district, **how: real(self, district, **{**limits, **published_once.limits, **how}),
    )
    district = published_once.district
    district.denied_fields, district.denied_entities = set(), set()
    district.refused_conditions, district.ignored_conditions = set(), set()
    as_it_was = vars(district) | {"tables": dict(district.tables)}
    published_once.source.traffic.clear()
    yield published_once
    published_once.source.faults.clear()
    published_once.limits.clear()
    vars(district).update(as_it_was)


@pytest.fixture
def ask(published: PublishedDistrict) -> Ask:
    """A command of `samegoal-pipelines` on that deployment."""
    return run


@pytest.fixture
def tonight(ask: Ask) -> Callable[[], Answered]:
    """Run the night after."""

    def night() -> Answered:
        with no_compute_logs():
            return ask("sync", OURS, "--today", TOMORROW.isoformat())

    return night


BadNight = Callable[..., str]
_whole_nights: set[str] = set()


@pytest.fixture
def fails(
    published: PublishedDistrict, tonight: Callable[[], Answered], ask: Ask, request: pytest.FixtureRequest
) -> BadNight:
    """Tonight fails with these words and changes nothing. Return the message without the next step.

    Of the examples of one test that fail while reading, one is a whole night; the others are dry runs, which
    read in the same way and cost a third.
    """

    def night(*words: str, step: str = READING, whole: bool = False) -> str:
        if not whole and step == READING and request.function.__name__ in _whole_nights:
            line = _dry_run_fails(published, ask, words)
            reason = line.removeprefix(f"error: {OURS}: ").partition(". To do: ")[0]
        else:
            line, reason = _ends(published, tonight, "failed", 1, words)
            _whole_nights.add(request.function.__name__)
        assert line.startswith(f"error: {OURS}: {step}")
        said, _, to_do = line.partition(". To do: ")
        assert said == f"error: {OURS}: {reason}"
        assert to_do
        assert "{" not in to_do
        return said

    return night


@pytest.fixture
def holds(published: PublishedDistrict, tonight: Callable[[], Answered]) -> BadNight:
    """Tonight is held, saying these words, and everything stays as it was."""

    def night(*words: str) -> str:
        line, reason = _ends(published, tonight, "held", 3, words)
        assert line.startswith(f"held: {OURS}: {reason}. To do: ")
        assert f"sync {OURS} --release" in line
        return line

    return night


def _dry_run_fails(published: PublishedDistrict, ask: Ask, words: tuple[str, ...]) -> str:
    """The one line of a dry run that fails and says no value."""
    answered = ask("sync", OURS, "--today", TOMORROW.isoformat(), "--dry-run")
    assert answered.returncode == 1, answered
    (line,) = [line for line in answered.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word.removeprefix(READING) in line
    hidden = published.values | {published.district.client_secret, published.source.url, "Sentinel"}
    assert not [value for value in hidden if value in answered.stdout + answered.stderr]
    assert line.startswith(f"error: {OURS}: dry run: ")
    return line.replace("dry run: ", READING, 1)


def _ends(
    published: PublishedDistrict,
    tonight: Callable[[], Answered],
    state: str,
    status: int,
    words: tuple[str, ...],
) -> tuple[str, str]:
    """The night's one line, and its reason as `snapshots` has it."""
    before, ledgers = published.pipeline.published(), published.ledgers()
    assert before["student_status"]
    answered = tonight()
    assert answered.returncode == status, answered
    (line,) = [line for line in answered.stderr.splitlines() if line.startswith(("error: ", "held: "))]
    for word in words:
        assert word in line
    assert published.pipeline.published() == before
    assert published.ledgers() == ledgers
    ((run_id, was, reason),) = published.pipeline.rows(
        "select run_id, state, held_reason from samegoal.snapshots order by snapshot_id desc limit 1"
    )
    assert was == state
    assert published.pipeline.rows("select status from dagster.runs where run_id = :id", id=run_id) == [
        ("FAILURE",)
    ]
    says_no_value(published, run_id, answered.stdout + answered.stderr)
    return line, reason


def says_no_value(published: PublishedDistrict, run_id: str, output: str) -> None:
    """Neither what a person reads nor what Dagster keeps of the run quotes a row, a secret or a body."""
    kept = published.pipeline.rows("select event from dagster.event_logs where run_id = :id", id=run_id)
    everything = "\n".join([output, *(event for (event,) in kept)])
    hidden = published.values | {published.district.client_secret, published.source.url, "Sentinel"}
    assert not [value for value in hidden if value in output]
    assert not [value for value in hidden - {published.source.url} if value in everything]
