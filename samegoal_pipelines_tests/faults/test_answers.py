"""An answer that is not what Qmlativ's contract says fails the night, and the page it came for is named."""

from __future__ import annotations

import pytest

from samegoal_pipelines_tests.faults.standing import ATTEMPTS, OURS

STUDENTS = "Student/Student"
PERSISTS = "; run again, and ask Skyward's support if it stays so"
NO_JSON = "the answer is not valid JSON" + PERSISTS
NO_OBJECTS = "the answer has no list of objects in Objects" + PERSISTS
CUT_SHORT = f"the answer was cut short; gave up after {ATTEMPTS} attempts; try again later"
DEEP = b'{"a":' * 1000 + b"1" + b"}" * 1000
PAGING = b'"Paging": {"Next": null}'


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param({"html": True}, "expected JSON, got text/html: maintenance page?", id="HTML"),
        pytest.param({"cut": 0.5}, CUT_SHORT, id="cut short"),
        pytest.param({"body": b'{"Objects": [{"StudentID": 1}, {"Stu'}, CUT_SHORT, id="cut, and said whole"),
        pytest.param({"body": b""}, CUT_SHORT, id="empty"),
        pytest.param({"remove": ["Objects"]}, NO_OBJECTS, id="no Objects"),
        pytest.param({"set": {"Objects": None}}, NO_OBJECTS, id="Objects null"),
        pytest.param({"set": {"Objects": {}}}, NO_OBJECTS, id="Objects an object"),
        pytest.param({"set": {"Objects": ["Sentinel"]}}, NO_OBJECTS, id="Objects of texts"),
        pytest.param({"set": {"Objects": [None]}}, NO_OBJECTS, id="Objects of null"),
        pytest.param({"body": b'{"Message": "Sentinel"}'}, NO_OBJECTS, id="an error object"),
        pytest.param({"body": b'[{"StudentID": 1}]'}, NO_OBJECTS, id="a bare list"),
        pytest.param({"body": b'{"Objects": [{"Grade": "\xe9"}], ' + PAGING + b"}"}, NO_JSON, id="no UTF-8"),
        pytest.param({"body": b'{"Objects": [{"StudentID": NaN}], ' + PAGING + b"}"}, NO_JSON, id="NaN"),
        pytest.param(
            {"body": b'{"Objects": [{"StudentID": 1, "StudentID": 2}], ' + PAGING + b"}"},
            NO_JSON,
            id="a key twice",
        ),
        pytest.param(
            {
                "body": b'{"Objects": [{"StudentID": '
                + b'{"a":' * 999
                + b"1"
                + b"}" * 1000
                + b"], "
                + PAGING
                + b"}"
            },
            NO_JSON,
            id="1,000 deep",
        ),
    ],
)
def test_an_answer_that_is_none_fails_the_night_and_names_object_and_page(standing, fails, fault, says):
    struck = standing.source.faults.add(object=STUDENTS, kind="list", page=2, **fault)
    line = fails(f"{STUDENTS}?SchoolYearID=", f", page 2: {says}")
    assert 1 <= struck.applied <= ATTEMPTS * 3  # of three school years
    assert line.count(OURS) == 1
