"""The fixtures of bad nights; see `samegoal_pipelines_tests.faults.fixtures`."""

import pytest

pytest.register_assert_rewrite("samegoal_pipelines_tests.faults.fixtures")

from samegoal_pipelines_tests.faults.fixtures import (  # noqa: E402
    ask,
    fails,
    holds,
    published,
    published_once,
    tonight,
)

__all__ = ["ask", "fails", "holds", "published", "published_once", "tonight"]
