"""Faults on request: which requests they concern, and those whose effect a client's retry would hide.

The tests of the client, of the nights and of withholding show the other effects, counts and `nth`.
"""

import json

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


@pytest.mark.parametrize("fault", [{"cut": 0.5}, {"drop": True}])
@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "identity"}])
def test_an_answer_may_be_cut_short_or_not_come(server, caller, fault, headers):
    caller.session.headers.update(headers)
    server.faults.add(object=ENROLLMENTS, times=1, **fault)
    with pytest.raises(requests.RequestException):
        caller.page(ENROLLMENTS)
    assert caller.page(ENROLLMENTS).status_code == 200


def test_keys_of_an_answer_and_fields_of_its_objects_may_be_wrong_or_missing(server, caller):
    server.faults.add(object=ENROLLMENTS, set={"Paging": None}, remove_fields=["StartDate"])
    answer = caller.page(ENROLLMENTS, ["StudentID", "StartDate"], size=2).json()
    assert answer == {"Objects": [{"StudentID": 5}, {"StudentID": 3}], "Paging": None}


def test_rules_come_from_a_json_file(tmp_path):
    file = tmp_path / "faults.json"
    file.write_text(json.dumps([{"object": ENROLLMENTS, "page": 2, "status": 503, "times": 1}]))
    (rule,) = Faults.from_file(file)
    assert (rule.object, rule.page, rule.status, rule.times) == (ENROLLMENTS, 2, 503, 1)
