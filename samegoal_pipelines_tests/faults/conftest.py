"""The fixtures of bad nights; see `samegoal_pipelines_tests.faults.standing`."""

import pytest

pytest.register_assert_rewrite("samegoal_pipelines_tests.faults.standing")

from samegoal_pipelines_tests.faults.standing import (  # noqa: E402
    ask,
    fails,
    holds,
    published_once,
    standing,
    tonight,
)

__all__ = ["ask", "fails", "holds", "published_once", "standing", "tonight"]
