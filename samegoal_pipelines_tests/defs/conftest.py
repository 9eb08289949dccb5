"""The fixtures of whole nights; see `samegoal_pipelines_tests.pipeline`."""

from collections.abc import Iterator

import dagster as dg
import pytest

from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines_tests.cli.asking import ask
from samegoal_pipelines_tests.pipeline import (
    deployment,
    district,
    environment,
    good_night,
    pipeline,
    prepared,
    served,
    source,
)

__all__ = [
    "ask",
    "deployment",
    "district",
    "environment",
    "good_night",
    "pipeline",
    "prepared",
    "served",
    "source",
]


@pytest.fixture
def instance(deployment: Deployment) -> Iterator[dg.DagsterInstance]:
    """The deployment's own, on Postgres."""
    with open_instance(deployment.settings) as opened:
        yield opened
