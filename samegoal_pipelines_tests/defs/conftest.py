"""The fixtures of whole nights, and Dagster's instance."""

from collections.abc import Iterator

import dagster as dg
import pytest

from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines_tests.cli.asking import ask as ask
from samegoal_pipelines_tests.pipeline import *  # noqa: F403


@pytest.fixture
def instance(deployment: Deployment) -> Iterator[dg.DagsterInstance]:
    """The deployment's own, on Postgres."""
    with open_instance(deployment.settings) as opened:
        yield opened
