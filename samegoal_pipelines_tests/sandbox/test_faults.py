"""Faults on request: each makes the server misbehave in one way, for the requests that it matches."""

from __future__ import annotations

import json
import time
import zlib

import pytest
import requests

from samegoal_pipelines.sandbox import Faults
from samegoal_pipelines_tests.sandbox.caller import ENROLLMENTS


def test_a_status_with_body_and_headers_so_many_times(server, caller):
    fault = server.faults.add(
        object=ENROLLMENTS, status=503, body="soon", headers={"Retry-After": "2"}, times=2
    )
    for _ in range(2):
        answer = caller.page(ENROLLMENTS)
        assert (answer.status_code, answer.text, answer.headers["Retry-After"]) == (503, "soon", "2")
    assert caller.page(ENROLLMENTS).status_code == 200
    assert fault.applied == 2


def test_a_fault_concerns_one_page_one_object_one_kind_or_one_district(server, caller):
    server.faults.add(object=ENROLLMENTS, page=2, status=500)
    server.faults.add(kind="metadata", status=502)
    server.faults.add(district="another", status=504)
    assert caller.page(ENROLLMENTS, page=1).status_code == 200
    assert caller.page(ENROLLMENTS, page=2).status_code == 500
    assert caller.page("Student/Student", page=2).status_code == 200
    assert caller.call("/Custom/GetSystemMetadata").status_code == 502
    server.faults.clear()
    assert caller.call("/Custom/GetSystemMetadata").status_code == 200


def test_the_nth_request_alone_or_from_the_nth_on(server, caller):
    server.faults.add(object=ENROLLMENTS, nth=2, status=500)
    server.faults.add(object="Student/Student", nth=2, times=2, status=500)
    assert [caller.page(ENROLLMENTS).status_code for _ in range(4)] == [200, 500, 200, 200]
    assert [caller.page("Student/Student").status_code for _ in range(4)] == [200, 500, 500, 200]


def test_a_maintenance_page_or_any_body_with_status_200(server, caller):
    server.faults.add(object=ENROLLMENTS, html=True)
    answer = caller.page(ENROLLMENTS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    server.faults.clear()
    server.faults.add(object=ENROLLMENTS, body=b'{"Objects":[NaN, \xff]}')
    answer = caller.page(ENROLLMENTS)
    assert (answer.status_code, answer.content) == (200, b'{"Objects":[NaN, \xff]}')
    server.faults.clear()
    packed = zlib.compress(b" " * 1_000_000)
    server.faults.add(object=ENROLLMENTS, body=packed, headers={"Content-Encoding": "deflate"})
    assert len(caller.page(ENROLLMENTS).content) == 1_000_000


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "identity"}])
def test_a_body_that_is_cut_short(server, caller, headers):
    caller.session.headers.update(headers)
    server.faults.add(object=ENROLLMENTS, cut=0.5, times=1)
    with pytest.raises(requests.RequestException):
        caller.page(ENROLLMENTS)
    assert caller.page(ENROLLMENTS).status_code == 200


def test_a_connection_that_is_dropped(server, caller):
    caller.call("/Custom/GetSystemMetadata")
    server.faults.add(object=ENROLLMENTS, drop=True, times=1)
    with pytest.raises(requests.ConnectionError):
        caller.page(ENROLLMENTS)
    assert caller.page(ENROLLMENTS).status_code == 200
    assert server.traffic.requests(object=ENROLLMENTS, status=0)


def test_a_server_that_hangs_and_a_body_that_drips(server, caller):
    server.faults.add(object=ENROLLMENTS, hang=0.2)
    server.faults.add(object="Student/Student", drip=0.05, drip_bytes=20)
    assert caller.page(ENROLLMENTS).elapsed.total_seconds() >= 0.2
    before = time.monotonic()
    assert len(caller.page("Student/Student").json()["Objects"]) == 5
    assert time.monotonic() - before >= 0.2


def test_tokens_expire_or_are_forgotten_at_the_nth_request(server, caller):
    server.faults.add(object=ENROLLMENTS, nth=2, expire_tokens=True)
    server.faults.add(object=ENROLLMENTS, nth=4, forget_tokens=True)
    assert caller.page(ENROLLMENTS).status_code == 200
    expired = caller.page(ENROLLMENTS)
    assert (expired.status_code, expired.json()) == (401, {"Message": "Token has expired"})
    caller.token = None
    assert caller.page(ENROLLMENTS).status_code == 200
    forgotten = caller.page(ENROLLMENTS)
    assert (forgotten.status_code, forgotten.content) == (401, b"")


def test_keys_of_a_token_answer_may_be_missing_or_odd(server, caller):
    server.faults.add(kind="token", set={"expires_in": "soon"}, remove=["token_type"])
    answer = caller.ask_token().json()
    assert answer["expires_in"] == "soon"
    assert "token_type" not in answer


@pytest.mark.parametrize(
    ("fault", "paging"),
    [
        ({"remove": ["Paging"]}, "absent"),
        ({"set": {"Paging": None}}, None),
        ({"set": {"Paging": {"Next": "/Custom/{entity}/{object}/1/{size}"}}}, f"/Custom/1/{ENROLLMENTS}/1/2"),
        ({"set": {"Paging": {"Next": "https://elsewhere.example/{page}"}}}, "https://elsewhere.example/1"),
    ],
)
def test_paging_may_be_missing_null_circular_or_point_elsewhere(server, caller, fault, paging):
    server.faults.add(object=ENROLLMENTS, **fault)
    answer = caller.page(ENROLLMENTS, size=2).json()
    got = answer.get("Paging", "absent")
    assert (got["Next"] if isinstance(got, dict) else got) == paging


def test_values_fields_and_rows_of_a_page_may_be_wrong(server, caller):
    fields = ["EntryWithdrawalID", "StartDate", "StudentID"]
    server.faults.add(object=ENROLLMENTS, rows=[1], values={"StartDate": 7}, remove_fields=["StudentID"])
    server.faults.add(object=ENROLLMENTS, skip_rows=[0, 3])
    rows = caller.objects(ENROLLMENTS, fields)
    assert [row["EntryWithdrawalID"] for row in rows] == [2, 3, 5]
    assert rows[0] == {"EntryWithdrawalID": 2, "StartDate": 7}
    assert set(rows[1]) == set(fields)
    server.faults.add(object=ENROLLMENTS, remove_fields=["StartDate"])
    assert all("StartDate" not in row for row in caller.objects(ENROLLMENTS, fields))


def test_data_may_change_between_two_pages(server, caller, district):
    server.faults.add(page=2, times=1, run=lambda changed: changed.remove_row(ENROLLMENTS, 1))
    pages = list(caller.pages(ENROLLMENTS, ["EntryWithdrawalID"], 2))
    assert [[row["EntryWithdrawalID"] for row in page] for page in pages] == [[1, 2], [4, 5]]


def test_rules_come_from_a_json_file(tmp_path):
    file = tmp_path / "faults.json"
    file.write_text(json.dumps([{"object": ENROLLMENTS, "page": 2, "status": 503, "times": 1}]))
    (rule,) = Faults.from_file(file).rules
    assert (rule.object, rule.page, rule.status, rule.times) == (ENROLLMENTS, 2, 503, 1)
