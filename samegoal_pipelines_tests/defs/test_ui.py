"""What a person sees and does in the Dagster UI, in a real browser, on the real webserver and daemon."""

from __future__ import annotations

import random
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests
from playwright.sync_api import Locator, Page, expect, sync_playwright

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.instance import add_partition
from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines.sandbox.district import school_year_of
from samegoal_pipelines_tests.defs.daemon_fixtures import Service, zone_at
from samegoal_pipelines_tests.mass_changes import ENTRIES, TOMORROW, change
from samegoal_pipelines_tests.pipeline import TODAY
from samegoal_pipelines_tests.warehouse.factories import STORED, VIEWS

pytestmark = pytest.mark.slow

TWINS = ("east", "west", "south")  # the same rows three times: two for the UI, one for `sync`
STUDENTS = 240
NIGHTS_BETWEEN = 15  # as much changes as in so many nights
PATIENCE = 180_000  # milliseconds that a browser on a busy machine may take for anything

RUNS = "{ runsOrError { ... on Runs { results { runId status pipelineName tags { key value } } } } }"
LAUNCH_BACKFILL = """
mutation ($backfill: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfill) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
PUBLISHED = [*VIEWS, *STORED, "registrar_worklist", "snapshots"]
ITS_OWN = ["district_id", "run_id", "landed_run_id", "snapshot_id", "started_at", "published_at"]
"""Columns in which even twins differ: who, by which run, and when."""
WITHDRAWN = range(1, 31)


@pytest.fixture
def yesterday(pipeline, district, monkeypatch) -> date:
    """The first of two nights of `alpha`, the second one held; and `beta`, published tonight.

    They are those of the clock: the report that comes by itself is to be about them.
    """
    monkeypatch.setenv("SAMEGOAL_OPERATOR", "Olive Operator")
    zone = zone_at(3)  # where the night has begun, and nothing is late yet
    tonight = datetime.now(ZoneInfo(zone)).date()
    yesterday = tonight - timedelta(days=1)
    row = {
        "StartDate": (yesterday - timedelta(days=20)).isoformat(),
        "SchoolYearID": school_year_of(tonight),  # whatever the day: around 1 July it would be last year's
    }
    for name, students in (("alpha", 60), ("beta", 2)):
        enrollments = [{"StudentID": student, **row} for student in range(1, students + 1)]
        identity = {"id": name, "name": f"{name.title()} ISD", "code": name, "timezone": zone}
        made = district(enrollments, today=tonight, **identity)
        pipeline.add(made)
        add_partition(pipeline.deployment.settings, name)
        if name == "alpha":
            assert pipeline.run("alpha", yesterday).published
            change(made, WITHDRAWN, EndDate=(yesterday - timedelta(days=2)).isoformat())
            assert pipeline.run("alpha", tonight).held
    assert pipeline.run("beta", tonight).published
    # Otherwise it comes with tonight's.
    assert pipeline.execute("make_nightly_report", district_id=None, today=yesterday).success
    return yesterday


@pytest.fixture
def begin_night(pipeline):
    """The twins as Qmlativ shows them on one night: the same students, edited since."""

    def begin(today: date, night: int) -> None:
        (made,) = Sandbox.generate(1, STUDENTS, seed=7, today=today, night=night).districts
        if night:
            entries = made.rows(ENTRIES)
            left = min(row["StudentID"] for row in entries if row["StudentID"] and not row["EndDate"])
            made.replace_rows(ENTRIES, [row for row in entries if row["StudentID"] != left])
        # each with its own address and district code, without which credentials would seem exchanged
        own = [
            {"id": name, "code": f"90000{n}", "base_path": f"/{name}StuAPI", "client_key": f"key-{name}"}
            for n, name in enumerate(TWINS)
        ]
        twins = [replace(made, **facts) for facts in own]
        if night:
            pipeline.source.sandbox.districts[-len(twins) :] = twins
        else:
            pipeline.add(*twins)

    return begin


def test_a_held_night_is_seen_and_released_in_the_ui_and_a_backfill_publishes_what_sync_publishes(
    pipeline, yesterday, begin_night, tmp_path
):
    """One test, because the servers take half a minute to start."""
    with dev_server(tmp_path) as server:
        with browser_page(tmp_path) as page:
            see_a_district_s_snapshot(page, server, yesterday)
            see_what_is_held(page, server)
            assert set(pipeline.statuses("alpha").values()) == {("ENROLLED", "current_enrollment")}
            release_it(page)
            server.wait(lambda: server.finished_runs("release_held_snapshot"), "the run of the release")
            see_that_it_is_released(page, server)
            statuses = pipeline.statuses("alpha").items()
            assert {student for student, (status, _) in statuses if status == "INACTIVE"} == {*WITHDRAWN}
            see_the_report(page, server)

        begin_night(TODAY, 0)
        for name in TWINS:
            assert pipeline.run(name, TODAY).published
            add_partition(pipeline.deployment.settings, name)
        begin_night(TOMORROW, NIGHTS_BETWEEN)
        runs = backfill(server, *TWINS[:2])
    assert pipeline.run(TWINS[2], TOMORROW).published

    assert [run["status"] for run in runs] == ["SUCCESS", "SUCCESS"]
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in runs]
    assert {tag["dagster/partition"] for tag in tags} == {*TWINS[:2]}
    assert {tag["samegoal/source_host"] for tag in tags} == {"127.0.0.1"}
    by_sync = {table: rows(pipeline, table, TWINS[2]) for table in PUBLISHED}
    assert all(by_sync.values()), {table: len(found) for table, found in by_sync.items()}
    for name in TWINS[:2]:
        for table in PUBLISHED:
            assert rows(pipeline, table, name) == by_sync[table], f"{table} of {name}"


def backfill(server: DevServer, *districts: str) -> list[dict[str, Any]]:
    """Launch tomorrow's night of these districts as the UI does. Return their runs when they are over."""
    nightly = build_defs().resolve_job_def("nightly_snapshot").asset_layer.selected_asset_keys
    launched = server.ask(
        LAUNCH_BACKFILL,
        backfill={
            "partitionNames": districts,
            "assetSelection": [{"path": key.path} for key in nightly],
            "tags": [{"key": "samegoal/today", "value": TOMORROW.isoformat()}],
        },
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def both() -> list[dict[str, Any]]:
        runs = server.finished_runs()
        found = [run for run in runs if any(tag["key"] == "dagster/backfill" for tag in run["tags"])]
        return found if len(found) == 2 else []

    return server.wait(both, "the runs of the backfill")


def see_a_district_s_snapshot(page: Page, server: DevServer, yesterday: date) -> None:
    """Its metadata in words, how many students have which status, and the picture."""
    page.goto(f"{server.url}/assets/published_snapshot?view=partitions&partition=alpha")
    expect(entry(page, "snapshot date")).to_contain_text(yesterday.isoformat())
    expect(entry(page, "students added")).to_contain_text("60")
    expect(entry(page, "statuses").get_by_role("row", name="ENROLLED 60").first).to_be_visible()
    last_night = f"{yesterday} published 60 60 0 0 0"
    expect(entry(page, "last nights").get_by_role("row", name=last_night).first).to_be_visible()


def see_what_is_held(page: Page, server: DevServer) -> None:
    """The gate's check is red, with its numbers."""
    open_gate(page, server)
    expect(page.get_by_text("Failed", exact=True).last).to_be_visible()
    expect(page.get_by_text("held: 30 of 60 students (50.0%) last published").last).to_be_visible()
    expect(page.get_by_role("row", name="students dropped by edits 30 60 50.0% 10%").last).to_be_visible()
    expect(entry(page, "what to do")).to_contain_text("samegoal-pipelines changes alpha --students")


def release_it(page: Page) -> None:
    """Follow the link to the launchpad, say who and why, and launch."""
    entry(page, "release it").get_by_text("[Show Markdown]").click()
    page.get_by_role("link", name="Publish what is held").click()
    expect(page.get_by_text("partition: alpha")).to_be_visible()
    write(page, "who: ''", "Pat Principal")
    write(page, "why: ''", "the campus has closed")
    expect(page.get_by_text("No errors")).to_be_visible()
    page.get_by_text("Launch Run", exact=True).click()


def see_that_it_is_released(page: Page, server: DevServer) -> None:
    open_gate(page, server)
    expect(page.get_by_text("Passed", exact=True).last).to_be_visible()
    expect(page.get_by_text("released by Pat Principal: the campus has closed").last).to_be_visible()
    expect(entry(page, "held because")).to_contain_text("30 of 60 students")
    entry(page, "held in run").get_by_role("link").click()
    expect(page.get_by_text("What was held here has been released by run")).to_be_visible()


def see_the_report(page: Page, server: DevServer) -> None:
    """It was made again by itself after the release."""

    def is_made() -> bool:
        newest = server.finished_runs()[:1]
        return [run["pipelineName"] for run in newest] == ["make_nightly_report"]

    server.wait(is_made, "the report after the release")
    page.goto(f"{server.url}/assets/nightly_report?view=events")
    entry(page, "report").get_by_text("[Show Markdown]").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row", name="Alpha ISD (alpha) published").first).to_be_visible()
    expect(dialog.get_by_role("row", name="Beta ISD (beta) published 2").first).to_be_visible()
    dialog.get_by_text("Close", exact=True).click()
    dialog.wait_for(state="hidden")
    entry(page, "plots").get_by_text("[Show Markdown]").click()
    picture = dialog.locator("img[alt*='students by status']")
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300  # it is drawn


# -- hands and eyes --


def open_gate(page: Page, server: DevServer) -> None:
    """What the gate says of `alpha`."""
    page.goto(f"{server.url}/assets/published_snapshot?view=checks&checkDetail=gate")
    page.get_by_text("Partitions", exact=True).nth(1).click()  # of the check, below those of the asset
    page.get_by_placeholder("Filter by partition").wait_for()
    page.get_by_text("alpha", exact=True).filter(visible=True).last.click()
    page.get_by_text("Latest execution", exact=True).wait_for()


def entry(page: Page, label: str) -> Locator:
    """The metadata of this name."""
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=label, exact=True)).last


def write(page: Page, line: str, text: str) -> None:
    """Write into the quotes that end a line of the launchpad's editor."""
    page.locator(".CodeMirror-line", has_text=line).click()
    page.keyboard.press("Home")
    for _ in range(len(line) - 1):
        page.keyboard.press("ArrowRight")
    page.keyboard.type(text)


def rows(pipeline, table: str, district_id: str) -> list[tuple[str]]:
    """The district's rows of a table or view, but for what is its own."""
    row = f"select (to_jsonb(t) - cast(:own as text[]))::text from samegoal.{table} t"
    return pipeline.rows(f"{row} where district_id = :id order by 1", own=ITS_OWN, id=district_id)


# -- the real webserver and daemon, and a browser to look at them with --


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
