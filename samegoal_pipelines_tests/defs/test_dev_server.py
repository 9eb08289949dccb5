"""The real daemon and webserver: a backfill through the UI's API publishes; the UI shows the graph."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from samegoal_pipelines.runs import add_partition
from samegoal_pipelines_tests.pipeline import TODAY

pytestmark = pytest.mark.slow

GRAPH = ["raw_enrollments", "raw_students", "raw_parents", "cecs_filtered_enrollments", "student_status"]
GRAPH += ["student_demographics", "parent_demographics", "published_snapshot"]

GROUPS = ["raw", "enrollments", "status", "demographics", "published"]

LAUNCH_BACKFILL = """
mutation ($backfill: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfill) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
RUNS = "{ runsOrError { ... on Runs { results { status tags { key value } } } } }"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def dev_server(deployment, tmp_path) -> Iterator[str]:
    """`samegoal-pipelines dev` on this test's deployment, started from some other directory."""
    port = free_port()
    log = (tmp_path / "dev.log").open("wb")
    command = [str(Path(sys.executable).parent / "samegoal-pipelines"), "dev", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT, env=os.environ.copy()
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, (tmp_path / "dev.log").read_text()[-3000:]
            assert time.monotonic() < deadline, (tmp_path / "dev.log").read_text()[-3000:]
            try:
                if ask(url, "{ version }"):
                    break
            except requests.ConnectionError:
                time.sleep(0.5)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        log.close()


def ask(url: str, query: str, **variables: Any) -> dict[str, Any]:
    answer = requests.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=30)
    answer.raise_for_status()
    data = answer.json()
    assert "errors" not in data, data["errors"]
    return data["data"]


def wait_for_runs(url: str, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        runs = ask(url, RUNS)["runsOrError"]["results"]
        if len(runs) >= count and all(run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} for run in runs):
            return runs
        time.sleep(1)
    raise AssertionError("the daemon did not finish the runs in time")


def test_a_backfill_runs_through_the_daemon_and_the_ui_shows_it(pipeline, district, dev_server, tmp_path):
    enrolled = [{"StudentID": 11, "StartDate": "2026-08-12"}, {"StudentID": 12, "StartDate": "2026-08-12"}]
    for name in ("alpha", "beta"):
        pipeline.add(district(enrolled, id=name, name=f"{name.title()} ISD", code=name))
        add_partition(name)

    launched = ask(
        dev_server,
        LAUNCH_BACKFILL,
        backfill={
            "partitionNames": ["alpha", "beta"],
            "assetSelection": [{"path": [asset]} for asset in GRAPH],
            "tags": [{"key": "samegoal/today", "value": TODAY.isoformat()}],
        },
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    runs = wait_for_runs(dev_server, 2)

    assert [run["status"] for run in runs] == ["SUCCESS", "SUCCESS"]
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in runs]
    assert {tag["dagster/partition"] for tag in tags} == {"alpha", "beta"}
    assert {tag["samegoal/source_host"] for tag in tags} == {"127.0.0.1"}
    assert set(pipeline.statuses("alpha")) == set(pipeline.statuses("beta")) == {11, 12}

    look_at_the_graph(dev_server, tmp_path / "graph.png")


def look_at_the_graph(url: str, screenshot: Path) -> None:
    """Open the asset graph in a real browser, where there is one."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed: the runs were checked, the look at the UI is left out")
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
        )
        page = browser.new_page(viewport={"width": 2600, "height": 1900})
        page.goto(f"{url}/asset-groups?expanded={','.join(f'global@global:{group}' for group in GROUPS)}")
        for asset in GRAPH:
            expect(page.get_by_text(asset, exact=True).first).to_be_visible(timeout=30_000)
        page.screenshot(path=str(screenshot))
        browser.close()
