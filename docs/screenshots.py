"""Take the pictures of these pages: python docs/screenshots.py.

It runs unattended in about five minutes: a deployment in a temporary folder, synthetic districts behind a
sandbox Qmlativ, four weeks of nights, the real webserver and daemon, and Chromium. Everyone in the pictures
is made up.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from io import BytesIO
from pathlib import Path

import requests
from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, ViewportSize, sync_playwright

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.district_run import TODAY_TAG
from samegoal_pipelines.defs.instance import add_partition, open_instance
from samegoal_pipelines.defs.report import REPORT_JOB
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.operations.runs import run_night
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict, SandboxServer, serve
from samegoal_pipelines.warehouse.snapshots import last_published

HERE = Path(__file__).parent
LARGEST = 150_000
"""Bytes of a picture."""
COLORS = 128
SMALL: ViewportSize = {"width": 1360, "height": 900}
WIDE: ViewportSize = {"width": 1600, "height": 1000}
HIGH: ViewportSize = {"width": 1500, "height": 1300}
LARGE: ViewportSize = {"width": 2200, "height": 2000}

STUDENTS = [900, 260, 150, 600, 420]
NIGHTS = 28
"""Of the first district; the others have the last two."""
FAILED, HELD = 9, 19  # nights of the first district, besides the last one, which is held as well
ENTRIES = "Enrollment/EntryWithdrawal"

GROUPS = ("raw", "enrollments", "status", "demographics", "published", "worklist", "report")
GRAPH = "/asset-groups?expanded=" + ",".join(f"global@global:{group}" for group in GROUPS)
CORNERS = ("raw_enrollments", "cecs_filtered_enrollments", "registrar_worklist", "nightly_report")
"""Assets at the edges of the graph."""
REPORT = "/assets/nightly_report?view=events"
GATE = "/assets/published_snapshot?view=checks&checkDetail=gate"


def partition(asset: str, district_id: str) -> str:
    """The page of one district's partition of an asset."""
    return f"/assets/{asset}?view=partitions&partition={district_id}"


# -- the nights --


class Story:
    """Four good weeks of one district, and a night with another outcome for each district."""

    def __init__(self, deployment: Deployment, server: SandboxServer) -> None:
        self._deployment, self._server = deployment, server
        self.tonight = datetime.now().astimezone().date()

    @property
    def district_ids(self) -> list[str]:
        """The district that is held tonight, the one that fails, the one that is paused, and others."""
        return [district.id for district in self._server.sandbox.districts]

    def run_the_nights_before(self) -> None:
        """All nights but the last."""
        for night in range(NIGHTS - 1):
            today = self._begin(night)
            first, *others = self._server.sandbox.districts
            first.expires = today if night == FAILED else None
            if night == HELD:
                withdraw_a_campus(first, today)
            for district in [first, *(others if night == NIGHTS - 2 else [])]:
                run_night(self._deployment, district.id, today=today)

    def run_the_last_night(self) -> None:
        """Held, failed, paused, published."""
        today = self._begin(NIGHTS - 1)
        held, failing, paused, *others = self._server.sandbox.districts
        withdraw_a_campus(held, today)
        failing.client_secret = failing.id  # a wrong one
        pause(
            self._deployment.warehouse,
            paused.id,
            paused_from=today,
            paused_to=today + timedelta(days=20),
            set_by="Dana Data",
            reason="winter break",
        )
        for district in [held, failing, *others]:
            run_night(self._deployment, district.id, today=today)
        with open_instance(self._deployment.settings) as instance:
            report = build_defs(self._deployment).resolve_job_def(REPORT_JOB)
            report.execute_in_process(instance=instance, tags={TODAY_TAG: today.isoformat()})

    def wait_for_the_release(self) -> None:
        """Until what is held is published."""
        held, *_ = self.district_ids
        while (now := last_published(self._deployment.warehouse, held)) and now.snapshot_date < self.tonight:
            time.sleep(0.5)

    def _begin(self, night: int) -> date:
        today = self.tonight - timedelta(days=NIGHTS - 1 - night)
        made = Sandbox.generate(len(STUDENTS), STUDENTS, seed=3, today=today, night=night)
        self._server.sandbox.districts[:] = made.districts
        if night == 0:
            for district in made.districts:
                register(self._deployment, district, self._server.base_url(district))
        return today


def register(deployment: Deployment, district: SandboxDistrict, base_url: str) -> None:
    """Register a district of the sandbox."""
    deployment.registry.add(
        id=district.id,
        name=district.name,
        base_url=base_url,
        client_key=district.client_key,
        client_secret=district.client_secret,
        timezone=district.timezone,
    )
    add_partition(deployment.settings, district.id)


def withdraw_a_campus(district: SandboxDistrict, today: date) -> None:
    """End every open enrollment at one school, as by a slip of the hand in a mass update."""
    rows = district.rows(ENTRIES)
    school = min(row["SchoolID"] for row in rows if row["SchoolID"])
    ended = {"EndDate": (today - timedelta(days=3)).isoformat()}
    here = [row["SchoolID"] == school and row["EndDate"] is None for row in rows]
    district.replace_rows(
        ENTRIES, [row | ended if ends else row for row, ends in zip(rows, here, strict=True)]
    )


# -- the pictures --


def take_pictures_of_good_nights(page: Page, url: str, story: Story) -> None:
    """The graph, and what a district's partition shows."""
    page.set_viewport_size(LARGE)
    page.goto(url + GRAPH)
    for asset in CORNERS:
        page.get_by_text(asset, exact=True).last.wait_for(timeout=60_000)
    page.wait_for_timeout(5_000)  # for the counts at its nodes
    page.get_by_text("Materializing").first.wait_for(state="hidden")  # the report, which comes by itself
    save(page, "asset-graph", around(page, CORNERS))

    page.set_viewport_size(SMALL)
    district_id, *_ = story.district_ids
    page.goto(url + partition("published_snapshot", district_id))
    page.get_by_text("last nights").wait_for()
    save(page, "district")


def take_pictures_of_the_bad_night(page: Page, url: str, story: Story) -> None:
    """The held check, its release, the report, the registrar's worklist."""
    held, *_, published, _ = story.district_ids
    page.goto(url + partition("registrar_worklist", published))
    page.get_by_text("problems", exact=True).wait_for()
    save(page, "registrar-worklist")

    page.set_viewport_size(HIGH)
    page.goto(url + REPORT)
    entry(page, "report").get_by_text("[Show Markdown]").click()
    page.get_by_role("dialog").get_by_text(held).first.wait_for()
    save(page, "nightly-report", dialog(page))

    page.set_viewport_size(WIDE)
    open_gate(page, url, held)
    save(page, "held-check")
    entry(page, "release it").get_by_text("[Show Markdown]").click()
    page.get_by_role("link", name="Publish what is held").click()
    page.get_by_text("No errors").wait_for()
    page.set_viewport_size(SMALL)
    write(page, "who: ''", "Dana Data")
    write(page, "why: ''", "the campus has closed")
    page.wait_for_timeout(1_000)  # the check of the configuration begins
    page.get_by_text("Checking config").wait_for(state="hidden")
    save(page, "release")
    page.get_by_text("Launch Run", exact=True).click()
    story.wait_for_the_release()
    page.set_viewport_size(WIDE)
    open_gate(page, url, held)
    page.get_by_text("released by").first.wait_for()
    save(page, "released-check")


def open_gate(page: Page, url: str, district_id: str) -> None:
    """Open the gate's outcome for one district."""
    page.goto(url + GATE)
    page.get_by_text("Partitions", exact=True).nth(1).click()  # of the check, below those of the asset
    page.get_by_placeholder("Filter by partition").wait_for()
    page.get_by_text(district_id, exact=True).filter(visible=True).last.click()
    page.get_by_text("Latest execution", exact=True).wait_for()


def entry(page: Page, label: str) -> Locator:
    """The metadata of this name."""
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=label, exact=True)).last


def write(page: Page, line: str, text: str) -> None:
    """Write between the quotes in a line of the launchpad's editor."""
    page.locator(".CodeMirror-line", has_text=line).click()
    page.keyboard.press("Home")
    for _ in range(len(line) - 1):
        page.keyboard.press("ArrowRight")
    page.keyboard.type(text)


def dialog(page: Page) -> FloatRect:
    """Where the open dialog is, as far as it is in view."""
    page.wait_for_timeout(1_000)
    box, view = page.get_by_role("dialog").last.bounding_box(), page.viewport_size
    if box is None or view is None:
        raise SystemExit("the dialog is not in view")
    return box | {"height": min(box["height"], view["height"] - box["y"])}


def around(page: Page, texts: Iterable[str]) -> FloatRect:
    """A frame around these texts of the graph, with room for their nodes and groups."""
    boxes = [page.get_by_text(text, exact=True).last.bounding_box() for text in texts]
    found = [box for box in boxes if box is not None]
    left, top = min(box["x"] for box in found) - 40, min(box["y"] for box in found) - 100
    right, bottom = max(box["x"] for box in found) + 220, max(box["y"] for box in found) + 150
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def save(page: Page, name: str, clip: FloatRect | None = None) -> None:
    """Save a picture beside this file, in few colors."""
    page.wait_for_timeout(1_000)
    picture = Image.open(BytesIO(page.screenshot(clip=clip)))
    file = HERE / f"{name}.png"
    few = picture.convert("RGB").quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
    print(f"{file.name}: {picture.width} x {picture.height}, {file.stat().st_size / 1000:.0f} kB")  # noqa: T201
    if file.stat().st_size > LARGEST:
        raise SystemExit(f"{file.name} is too large for these pages")


# -- the stage --


@contextmanager
def deployed() -> Iterator[tuple[Deployment, SandboxServer]]:
    """A deployment in a temporary folder, and a sandbox without districts."""
    home = Path(tempfile.mkdtemp(prefix="samegoal-pictures-"))
    for name in [name for name in os.environ if name.startswith(("SAMEGOAL_", "DAGSTER_"))]:
        del os.environ[name]
    os.environ |= {
        "SAMEGOAL_HOME": str(home),
        "SAMEGOAL_ALLOW_LOCAL_SOURCES": "1",
        "SAMEGOAL_OPERATOR": "Dana Data",
    }
    deployment = Deployment()
    try:
        with serve(Sandbox([])) as server:
            yield deployment, server
    finally:
        deployment.warehouse.dispose()
        EmbeddedPostgres(home).stop()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def dagster_ui() -> Iterator[str]:
    """The webserver and daemon over the environment's deployment; where it is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).with_name("samegoal-pipelines")), "dev", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        while not is_up(url):
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(command)} has ended; run it to see why")
            time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def chromium() -> Iterator[Page]:
    """A page of the browser; it keeps a loop of its own, in which no night can run."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser.new_page(viewport=SMALL)
        browser.close()


def is_up(url: str) -> bool:
    """Whether the webserver answers."""
    try:
        return requests.get(f"{url}/server_info", timeout=5).ok
    except requests.RequestException:
        return False


def main() -> None:
    """Save every picture beside this file."""
    with deployed() as (deployment, server):
        story = Story(deployment, server)
        story.run_the_nights_before()
        with dagster_ui() as url:
            with chromium() as page:
                take_pictures_of_good_nights(page, url, story)
            story.run_the_last_night()
            with chromium() as page:
                take_pictures_of_the_bad_night(page, url, story)


if __name__ == "__main__":
    main()
