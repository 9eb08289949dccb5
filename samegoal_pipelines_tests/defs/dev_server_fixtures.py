"""The real webserver and daemon, and a browser to look at them with."""

from __future__ import annotations

import random
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from samegoal_pipelines_tests.defs.daemon_fixtures import Service

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE = 180_000  # milliseconds that a browser on a busy machine may take for anything
RUNS = "{ runsOrError { ... on Runs { results { runId status pipelineName tags { key value } } } } }"


class DevServer(Service):
    """`samegoal-pipelines dev`, started from some other directory than the checkout."""

    def __init__(self, folder: Path) -> None:
        port = str(_free_port())
        super().__init__(folder / "dev.log", "samegoal-pipelines", "dev", "--port", port)
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        """As Ctrl-C does, and well."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(300) == 0

    def is_up(self) -> bool:
        try:
            return bool(self.ask("{ version }"))
        except (requests.ConnectionError, requests.Timeout):
            return False

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """A query or mutation, as the UI sends it."""
        answer = requests.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=120
        )
        answer.raise_for_status()
        data = answer.json()
        assert "errors" not in data, data["errors"]
        found: dict[str, Any] = data["data"]
        return found

    def finished_runs(self, job: str = "") -> list[dict[str, Any]]:
        """All runs, or those of a job, if each of them is over; else none."""
        runs = [run for run in self.ask(RUNS)["runsOrError"]["results"] if job in run["pipelineName"]]
        over = all(run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} for run in runs)
        return runs if over else []


@contextmanager
def dev_server(folder: Path) -> Iterator[DevServer]:
    """The server, when it answers; stopped in the end."""
    server = DevServer(folder)
    server.start()
    try:
        server.wait(server.is_up, "the webserver")
        yield server
    finally:
        server.stop()


@contextmanager
def browser_page(folder: Path) -> Iterator[Page]:
    """A page of headless Chromium; what it showed when a test failed is kept in the folder.

    It has a loop of its own, in which no night can run in this process.
    Where there is no Chromium, the test is skipped; `.ci/run` sees to it that there is one.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
            timeout=PATIENCE,
        )
        page = browser.new_page(viewport={"width": 1600, "height": 1200})
        page.set_default_timeout(PATIENCE)
        try:
            yield page
        except BaseException:
            page.screenshot(path=folder / "page.png")
            raise
        browser.close()


def _free_port() -> int:
    """One below those that the system gives out: until the server listens, nobody else gets it."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
