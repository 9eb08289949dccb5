"""The fixtures of whole nights; see `samegoal_pipelines_tests.pipeline`."""

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
