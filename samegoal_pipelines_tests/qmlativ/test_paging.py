"""Every rule of Paging.Next: where it ends, where it may lead, and what is refused without a request."""

import json
import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samegoal_pipelines.qmlativ.decode import PageDecoder
from samegoal_pipelines.qmlativ.errors import MalformedAnswerError
from samegoal_pipelines.qmlativ.paging import peek
from samegoal_pipelines_tests.qmlativ.scripted import Reply, counties, county_path, failure, pages_of, read

PERSISTS = "; run again, and ask Skyward's support if it happens again"


def read_county(replies, *, expected_rows=None, **settings):
    reading, server = read(pages_of(replies), how={"expected_rows": expected_rows}, **settings)
    return reading.table["CountyID"].to_pylist(), reading.account, server


def malformed(replies, **settings):
    said, server, _ = failure(pages_of(replies), MalformedAnswerError, **settings)
    return said, server


def in_pages(rows, size=3):
    """The pages of counties 1 … rows."""
    ids = list(range(1, rows + 1))
    pages = range(1, -(-rows // size) + 1)
    return {
        page: counties(
            ids[(page - 1) * size : page * size], county_path(page + 1, size) if page < pages[-1] else None
        )
        for page in pages
    }


@pytest.mark.parametrize("end", [{"Next": None}, {"Next": ""}, {"Next": county_path(2)}, {}])
def test_a_next_that_is_null_or_empty_or_absent_or_the_page_just_read_is_the_end(end):
    last = Reply(body={"Objects": [{"CountyID": 4, "Name": "x"}], "Paging": end})
    ids, read, server = read_county({1: counties([1, 2, 3], county_path(2)), 2: last})
    assert ids == [1, 2, 3, 4]
    assert server.pages == [1, 2]
    assert read["Pages"] == 2


@pytest.mark.parametrize("rows", [[], [1, 2, 3]])
def test_an_empty_page_is_the_end_even_if_next_goes_on(rows):
    ids, read, server = read_county(
        lambda page: counties(rows if page == 1 else [], county_path(page + 1)), connections=1
    )
    assert ids == rows
    assert read["Rows"] == len(rows)
    assert set(server.pages) <= {1, 2, 3}  # a glance at a page may have started the next one


@pytest.mark.parametrize(
    "leads_to",
    [
        *(
            f"{scheme}{{stranger}}{county_path(2)}"
            for scheme in ("http://", "https://", "//", "http://user@", "@")
        ),
        *(f"{before}{county_path(2)}" for before in (":9999", "/..")),
        *(f"{county_path(2)}{behind}" for behind in ("?SchoolYearID=1", "#x", "/4")),
        "/Custom/1/Demographics/../Demographics/County/2/3",
        "/Custom/1/Demographics/%2e%2e/County/2/3",
        *(
            "/Custom/1/Demographics/Name/2/3",
            "/Custom/2/Demographics/County/2/3",
            "/Custom/1/Staff/County/2/3",
        ),
        *(f"/Custom/1/Demographics/County/{page}" for page in ("2", "x/3", "-1/3")),
        county_path(2).replace("/", "\\"),
        *("file:///etc/passwd", " ", 5, True, [county_path(2)], {"a": 1}, 2.5),
    ],
)
def test_a_next_that_leads_elsewhere_is_refused_without_a_request(stranger, leads_to):
    if isinstance(leads_to, str):
        leads_to = leads_to.replace("{stranger}", stranger)
    said, server = malformed({1: counties([1, 2, 3], leads_to), 2: counties([4], None)})
    assert said == (
        "Demographics/County, page 1: Paging.Next does not lead to a page of this object; it was not followed"
        + PERSISTS
    )
    assert server.pages == [1]


@pytest.mark.parametrize("paging", [{}, {"Paging": None}, {"Paging": []}, {"Paging": "none"}])
def test_an_answer_without_paging_is_malformed(paging):
    assert malformed({1: Reply(body={"Objects": [{"CountyID": 1, "Name": "x"}]} | paging)})[0] == (
        "Demographics/County, page 1: the answer has no Paging" + PERSISTS
    )


@pytest.mark.parametrize(
    ("page", "says"),
    [(1, "Paging.Next runs in a circle, back to page 1"), (5, "Paging.Next skips to page 5")],
)
def test_a_next_that_goes_back_or_skips_a_page_is_noticed(page, says):
    replies = in_pages(6) | {3: counties([7, 8, 9], county_path(page))}
    said, server = malformed(replies | {2: counties([4, 5, 6], county_path(3))})
    assert f"page 3: {says}" in said
    assert server.pages == [1, 2, 3]


@pytest.mark.parametrize(
    ("shown", "page", "earlier"),
    [([1, 1, 1, 1], 2, 1), ([1, 2, 1, 2], 3, 1), ([1, 2, 3, 2], 4, 2)],
    ids=["always the same page", "a circle of two", "an old page"],
)
def test_the_same_rows_under_ever_new_page_numbers_are_noticed_at_once(shown, page, earlier):
    pages = {number: in_pages(12)[rows_of] for number, rows_of in enumerate(shown, start=1)}
    for number, reply in pages.items():
        reply.body["Paging"]["Next"] = county_path(number + 1)
    said, _ = malformed(pages)
    assert f"page {page}: brings the rows of page {earlier} again: Paging.Next runs in a circle" in said


def test_endless_new_pages_end_at_the_cap_and_never_silently():
    endless = lambda page: counties([3 * page, 3 * page + 1, 3 * page + 2], county_path(page + 1))  # noqa: E731
    said, server = malformed(endless, max_pages=20)
    assert said == (
        "Demographics/County, page 20: Paging.Next goes on after 20 pages, more than any district has: "
        "nothing of this object was kept" + PERSISTS
    )
    assert max(server.pages) == 20


def test_a_short_page_in_the_middle_is_accepted_and_reported():
    ids, read, _ = read_county(in_pages(8) | {2: counties([4], county_path(3))})
    assert ids == [1, 2, 3, 4, 7, 8]
    assert read["ShortPages"] == 1


def test_a_server_may_go_on_in_smaller_pages_if_no_row_is_jumped_over():
    ids, read, server = read_county(in_pages(5, size=2))
    assert ids == [1, 2, 3, 4, 5]
    assert [request.path[-4:] for request in server.requests if request.page] == ["/1/3", "/2/2", "/3/2"]
    assert read["ShortPages"] == 0
    said, _ = malformed({1: counties([1, 2, 3], county_path(2, 6)), 2: counties([7], None)})
    assert "page 1: Paging.Next changes the page size during the read" in said


def test_pages_known_to_exist_are_loaded_at_once_within_the_limit():
    together = threading.Barrier(4, timeout=60)

    def reply(page):
        together.wait()
        return in_pages(24)[page]

    ids, _, server = read_county(reply, expected_rows=24, connections=4)
    assert ids == list(range(1, 25))
    assert sorted(server.pages) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_an_error_on_a_page_that_was_only_guessed_does_no_harm():
    replies = in_pages(6) | {3: Reply(404), 4: Reply(404)}
    assert read_county(replies, expected_rows=12)[0] == [1, 2, 3, 4, 5, 6]


def test_the_next_page_loads_while_this_one_is_decoded(monkeypatch):
    """With two connections, page 2 has been asked for before page 1 is decoded."""
    second = threading.Event()
    real = PageDecoder.decode

    def decode(self, body, where):
        if where.endswith("page 1"):
            assert second.wait(60)
        return real(self, body, where)

    def reply(page):
        if page == 2:
            second.set()
        return in_pages(4)[page]

    monkeypatch.setattr(PageDecoder, "decode", decode)
    assert read_county(reply, connections=2)[0] == [1, 2, 3, 4]


PAGING = {"Next": "/Custom/1/Demographics/County/2/3"}
LOOKALIKE = ']}], "Paging": {"Next": "/Custom/1/Demographics/County/9/3"}}'


@pytest.mark.parametrize(
    ("body", "sees"),
    [
        ({"Objects": [], "Paging": PAGING}, PAGING["Next"]),
        ({"Paging": PAGING, "Objects": []}, None),
        ({"Objects": [], "Paging": {"Next": None}}, None),
        ({"Objects": [], "Paging": {"Next": "x", "More": 1}}, None),
        ({"Objects": [], "Paging": PAGING, "More": [1]}, None),
        ({"Objects": [{"Paging": PAGING}], "Paging": {}}, None),
        ({"Objects": [{"Name": LOOKALIKE}], "Paging": {}}, None),
        ({"Objects": [], "Paging": {"Next": LOOKALIKE}}, None),
        ({"Objects": [{"Name": LOOKALIKE}]}, None),
        ({"Objects": [], "Name": LOOKALIKE}, None),
    ],
)
def test_a_glance_sees_next_only_where_it_is_certain(body, sees):
    assert peek(json.dumps(body).encode()) == sees
    assert peek(json.dumps(body, separators=(",", ":")).encode()) == sees
    assert peek(json.dumps(body, indent=1).encode() + b"\n") == sees


@pytest.mark.parametrize("text", [b"\xff", b"a\nb"])
def test_a_glance_at_what_is_not_json_leaves_the_error_to_the_decoder(text):
    body = b'{"Objects": [{"CountyID": 1, "Name": "x"}], "Paging": {"Next": "%s"}}' % text
    said, _ = malformed({1: Reply(body=body)})
    assert said == "Demographics/County, page 1: the answer is not valid JSON" + PERSISTS


parts = st.sampled_from(['"', "\\", "]", "}", "{", "[", ",", ":", " ", "Paging", "Next", LOOKALIKE, "é", "1"])
texts = st.lists(parts, max_size=8).map("".join)
values = st.recursive(
    texts | st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Paging", "Next", "Objects", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


nexts = st.sampled_from([PAGING["Next"], LOOKALIKE, "", None]) | texts
pagings = st.just(PAGING) | st.fixed_dictionaries({"Next": nexts}, optional={"x": values}) | values
objects = st.fixed_dictionaries({"Objects": st.lists(values, max_size=3)})
others = st.just({}) | st.fixed_dictionaries({}, optional={"x": values, "Next": values})
documents = st.builds(
    lambda before, found, paging, last: before | found | {"Paging": paging} | last,
    others,
    objects,
    pagings,
    st.just({}) | others,
)


def test_a_glance_is_never_wrong_about_a_valid_document():
    looks = Counter()

    @settings(max_examples=400, deadline=None)
    @given(documents, st.booleans(), st.sampled_from([None, 1]))
    def look(document, ascii_only, indent):
        seen = peek(json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode())
        following = document["Paging"].get("Next") if isinstance(document["Paging"], dict) else None
        assert seen is None or seen == following
        looks["seen" if seen else "not seen" if following else "no Next"] += 1

    look()
    assert looks["seen"] >= 20
    assert looks["not seen"] >= 20
    assert looks["no Next"] >= 20


def test_paging_may_come_before_objects_and_a_value_that_looks_like_it_leads_nowhere():
    row = {"CountyID": 1, "Name": LOOKALIKE}
    first = Reply(body={"Paging": {"Next": county_path(2)}, "Objects": [row]})
    last = Reply(body={"Objects": [row | {"CountyID": 2}], "Paging": {}})
    ids, _, server = read_county({1: first, 2: last})
    assert ids == [1, 2]
    assert server.pages == [1, 2]
