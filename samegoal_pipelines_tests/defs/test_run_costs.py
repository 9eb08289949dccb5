"""What a night's run costs Dagster's storage: events and statements, counted rather than timed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import dagster as dg
import sqlalchemy as sa

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.defs.nightly import nightly_snapshot
from samegoal_pipelines_tests.defs.test_night import FIVE_STUDENTS
from samegoal_pipelines_tests.pipeline import TODAY

EVENTS = 62
"""At most so many beside the nine plans to materialize an asset. Dagster alone would store 140."""
STATEMENTS = 316
"""At most so many, the warehouse's own included. Dagster alone would take 590."""


@contextmanager
def counted_statements() -> Iterator[Counter[str]]:
    counted: Counter[str] = Counter()

    def count(_connection, _cursor, statement: str, *_rest) -> None:
        counted[" ".join(statement.split())[:120]] += 1

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        yield counted
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)


def test_a_night_stores_few_events_with_few_statements_and_shows_every_outcome(pipeline, good_night):
    good_night(FIVE_STUDENTS)
    with counted_statements() as statements:
        night = pipeline.run(today=TODAY + timedelta(days=1))
    assert night.published, night.reason

    with open_instance(pipeline.deployment.settings) as instance:
        logs = instance.all_logs(night.run_id)
    stored = [log.dagster_event for log in logs if log.dagster_event]
    events = Counter(log.dagster_event_type for log in logs)
    planned = events.pop(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    assert planned == 9
    assert events.total() <= EVENTS, events.most_common()
    assert statements.total() <= STATEMENTS, statements.most_common(20)
    partition_look_ups = sum(n for text, n in statements.items() if "FROM dynamic_partitions" in text)
    assert partition_look_ups <= 3, partition_look_ups

    layer = build_defs(pipeline.deployment).resolve_job_def(nightly_snapshot.name).asset_layer
    materialized = {event.asset_key for event in stored if event.is_step_materialization}
    evaluated = {
        event.asset_check_evaluation_data.asset_check_key
        for event in stored
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    }
    assert materialized == set(layer.selected_asset_keys)
    of_them = {key for key in layer.asset_graph.asset_check_keys if key.asset_key in materialized}
    assert len(of_them) > len(materialized)
    assert evaluated == of_them
    started, ended = (
        {event.step_key for event in stored if event.event_type == kind}
        for kind in (dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS)
    )
    assert started == ended


def test_a_sound_night_sets_pandera_up_for_no_table(pipeline, good_night, monkeypatch):
    """Each table is checked once against its declaration; pandera says what is wrong with a broken one."""
    validated: list[str] = []
    monkeypatch.setattr(
        "pandera.pandas.DataFrameSchema.validate", lambda schema, *_, **__: validated.append(schema.name)
    )
    good_night(FIVE_STUDENTS)
    assert validated == []
