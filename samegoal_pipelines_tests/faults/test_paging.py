"""Pages that do not make one list: nothing is published, no request goes where an answer wants it to."""

import socket
from collections.abc import Iterator

import pytest

from samegoal_pipelines_tests.faults.fixtures import OURS
from samegoal_pipelines_tests.mass_changes import TOMORROW

STUDENTS, EMAILS = "Student/Student", "Demographics/NameEmail"
ABROAD = "Paging.Next does not lead to a page of this object; it was not followed"
NO_PAGING = "the answer has no Paging"
THERE = "Custom/{entity}/{object}"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"remove": ["Paging"]}, NO_PAGING, id="absent"),
        pytest.param({"set": {"Paging": None}}, NO_PAGING, id="null"),
        pytest.param({"set": {"Paging": ["Sentinel"]}}, NO_PAGING, id="a list"),
        pytest.param({"set": {"Paging": {"Next": 3}}}, ABROAD, id="Next a number"),
        pytest.param({"set": {"Paging": {"Next": "Sentinel"}}}, ABROAD, id="Next no path"),
        pytest.param(
            {"set": {"Paging": {"Next": f"/{THERE}/1/{{size}}"}}},
            "Paging.Next runs in a circle, back to page 1",
            id="a circle",
        ),
        pytest.param(
            {"set": {"Paging": {"Next": f"/{THERE}/4/{{size}}"}}}, "Paging.Next skips to page 4", id="a skip"
        ),
    ],
)
def test_pages_that_do_not_follow_each_other_fail_the_night(published, fails, changed, says):
    published.source.faults.add(object=STUDENTS, kind="list", page=2, **changed)
    fails(f"{STUDENTS}?SchoolYearID=", f", page 2: {says}", "run again, and ask Skyward's support")


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """Another server on this machine, at which nobody may ever call."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0)
        yield listening


@pytest.mark.parametrize(
    "leads_to",
    [
        "http://{stranger}/" + THERE + "/2/{size}",
        "//{stranger}/" + THERE + "/2/{size}",
        "http://user@{stranger}/" + THERE + "/2/{size}",
        "@{stranger}/" + THERE + "/2/{size}",
        "https://{stranger}/" + THERE + "/2/{size}",
        "/../" + THERE + "/2/{size}",
        "/" + THERE + "/../../2/{size}",
    ],
    ids=["absolute", "another host", "user@", "user@ of ours", "another scheme", "..", ".. in the middle"],
)
def test_a_next_that_leads_elsewhere_is_not_followed(published, stranger, fails, leads_to):
    host = f"127.0.0.1:{stranger.getsockname()[1]}"
    published.source.faults.add(
        object=STUDENTS, kind="list", page=1, set={"Paging": {"Next": leads_to.replace("{stranger}", host)}}
    )
    assert host not in fails(f"{STUDENTS}?SchoolYearID=", f", page 1: {ABROAD}")
    nobody_called(published, stranger)


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_is_not_followed(published, stranger, fails, status):
    host = f"127.0.0.1:{stranger.getsockname()[1]}"
    published.source.faults.add(
        object=STUDENTS, kind="list", page=2, status=status, headers={"Location": f"http://{host}/Sentinel"}
    )
    said = f"page 2: Qmlativ answers with a redirect (HTTP {status}), which is not followed"
    assert host not in fails(f"{STUDENTS}?SchoolYearID=", said, "To do: check the API Base URL")
    nobody_called(published, stranger)


def test_the_token_goes_to_no_place_to_which_the_token_server_redirects(published, stranger, fails):
    host = f"127.0.0.1:{stranger.getsockname()[1]}"
    published.source.faults.add(kind="token", status=307, headers={"Location": f"http://{host}/oauth/token"})
    fails("token: Qmlativ answers with a redirect (HTTP 307), which is not followed")
    nobody_called(published, stranger)


def nobody_called(published, stranger: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        stranger.accept()
    assert {entry.kind for entry in published.source.traffic.log} <= {"token", "metadata", "describe", "list"}
    assert {entry.district for entry in published.source.traffic.log} == {OURS}


def test_endless_new_pages_end_at_the_cap_and_nothing_is_cut_off_in_silence(published, fails):
    published.limits["max_pages"] = 2  # of three
    fails(", page 2: Paging.Next goes on after 2 pages, more than any district has", "nothing of this object")
    asked = {entry.page for entry in published.source.traffic.requests(kind="list")}
    assert max(asked) <= 2


def test_the_same_rows_under_ever_new_page_numbers_are_noticed_at_once(published, fails):
    suffixes = [{"NameSuffixID": 1, "Code": "JR"}, {"NameSuffixID": 2, "Code": "SR"}]
    for page in range(1, 9):
        further = {"Objects": suffixes, "Paging": {"Next": f"/{THERE}/{page + 1}/{{size}}"}}
        published.source.faults.add(object="Demographics/NameSuffix", kind="list", page=page, set=further)
    fails("Demographics/NameSuffix, page 2: brings the rows of page 1 again: Paging.Next runs in a circle")


def test_a_short_page_in_the_middle_is_accepted_where_next_goes_on_and_reported(published, tonight):
    """Of a row that these credentials may not see, the page is the shorter."""
    published.district.add_row(EMAILS, NameEmailID=0, NameID=None)
    published.source.faults.add(object=EMAILS, kind="list", page=1, skip_rows=[0])

    assert tonight().returncode == 0
    landed = published.pipeline.deployment.landing.read("raw_students", district_id=OURS, night=TOMORROW)
    assert landed["Reads"].set_index("Object").loc["NameEmail", ["ShortPages", "Repeats"]].to_list() == [1, 0]
    with_short_page = published.pipeline.published()
    published.source.faults.clear()
    assert tonight().returncode == 0
    assert published.pipeline.published() == with_short_page
