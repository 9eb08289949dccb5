"""Faults on request: each makes the server misbehave in one way, for the requests that it matches."""

import json
import zlib

import pytest
import requests

from samegoal_pipelines.sandbox import Faults
from samegoal_pipelines_tests.sandbox.caller import ENROLLMENTS


def test_a_fault_concerns_one_page_one_object_one_kind_or_one_district(server, caller):
    server.faults.add(object=ENROLLMENTS, page=2, status=500)
    server.faults.add(kind="metadata", status=502)
    server.faults.add(district="another", status=504)
    assert [caller.page(ENROLLMENTS, page=page).status_code for page in (1, 2)] == [200, 500]
    assert caller.page("Student/Student", page=2).status_code == 200
    assert caller.call("/Custom/GetSystemMetadata").status_code == 502
    server.faults.clear()
    assert caller.call("/Custom/GetSystemMetadata").status_code == 200


@pytest.mark.parametrize(
    ("when", "struck"),
    [({"times": 2}, [1, 2]), ({"nth": 2}, [2]), ({"nth": 2, "times": 2}, [2, 3])],
)
def test_a_fault_strikes_so_many_times_or_at_the_nth_request_alone_or_from_it_on(
    server, caller, when, struck
):
    fault = server.faults.add(object=ENROLLMENTS, status=503, **when)
    answers = [caller.page(ENROLLMENTS).status_code for _ in range(4)]
    assert [number for number, status in enumerate(answers, start=1) if status == 503] == struck
    assert fault.applied == len(struck)


def test_an_answer_may_be_any_status_body_and_headers(server, caller):
    server.faults.add(page=1, status=503, body="soon", headers={"Retry-After": "2"})
    server.faults.add(page=2, body=b'{"Objects":[NaN, \xff]}')
    packed = zlib.compress(b" " * 1_000_000)
    server.faults.add(page=3, body=packed, headers={"Content-Encoding": "deflate"})
    answer = caller.page(ENROLLMENTS)
    assert (answer.status_code, answer.text, answer.headers["Retry-After"]) == (503, "soon", "2")
    answer = caller.page(ENROLLMENTS, page=2)
    assert (answer.status_code, answer.content) == (200, b'{"Objects":[NaN, \xff]}')
    assert len(caller.page(ENROLLMENTS, page=3).content) == 1_000_000


@pytest.mark.parametrize("fault", [{"cut": 0.5}, {"drop": True}])
@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "identity"}])
def test_an_answer_may_be_cut_short_or_not_come(server, caller, fault, headers):
    caller.session.headers.update(headers)
    server.faults.add(object=ENROLLMENTS, times=1, **fault)
    with pytest.raises(requests.RequestException):
        caller.page(ENROLLMENTS)
    assert caller.page(ENROLLMENTS).status_code == 200


def test_a_server_that_hangs(server, caller):
    server.faults.add(object=ENROLLMENTS, hang=0.2)
    assert caller.page(ENROLLMENTS).elapsed.total_seconds() >= 0.19


def test_keys_of_an_answer_and_fields_of_its_objects_may_be_wrong_or_missing(server, caller):
    server.faults.add(kind="token", set={"expires_in": "soon"})
    server.faults.add(object=ENROLLMENTS, set={"Paging": None}, remove_fields=["StartDate"])
    assert caller.ask_token().json()["expires_in"] == "soon"
    answer = caller.page(ENROLLMENTS, ["StudentID", "StartDate"], size=2).json()
    assert answer == {"Objects": [{"StudentID": 5}, {"StudentID": 3}], "Paging": None}


def test_rules_come_from_a_json_file(tmp_path):
    file = tmp_path / "faults.json"
    file.write_text(json.dumps([{"object": ENROLLMENTS, "page": 2, "status": 503, "times": 1}]))
    (rule,) = Faults.from_file(file)
    assert (rule.object, rule.page, rule.status, rule.times) == (ENROLLMENTS, 2, 503, 1)
