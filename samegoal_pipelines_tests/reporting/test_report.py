"""The page shows everything, what is urgent first; whatever a district is called, it stays text."""

import re
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa

from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.landing import Landing
from samegoal_pipelines.reporting import report as reporting
from samegoal_pipelines.reporting.forecast import HoldAhead
from samegoal_pipelines.reporting.report import Report, TrendNight, draw, make_report, read_trends
from samegoal_pipelines_tests.reporting.factories import NIGHT, at, attempt, land, register
from samegoal_pipelines_tests.transforms.builders import enrollments, entry

UI = "https://dagster.example.com"
HOSTILE = '<script>alert(1)</script> | [x](javascript:alert(1)) ![y](http://evil/z.png) "ISD" & `co`'


class Text(HTMLParser):
    """What a reader sees, and which elements it is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.elements, self.links = "", set[str](), list[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        for name, value in attributes:
            assert not name.startswith("on"), name
            assert name not in ("src", "srcset"), value
            if name in ("href", "xlink:href"):
                assert (value or "").startswith(("#", f"{UI}/")), value
                self.links.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


@pytest.fixture
def report(warehouse: sa.Engine, tmp_path: Path) -> Report:
    """One district of each state, and one with a name to be wary of."""
    for district_id in ("failing", "late", "held", "fine", "resting", "gone"):
        register(warehouse, district_id, active=district_id != "gone")
        attempt(warehouse, district_id, "published", NIGHT - timedelta(days=1), students=1_000)
    register(warehouse, "hostile", name=HOSTILE, expires=NIGHT + timedelta(days=6))
    attempt(warehouse, "failing", "failed", reason="failing: publishing: no connection to Postgres")
    attempt(warehouse, "held", "held", reason="200 of 1,000 students would be gone")
    attempt(warehouse, "fine", "published", students=1_010, notes=["not granted: Phone"], run_id="run-fine")
    attempt(warehouse, "hostile", "failed", reason=f"no luck with {HOSTILE}")
    pause(warehouse, "resting", NIGHT, NIGHT, set_by="pat", reason="summer")
    landing = Landing(str(tmp_path / "landing"))
    leaving = [entry(n, "2026-08-12", "2026-10-14", "82", student=n) for n in (1, 2)]
    raw = enrollments([*leaving, entry(3, "2026-10-20", student=3)], NIGHT)
    land(landing, raw, "run-fine", district_id="fine")
    return make_report(warehouse, at("12:00"), landing=landing)


def test_the_page_says_what_became_of_every_district_the_urgent_first(report):
    html = report.html(UI)
    shown = Text(html).text
    assert re.findall("<h2>(.*?)</h2>", html)[0] == "Needs attention"
    order = ["hostile", "failing", "late", "held", "fine", "resting", "gone"]
    assert [one.district_id for one in report.board.districts] == order
    body = shown[shown.index("Needs attention") :]
    names = ["Failing ISD", "Late ISD", "Held ISD", "Fine ISD", "Resting ISD", "Gone ISD"]
    assert sorted(names, key=body.index) == names
    for said in (
        "SameGoal night 2026-10-12",
        "2 failed, 1 held, 1 late of 5",
        "publishing: no connection to Postgres",
        "for 1 night, last published 2026-10-11",
        "expires on 2026-10-18, in 6 days",
        "paused until 2026-10-12: summer",
        "not granted: Phone",
        "The last 2 snapshots",
        "1,010",
    ):
        assert said in shown, said
    command = "samegoal-pipelines sync held --release --today 2026-10-12 --why REASON"
    assert f'<code>{command}</code><button type="button">Copy</button>' in html
    assert f"`{command}`" in report.markdown()
    assert re.search(r"^\| Resting ISD .* \| – \| – \| – \|", report.markdown(), re.MULTILINE)


def test_the_next_two_weeks_are_counted_and_districts_without_rows_are_named(report):
    shown = re.sub(r"\s+", " ", Text(report.html(UI)).text)
    assert "2026-10-15 ENROLLED → INACTIVE 2 " in shown
    assert "2026-10-20 PRE-ENROLLED → ENROLLED 1 " in shown
    assert "Looked at 1 district; not at failing, held, late, resting: their landed rows are gone" in shown
    assert "No district will be held because time passes." in shown
    assert "| 2026-10-15 | ENROLLED → INACTIVE | 2 |" in report.markdown()


def test_the_markdown_lists_the_first_districts_without_trouble_and_the_page_all(report, monkeypatch):
    monkeypatch.setattr(reporting, "ROWS_IN_MARKDOWN", 2)
    hold = HoldAhead("hostile", HOSTILE, NIGHT, 90, 100, 50.0, f"because | {HOSTILE}", "act")
    many = replace(report, ahead=replace(report.ahead, holds=(hold,) * 5, excluded=("gone",) * 25))
    markdown, html = many.markdown(), many.html(UI)
    assert "\nand 3 more, in the file.\n" in markdown
    assert "\nand 1 more, in the file.\n" in markdown
    assert ("Gone ISD" in markdown, "Gone ISD" in html) == (False, True)
    assert "gone and 5 more: their landed rows" in markdown
    line, _ = [line for line in markdown.splitlines() if "because" in line and "act" in line]
    assert line.count("|") == 5  # its own columns, no others
    assert html.count('<td class="held">2026-10-12</td>') == 5
    shown = re.sub(r"\s+", " ", Text(html).text)
    assert "Will be held because time passes: 5. " in shown
    assert f"2026-10-12 {HOSTILE} hostile because | {HOSTILE} act " in shown


def test_a_name_stays_text_on_the_page(report):
    html = report.html(UI)
    parsed = Text(html)
    assert HOSTILE in parsed.text
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in html  # no other
    assert parsed.elements.isdisjoint({"img", "iframe", "link", "object"})
    assert "default-src 'none'" in html
    assert not re.search(r"url\((?!#)|@import", html)  # nothing is fetched from anywhere


def test_a_name_stays_text_in_markdown(report):
    markdown = report.markdown()
    (line,) = [line for line in markdown.splitlines() if "no luck with" in line]
    assert line.count("|") == 7  # its own columns, no others
    ours = r"\[(run|gate)\]\(/[\w/?=&.-]+\)|`samegoal-pipelines [\w -]+`"
    line = re.sub(ours, "", line)
    for harmful in ("<script", "](", "![", "`", "http:"):
        assert harmful not in line
    assert "2 failed, 1 held, 1 late of 5" in markdown


def test_a_night_without_any_district_or_snapshot_has_a_page_as_well(warehouse):
    report = make_report(warehouse, at("12:00"))
    assert report.board.night == NIGHT
    for text in (Text(report.html(UI)).text, report.markdown()):
        assert "no district is due" in text
    assert report.plots_markdown() == "Nothing has been published yet."


def trend(days: int, **counts: int) -> TrendNight:
    usual = {"districts": 3, "enrolled": 900, "pre_enrolled": 40, "graduated": 30, "inactive": 30}
    return TrendNight(NIGHT + timedelta(days=days), added=4, changed=9, removed=2, **usual | counts)


@pytest.mark.parametrize("nights", [1, 2, 3, 60])
def test_plots_are_pictures_with_a_legend_and_no_foreign_parts(nights):
    trends = [trend(day) for day in range(nights)]
    students, changes = draw(trends).values()
    for svg, words in (
        (students, ["enrolled", "pre-enrolled", "graduated", "inactive"]),
        (changes, ["added", "changed", "removed"]),
    ):
        elements = ElementTree.fromstring(svg).iter()  # noqa: S314  # our own
        texts = {"".join(one.itertext()).strip() for one in elements if one.tag.endswith("text")}
        assert set(words) <= texts
        assert not any(re.fullmatch(r"\d\d:\d\d", text) for text in texts)  # days, not hours
        assert "<script" not in svg
        assert "<image" not in svg


def test_equal_nights_give_an_equal_plot_and_two_plots_share_no_id():
    trends = [trend(day, enrolled=900 + day) for day in range(30)]
    students, changes = draw(trends).values()
    assert [students, changes] == list(draw(trends).values())
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (students, changes)]
    shared = {found for found in ids[0] & ids[1] if f"#{found}" in students}
    assert shared == set()


def test_a_row_links_to_its_run_and_its_gate_check(report):
    markdown = report.markdown()
    links = [link for link in Text(report.html(f"{UI}/")).links if link.startswith(UI)]
    for one in report.board.districts:
        run = f"/runs/{one.tonight.run_id}" if one.tonight else None
        gate = f"/assets/published_snapshot?view=checks&checkDetail=gate&partition={one.district_id}"
        has_gate = one.state in ("held", "published")
        assert (f"{UI}{gate}" in links, f"[gate]({gate})" in markdown) == (has_gate, has_gate)
        assert (f"{UI}{run}" in links, f"[run]({run})" in markdown) == (bool(run), bool(run))
    # Failing and hostile have a run, held and fine a run and a check; hostile is also about to expire.
    assert len(links) == 7


# -- trends: what SameGoal read each night, also of districts that were not published --


def test_a_district_that_fails_counts_with_what_was_last_published(warehouse):
    for district_id, students in (("alpha", 100), ("beta", 200)):
        register(warehouse, district_id)
        attempt(warehouse, district_id, "published", NIGHT - timedelta(days=2), students=students)
    attempt(warehouse, "alpha", "failed", NIGHT - timedelta(days=1), "no luck")
    attempt(warehouse, "beta", "published", NIGHT - timedelta(days=1), students=210)
    attempt(warehouse, "alpha", "published", students=90, removed=10)
    attempt(warehouse, "beta", "held", students=10)

    trends = read_trends(warehouse, NIGHT)
    assert [(one.night, one.enrolled, one.districts) for one in trends] == [
        (NIGHT - timedelta(days=2), 280, 2),
        (NIGHT - timedelta(days=1), 290, 1),
        (NIGHT, 280, 1),
    ]
    assert (trends[-1].inactive, trends[-1].removed, trends[-1].changed) == (6, 10, 5)


def test_only_the_last_nights_are_told_beginning_with_what_was_there_before(warehouse):
    register(warehouse, "alpha")
    register(warehouse, "beta")
    attempt(warehouse, "beta", "published", NIGHT - timedelta(days=300), students=50)
    for days in range(9):
        attempt(warehouse, "alpha", "published", NIGHT - timedelta(days=10 * days), students=100 + days)

    trends = read_trends(warehouse, NIGHT - timedelta(days=1), nights=3)
    assert [(one.night, one.enrolled) for one in trends] == [
        (NIGHT - timedelta(days=30), 133),
        (NIGHT - timedelta(days=20), 132),
        (NIGHT - timedelta(days=10), 131),
    ]
