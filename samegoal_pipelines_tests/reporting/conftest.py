"""Messages are sent from forked processes. The tests of `alerts test` start the real process."""

import pytest

from samegoal_pipelines_tests.reporting.delivering import fork_to_deliver


@pytest.fixture(autouse=True)
def _fast_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    fork_to_deliver(monkeypatch)
