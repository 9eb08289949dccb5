"""The fixtures of whole nights; see `samegoal_pipelines_tests.pipeline`."""

from samegoal_pipelines_tests.cli.asking import ask  # noqa: F401
from samegoal_pipelines_tests.pipeline import (  # noqa: F401
    deployment,
    district,
    environment,
    good_night,
    pipeline,
    prepared,
    served,
    source,
)
