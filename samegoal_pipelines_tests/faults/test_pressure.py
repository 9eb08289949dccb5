"""A source that is down, slow, or sends too much: bounded requests, bounded time, bounded memory."""

import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest

from samegoal_pipelines.qmlativ.transport import Transport
from samegoal_pipelines_tests.faults.fixtures import ATTEMPTS, IMPATIENT

STUDENTS = "Student/Student"
GIVEN_UP = f"gave up after {ATTEMPTS} attempts. To do: try again later"
MB = 2**20


@pytest.mark.parametrize(
    ("status", "retry_after", "says"),
    [
        (503, None, "Qmlativ is unavailable (HTTP 503)"),
        (503, "2", "Qmlativ is unavailable (HTTP 503)"),
        (429, "Fri, 31 Dec 9999 23:59:59 GMT", "Qmlativ asks for fewer calls (HTTP 429)"),
        (429, "rubbish", "Qmlativ asks for fewer calls (HTTP 429)"),
        (503, "999999", "Qmlativ is unavailable (HTTP 503)"),
        (522, None, "Qmlativ is unavailable (HTTP 522)"),
        (408, None, "Qmlativ is unavailable (HTTP 408)"),
    ],
    ids=["no Retry-After", "number", "date", "rubbish", "999999", "Cloudflare", "timeout"],
)
def test_a_storm_ends_in_bounded_requests_whatever_it_asks_to_wait(
    published, fails, status, retry_after, says
):
    headers = {"Retry-After": retry_after} if retry_after else {}
    storm = published.source.faults.add(kind="list", status=status, body="Sentinel", headers=headers)
    fails(f", page 1: {says}; {GIVEN_UP}")
    asked = published.source.traffic.requests(kind="list")
    assert len(asked) == storm.applied
    assert max(Counter((each.path, each.school_year_id, each.body) for each in asked).values()) <= ATTEMPTS


def test_a_connection_that_is_reset_each_time_is_given_up(published, fails):
    dropped = published.source.faults.add(object=STUDENTS, kind="list", page=2, drop=True)
    fails(f"{STUDENTS}?SchoolYearID=", f", page 2: the answer was cut short; {GIVEN_UP}")
    assert dropped.applied <= 3 * ATTEMPTS


def test_a_storm_that_passes_changes_nothing(published, tonight):
    assert tonight().returncode == 0
    before = published.pipeline.published()
    published.source.faults.add(kind="list", status=503, times=4)
    published.source.faults.add(kind="list", drop=True, nth=9)
    published.limits["retry_policy"] = replace(IMPATIENT, attempts=9)
    assert tonight().returncode == 0
    assert published.pipeline.published() == before


@pytest.fixture
def hurried_on_page_2(published, monkeypatch):
    """Page 2 of the students gets these deadlines; every other answer has all the time it needs."""
    published.limits["connections"] = 1  # one request at a time, so that no other gets them too
    published.limits["retry_policy"] = replace(IMPATIENT, attempts=1)

    def hurry(**deadlines):
        once = Transport._once

        def hurried(self, prepared, where):
            usual = self._policy
            if STUDENTS in where and where.endswith(", page 2"):
                self._policy = replace(usual, **deadlines)
            try:
                return once(self, prepared, where)
            finally:
                self._policy = usual

        monkeypatch.setattr(Transport, "_once", hurried)

    return hurry


def test_a_body_that_drips_ends_at_the_total_deadline(published, hurried_on_page_2, fails):
    published.source.faults.add(object=STUDENTS, kind="list", page=2, drip=0.1, drip_bytes=1)
    published.district.gzip = False
    hurried_on_page_2(total=0.4)
    fails(f"{STUDENTS}?SchoolYearID=", ", page 2: no whole answer within 0.4 s. To do: try again later")


def test_a_server_that_hangs_ends_at_the_read_deadline(published, hurried_on_page_2, fails):
    published.source.faults.add(object=STUDENTS, kind="list", page=2, hang=300)
    hurried_on_page_2(read=0.4)
    fails(f"{STUDENTS}?SchoolYearID=", ", page 2: Qmlativ did not answer in time. To do: try again later")


@pytest.mark.parametrize("where", [{"object": STUDENTS}, {}], ids=["one object", "every object at once"])
def test_a_gzip_bomb_ends_at_the_cap_and_takes_less_than_100_mb(published, fails, where):
    published.source.faults.add(
        kind="list", body=bomb(400 * MB), headers={"Content-Encoding": "gzip"}, **where
    )
    with watched_memory() as memory:
        fails(", page 1: the answer is larger than 32 MB, more than any page has")
    assert memory[0] < 100 * MB


def bomb(size: int) -> bytes:
    """So many spaces, packed a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(b" " * MB) for _ in range(size // MB)) + packer.flush()


@contextmanager
def watched_memory() -> Iterator[list[int]]:
    """The most memory that this process takes meanwhile, beyond what it had."""
    process, over = psutil.Process(), threading.Event()
    had = process.memory_info().rss
    most = [0]

    def watch() -> None:
        while not over.wait(0.002):
            most[0] = max(most[0], process.memory_info().rss - had)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()
