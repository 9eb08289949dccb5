"""What the UI shows of a district's snapshots: a picture that is valid, small and says itself in words."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import date, timedelta
from xml.etree import ElementTree

import pytest

from samegoal_pipelines.defs.plots import LAST_SNAPSHOTS, snapshots_plot, status_table

FIRST = date(2026, 9, 1)
LABELS = ("ENROLLED", "PRE-ENROLLED", "GRADUATED", "INACTIVE")


@dataclass(frozen=True)
class Snapshot:
    snapshot_date: date = FIRST
    state: str = "published"
    students: int | None = 1_140
    enrolled: int | None = 1_000
    pre_enrolled: int | None = 20
    graduated: int | None = 70
    inactive: int | None = 50


def nights(number: int, **facts) -> list[Snapshot]:
    return [Snapshot(FIRST + timedelta(days=n), enrolled=1_000 + n % 7, **facts) for n in range(number)]


def picture(attempts) -> tuple[ElementTree.Element, str]:
    """The SVG, parsed, and its words."""
    text = snapshots_plot(attempts).value
    found = re.fullmatch(r"!\[(.*)\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", text)
    assert found, text[:200]
    svg = ElementTree.fromstring(base64.b64decode(found[2]))  # noqa: S314 - we wrote it
    return svg, found[1]


def elements(svg: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return svg.findall(f"{{http://www.w3.org/2000/svg}}{tag}")


def texts(svg: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in elements(svg, "text")]


def test_each_status_has_its_line_over_the_nights():
    svg, _ = picture(nights(30))
    assert [len(line.attrib["points"].split()) for line in elements(svg, "polyline")] == [30] * 4
    assert [text for text in texts(svg) if text in LABELS] == list(LABELS)
    assert {"2026-09-01", "2026-09-30"} <= set(texts(svg))


def test_the_scale_names_the_least_and_the_greatest_count_and_the_last_one():
    counts = [500, 1_000, 750]
    svg, _ = picture([Snapshot(FIRST + timedelta(days=n), enrolled=each) for n, each in enumerate(counts)])
    assert {"500", "1,000", "750"} <= set(texts(svg))


def test_only_the_last_sixty_nights_are_shown():
    svg, words = picture(nights(100))
    assert len(elements(svg, "polyline")[0].attrib["points"].split()) == LAST_SNAPSHOTS
    assert f"{LAST_SNAPSHOTS} published" in words


def test_held_and_failed_nights_are_marked_by_sign_and_word():
    some = nights(10)
    some[3] = Snapshot(some[3].snapshot_date, "held")
    some[5] = Snapshot(some[5].snapshot_date, "failed", None, None, None, None, None)
    svg, words = picture(some)
    assert texts(svg).count("▲") == texts(svg).count("×") == 1
    assert "▲ held, × failed" in texts(svg)
    assert "8 published, 1 held, 1 failed" in words
    assert len(elements(svg, "polyline")[0].attrib["points"].split()) == 8


def test_a_night_that_was_published_in_the_end_is_not_marked():
    svg, words = picture(
        [Snapshot(state="held"), Snapshot(), Snapshot(state="failed"), Snapshot(state="superseded")]
    )
    assert "1 published." in words
    assert not {"▲", "×"} & set(texts(svg))


def test_the_picture_says_itself_in_words():
    _, words = picture([Snapshot(enrolled=990), Snapshot(FIRST + timedelta(days=1), enrolled=1_004)])
    assert words == (
        "Snapshots from 2026-09-01 to 2026-09-02: 2 published. ENROLLED 990 to 1,004. "
        "PRE-ENROLLED 20 to 20. GRADUATED 70 to 70. INACTIVE 50 to 50."
    )


def test_it_is_small_enough_for_an_event_log_of_many_nights():
    assert len(snapshots_plot(nights(60)).value) < 8_000


@pytest.mark.parametrize(
    "attempts",
    [
        [Snapshot()],
        [Snapshot(state="failed", enrolled=None)],
        [Snapshot(enrolled=0), Snapshot(FIRST + timedelta(days=400), enrolled=0)],
        [Snapshot(enrolled=None)],
    ],
)
def test_odd_districts_have_a_picture_too(attempts):
    svg, _ = picture(attempts)
    numbers = re.findall(r"nan|inf", ElementTree.tostring(svg, encoding="unicode"))
    assert numbers == []


def test_before_the_first_snapshot_there_is_no_picture():
    assert snapshots_plot([]).value == "No snapshot yet."


def rows(value) -> list[tuple]:
    return [tuple(record.data.values()) for record in value.records]


def test_the_table_tells_each_status_and_its_change_since_the_snapshot_before():
    value = status_table(Snapshot(enrolled=1_003, inactive=48), Snapshot())
    assert rows(value) == [
        ("ENROLLED", "1,003", "1,000", "+3"),
        ("PRE-ENROLLED", "20", "20", "0"),
        ("GRADUATED", "70", "70", "0"),
        ("INACTIVE", "48", "50", "-2"),
        ("all students", "1,140", "1,140", "0"),
    ]
    assert [column.name for column in value.schema.columns] == ["status", "students", "before", "change"]


def test_without_a_snapshot_before_there_is_no_change():
    assert rows(status_table(Snapshot(), None))[0] == ("ENROLLED", "1,000", "–", "–")
    uncounted = Snapshot(state="failed", enrolled=None)
    assert rows(status_table(Snapshot(), uncounted))[0] == ("ENROLLED", "1,000", "–", "–")
