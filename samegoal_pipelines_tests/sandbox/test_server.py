"""The Custom API contract point by point, and faults on request, as a bare client meets them on a socket."""

import json
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
import requests

from samegoal_pipelines.sandbox import Faults, Sandbox, SandboxDistrict, SandboxServer, serve
from samegoal_pipelines.sandbox import server as server_module
from samegoal_pipelines.sandbox.district import FIELDS
from samegoal_pipelines_tests.literal_district import literal_district

TODAY = date(2026, 10, 5)
ENROLLMENTS = "Enrollment/EntryWithdrawal"


class Caller:
    """Calls one district's base URL. It knows paths and headers, and nothing of the project's client."""

    def __init__(self, server: SandboxServer, district: SandboxDistrict) -> None:
        self.base = server.base_url(district)
        self.credentials = {"client_id": district.client_key, "client_secret": district.client_secret}
        self.session = requests.Session()
        self.token: str | None = None

    def ask_token(self, **form: str) -> requests.Response:
        asked = {"grant_type": "client_credentials", **self.credentials, **form}
        headers = {"Suppress-Development-Permissions": "true"}
        return self.session.post(f"{self.base}/oauth/token", data=asked, headers=headers, timeout=60)

    def call(self, path: str, *, json: Any = None, params: Any = None) -> requests.Response:
        self.token = self.token or self.ask_token().json()["access_token"]
        method, headers = "GET" if json is None else "POST", {"Authorization": f"Bearer {self.token}"}
        return self.session.request(
            method, self.base + path, json=json, params=params, headers=headers, timeout=60
        )

    def page(
        self,
        name: str,
        fields: Sequence[str] = (),
        *,
        page: int = 1,
        size: int = 500,
        year: int | str | None = None,
        search: Any = None,
    ) -> requests.Response:
        params = {f"searchFields[{number}]": field for number, field in enumerate(fields)}
        params |= {} if year is None else {"SchoolYearID": str(year)}
        return self.call(f"/Custom/1/{name}/{page}/{size}", params=params, json=search)

    def objects(self, name: str, fields: Sequence[str] = (), **how: Any) -> list[dict[str, Any]]:
        answer = self.page(name, fields, **how)
        answer.raise_for_status()
        objects: list[dict[str, Any]] = answer.json()["Objects"]
        return objects


@pytest.fixture
def district() -> SandboxDistrict:
    """Five students who are enrolled, and one of them left last year."""
    rows = [{"StudentID": student, "StartDate": "2026-08-12"} for student in (5, 3, 1, 4, 2)]
    left = {"StudentID": 1, "StartDate": "2025-08-12", "EndDate": "2026-05-27", "WithdrawalCode": "82"}
    return literal_district({ENROLLMENTS: [*rows, left]}, today=TODAY)


@pytest.fixture(scope="module")
def served_once() -> Iterator[SandboxServer]:
    with serve(Sandbox([])) as served:
        yield served


@pytest.fixture
def server(served_once: SandboxServer, district: SandboxDistrict) -> SandboxServer:
    """A server with this test's district alone, no faults, and nothing logged."""
    served_once.sandbox.districts[:] = [district]
    served_once.faults.clear()
    served_once.traffic.clear()
    return served_once


@pytest.fixture
def caller(server: SandboxServer, district: SandboxDistrict) -> Caller:
    return Caller(server, district)


def test_a_token_is_a_bearer_token_with_a_lifetime(caller):
    answer = caller.ask_token()
    assert answer.status_code == 200
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 3600)
    caller.token = "made up"
    assert caller.call("/Custom/GetSystemMetadata").status_code == 401


@pytest.mark.parametrize(
    ("asked", "expires", "status", "error"),
    [
        ({"client_secret": "no"}, None, 401, "invalid_client"),
        ({"client_id": "nobody"}, None, 401, "invalid_client"),
        ({}, TODAY, 401, "invalid_client"),
        ({"grant_type": "password"}, None, 400, "unsupported_grant_type"),
    ],
)
def test_wrong_or_expired_credentials_get_no_token(caller, district, asked, expires, status, error):
    district.expires = TODAY + timedelta(days=1)
    assert caller.ask_token().status_code == 200
    district.expires = expires
    answer = caller.ask_token(**asked)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_metadata_answers_for_the_credentials_and_not_for_the_base_url(server, caller):
    other = literal_district({}, today=TODAY, id="other", name="Other ISD", code="111111")
    server.sandbox.districts.append(other)
    caller.token = Caller(server, other).ask_token().json()["access_token"]
    year = {"SchoolYearID": 27, "NumericYear": 2027, "Description": "2026-2027"}
    entity = {"EntityID": 1, "Name": "Other ISD"}
    answered = {"DistrictID": 1, "Code": "111111", "SchoolYearCurrent": year, **entity}
    expected = {"System": {"Code": "000", "Districts": [answered], **entity}}
    assert caller.call("/Custom/GetSystemMetadata").json() == expected
    assert caller.page("Student/Student").status_code == 403
    assert caller.call("/Custom/1/Student/Student").status_code == 403


def test_pages_start_at_one_have_a_limit_and_lead_on_to_the_last(caller, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_PAGE_SIZE", 2)
    pages = [
        caller.page(ENROLLMENTS, ["StudentID"], page=page, size=20_000, year=27).json() for page in (1, 2, 3)
    ]
    assert [[row["StudentID"] for row in page["Objects"]] for page in pages] == [[5, 3], [1, 4], [2]]
    following = [f"/Custom/1/{ENROLLMENTS}/{page}/2" for page in (2, 3)]
    assert [page["Paging"] for page in pages] == [{"Next": each} for each in (*following, None)]
    assert caller.page(ENROLLMENTS, page=9, year=27).json() == {"Objects": [], "Paging": {"Next": None}}
    assert caller.page(ENROLLMENTS, page=0).status_code == 400


def test_fields_come_in_the_order_of_their_numbers_and_by_default_only_the_key(caller):
    assert caller.objects("Demographics/PhoneType")[0] == {"PhoneTypeID": 1}
    answer = caller.call(
        "/Custom/1/Demographics/PhoneType/1/1",
        params={"searchFields[1]": "Code", "searchFields[0]": "Description"},
    )
    assert answer.text.startswith('{"Objects":[{"Description":"Home","Code":"H"}]')


def test_values_have_the_types_of_the_contract(caller, district):
    fields = ["StartDate", "EndDate", "IsDefaultEntity", "StudentID", "WithdrawalDate"]
    (row,) = caller.objects(ENROLLMENTS, fields, year=26)
    assert list(row.values()) == ["2025-08-12T00:00:00", "2026-05-27T00:00:00", True, 1, None]
    codes = caller.objects("Enrollment/WithdrawalCode", ["Code"])
    assert {"Code": "01"} in codes


def test_year_bound_objects_show_the_year_asked_for_or_else_the_current_one(caller):
    assert len(caller.objects(ENROLLMENTS, year=27)) == len(caller.objects(ENROLLMENTS)) == 5
    assert len(caller.objects(ENROLLMENTS, year=26)) == 1
    assert caller.objects(ENROLLMENTS, year=28) == []
    assert caller.page(ENROLLMENTS, year="x").status_code == 400
    asked = "Enrollment/WithdrawalCode", ["WithdrawalCodeID", "Code"]
    last, this = (
        {row["Code"]: row["WithdrawalCodeID"] for row in caller.objects(*asked, year=year)}
        for year in (26, 27)
    )
    assert last["CECS"] != this["CECS"], "the same code has another id each year"


def test_grade_is_computed_for_the_year_asked_for(caller, district):
    district.edit("Student/Student", 1, Grade="KG", GradeNumeric=0)
    district.edit("Student/Student", 2, Grade=None, GradeNumeric=13)
    grades = {
        year: [row["Grade"] for row in caller.objects("Student/Student", ["Grade"], year=year)][:2]
        for year in (26, 27, 28)
    }
    assert grades == {26: ["PK", "12"], 27: ["KG", None], 28: ["01", None]}


def test_a_description_has_the_granted_fields_as_keys(caller, district):
    district.denied_fields |= {f"{ENROLLMENTS}.IsDefaultEntity", "Demographics/Language"}
    described = caller.call(f"/Custom/1/{ENROLLMENTS}").json()
    assert set(described) == {*FIELDS[ENROLLMENTS], "Relationships", "ValidationRules"} - {"IsDefaultEntity"}
    assert caller.call("/Custom/1/Demographics/Language").status_code == 403
    assert caller.call("/Custom/1/Student").status_code == 404
    assert caller.call("/Custom/GetSystemMetadata", json={}).status_code == 405


def test_a_field_that_is_not_granted_is_refused_wherever_it_is_named(caller, district):
    district.denied_fields.add("Demographics/Name.IsWhite")
    message = {"Message": "Field IsWhite of Demographics/Name is not available to this integration"}
    condition = {"BooleanSearchCondition": {"FieldName": "IsWhite", "ConditionType": "Equal", "Value": True}}
    for answer in (
        caller.page("Demographics/Name", ["IsWhite"]),
        caller.page("Demographics/Name", search={"SearchCondition": condition}),
        caller.page("Demographics/Name", search={"SearchSort": [{"FieldName": "IsWhite"}]}),
    ):
        assert (answer.status_code, answer.json()) == (403, message)
    unknown = caller.page("Demographics/Name", ["SocialSecurityNumber"])
    assert unknown.status_code == 403
    district.denied_fields.add("Demographics/Name.NameID")
    assert caller.page("Demographics/Name").status_code == 403, "the key, which comes where no field is named"


def test_answers_are_compressed_for_those_who_accept_it(caller):
    def coding() -> str | None:
        answer = caller.page(ENROLLMENTS, FIELDS[ENROLLMENTS])
        assert len(answer.json()["Objects"]) == 5
        return answer.headers.get("Content-Encoding")

    assert coding() == "gzip"
    caller.session.headers["Accept-Encoding"] = "identity"
    assert coding() is None


def test_values_of_any_type_are_served_as_they_were_given(caller, district):
    district.edit(ENROLLMENTS, 1, StartDate="2026-02-31T00:00:00", StudentID="x", IsDefaultEntity=2**70)
    district.edit("Student/Student", 1, StudentNumber='"\\\n\t\x00é😀', Grade="\ud800")
    district.edit("Student/Student", 2, StudentNumber=7)
    row = {"StartDate": "2026-02-31T00:00:00", "StudentID": "x", "IsDefaultEntity": 2**70}
    assert caller.objects(ENROLLMENTS, [*row])[0] == row
    district.edit(ENROLLMENTS, 1, StartDate=date(2026, 8, 12))
    assert caller.objects(ENROLLMENTS, [*row])[0] == row | {"StartDate": "2026-08-12T00:00:00"}
    students = [[*row.values()] for row in caller.objects("Student/Student", ["StudentNumber", "Grade"])[:2]]
    assert students == [['"\\\n\t\x00é😀', "\ud800"], [7, "05"]]


def test_a_page_takes_as_long_as_its_district_says(caller, district):
    district.latency = 0.1
    assert caller.page(ENROLLMENTS).elapsed.total_seconds() >= 0.09


def test_an_edit_that_names_no_row_or_no_field_is_refused(district):
    with pytest.raises(KeyError, match="404"):
        district.edit(ENROLLMENTS, 404, StartDate=None)
    with pytest.raises(KeyError, match="Begin"):
        district.edit(ENROLLMENTS, 1, Begin=1)


def one(kind: str, field: str, how: str, value: object) -> dict[str, object]:
    return {f"{kind}SearchCondition": {"FieldName": field, "ConditionType": how, "Value": value}}


@pytest.mark.parametrize(
    ("condition", "students"),
    [
        (one("Long", "StudentID", "LessEqual", "2"), [1, 2]),
        (one("Boolean", "StudentID", "Equal", 2), [2]),  # only the field's type counts
        (one("String", "StudentNumber", "LessEqual", "00124"), [1, 2]),  # and not null
    ],
)
def test_rows_are_found_by_comparison(caller, district, condition, students):
    for student, number in enumerate(("00123", "00124", "AB 77", None, "ab 77"), start=1):
        district.edit("Student/Student", student, StudentNumber=number)
    found = caller.objects("Student/Student", ["StudentID"], search={"SearchCondition": condition})
    assert [row["StudentID"] for row in found] == students


def test_rows_are_ordered_as_asked(caller):
    def order(*sort: dict[str, object]) -> list[int]:
        rows = caller.objects(ENROLLMENTS, ["StudentID"], search={"SearchSort": [*sort]})
        return [row["StudentID"] for row in rows]

    assert order() == [5, 3, 1, 4, 2]
    assert order({"FieldName": "StudentID", "Descending": False}) == [1, 2, 3, 4, 5]
    assert order({"FieldName": "EntityID"}, {"FieldName": "StudentID", "Descending": True}) == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    "body",
    [
        {"SearchCondition": one("Long", "StudentID", "Resembles", 1)},
        {"SearchCondition": one("Long", "StudentID", "Equal", None)},
        {"SearchCondition": one("Long", "StudentID", "Equal", "many")},
        {"SearchCondition": {"Long": {"FieldName": "StudentID"}}},
        {"SearchCondition": {"LongSearchCondition": {"ConditionType": "Equal"}}},
        {"SearchCondition": [1]},
        {"SearchSort": [{"Descending": True}]},
        {"SearchSort": "StudentID"},
        [],
    ],
)
def test_what_cannot_be_understood_is_refused_with_a_message(caller, body):
    answer = caller.page("Student/Student", search=body)
    assert answer.status_code == 400
    assert answer.json()["Message"]


# -- faults on request; the tests of the client and of the nights show the other effects, counts and `nth` --


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
