"""A district with a good night behind it, and what a bad night must leave of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from samegoal_pipelines.districts.registry import Registry
from samegoal_pipelines.qmlativ.connection import RetryPolicy
from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict, SandboxServer
from samegoal_pipelines_tests.cli.asking import Answered, run
from samegoal_pipelines_tests.mass_changes import TOMORROW
from samegoal_pipelines_tests.pipeline import *  # noqa: F403
from samegoal_pipelines_tests.pipeline import TODAY, Pipeline, Prepared

OURS = "grand-bend"
STUDENTS = 24
LIMITS = {
    "page_size": 10,  # rows, so that what matters comes in several pages
    "retry_policy": RetryPolicy(attempts=3, backoff=0.001, longest_wait=0.01),
}
READING = "reading Qmlativ: "


@dataclass
class PublishedDistrict:
    """A registered district that is served, and where its nights are published."""

    pipeline: Pipeline
    district: SandboxDistrict
    limits: dict[str, Any] = field(default_factory=dict)
    """Of the connection: `connections` and the like."""

    @property
    def source(self) -> SandboxServer:
        return self.pipeline.source

    def hidden(self) -> set[str]:
        """What no message may hold: published values that no message has by chance, and secrets."""
        rows = self.pipeline.rows("select last_name, street, phone, email from samegoal.student_demographics")
        values = {value for row in rows for value in row if value and len(value) > 4}
        return values | {self.district.client_secret, "Sentinel"}

    def ledgers(self) -> list[tuple[Any, ...]]:
        tables = ("student_status_history", "student_demographics_history", "parent_demographics_history")
        counted = ", ".join(f"(select count(*) from samegoal.{table})" for table in tables)
        return self.pipeline.rows(f"select {counted}, (select count(*) from samegoal.student_changes)")


@pytest.fixture
def published(
    pipeline: Pipeline, prepared: Prepared[SandboxDistrict], monkeypatch: pytest.MonkeyPatch
) -> PublishedDistrict:
    """A district of a few pages, registered, served, and published once."""

    def first_night() -> SandboxDistrict:
        (district,) = Sandbox.generate(districts=1, students=STUDENTS, seed=7, today=TODAY).districts
        district.id = OURS
        pipeline.add(district)
        assert pipeline.run().published
        return district

    made = PublishedDistrict(pipeline, prepared("a generated district of a few pages", first_night))
    pipeline.source.traffic.clear()
    real = Registry.connection
    monkeypatch.setattr(
        Registry,
        "connection",
        lambda self, district, **how: real(self, district, **{**LIMITS, **made.limits, **how}),
    )
    return made


@pytest.fixture
def tonight(published: PublishedDistrict) -> Callable[[], Answered]:
    """Run the night after."""
    return lambda: run("sync", OURS, "--today", TOMORROW.isoformat())


BadNight = Callable[..., str]


@pytest.fixture
def fails(published: PublishedDistrict, tonight: Callable[[], Answered]) -> BadNight:
    """Tonight fails with these words and changes nothing. Return the message without the next step."""

    def night(*words: str, step: str = READING) -> str:
        line, reason = _ends(published, tonight, "failed", words)
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
        line, reason = _ends(published, tonight, "held", words)
        assert line.startswith(f"held: {OURS}: {reason}. To do: ")
        assert f"sync {OURS} --release" in line
        return line

    return night


def _ends(
    published: PublishedDistrict, tonight: Callable[[], Answered], state: str, words: tuple[str, ...]
) -> tuple[str, str]:
    """The night's one line, and its reason as `snapshots` has it."""
    before, ledgers = published.pipeline.published(), published.ledgers()
    assert before["student_status"]
    hidden = published.hidden()
    answered = tonight()
    assert answered.returncode == {"failed": 1, "held": 3}[state], answered
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
    kept = published.pipeline.rows("select event from dagster.event_logs where run_id = :id", id=run_id)
    everything = "\n".join([answered.stdout, answered.stderr, *(event for (event,) in kept)])
    assert not [value for value in hidden if value in everything]
    assert published.source.url not in answered.stdout + answered.stderr
    return line, reason
