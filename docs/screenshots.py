"""Take the screenshots of these pages from a running `make dev`: python docs/screenshots.py [URL]."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

GROUPS = ("raw", "enrollments", "status", "demographics", "published")
GRAPH = "/asset-groups?expanded=" + ",".join(f"global@global:{group}" for group in GROUPS)
WIDE = {"width": 2300, "height": 1000}


def open_graph(page: Page, url: str) -> None:
    """Open the asset graph with all groups unfolded, and wait until it is drawn."""
    page.goto(url + GRAPH)
    page.get_by_text("published_snapshot", exact=True).last.wait_for(timeout=30_000)
    page.get_by_text("cecs_filtered_enrollments", exact=True).last.wait_for(timeout=30_000)


def main(url: str) -> None:
    """Save every screenshot beside this file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(viewport=WIDE, device_scale_factor=0.8)
        open_graph(page, url)
        page.wait_for_timeout(3000)
        page.screenshot(
            path=str(Path(__file__).with_name("asset-graph.png")),
            clip={"x": 550, "y": 120, "width": 1690, "height": 860},
        )
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3000")
