"""Every point of the Custom API contract, as a client meets it."""

from datetime import date, timedelta

import pytest

from samegoal_pipelines.sandbox import server as server_module
from samegoal_pipelines.sandbox.objects import SCHEMAS
from samegoal_pipelines_tests.literal_district import literal_district
from samegoal_pipelines_tests.sandbox.caller import ENROLLMENTS, Caller
from samegoal_pipelines_tests.sandbox.conftest import TODAY


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


def test_metadata_answers_for_the_credentials_and_not_for_the_base_url(server, district):
    other = literal_district({}, today=TODAY, id="other", name="Other ISD", code="111111")
    server.sandbox.districts.append(other)
    caller = Caller(server, district, credentials=other)
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
    assert set(described) == {*SCHEMAS[ENROLLMENTS].names, "Relationships", "ValidationRules"} - {
        "IsDefaultEntity"
    }
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


def test_answers_are_compressed_for_those_who_accept_it(caller):
    def coding() -> str | None:
        answer = caller.page(ENROLLMENTS, SCHEMAS[ENROLLMENTS].names)
        assert len(answer.json()["Objects"]) == 5
        return answer.headers.get("Content-Encoding")

    assert coding() == "gzip"
    caller.session.headers["Accept-Encoding"] = "identity"
    assert coding() is None


def test_values_of_any_type_are_served_as_they_were_given(caller, district):
    district.edit(ENROLLMENTS, 1, StartDate="2026-02-31T00:00:00", StudentID="x", IsDefaultEntity=2**70)
    district.edit("Student/Student", 1, StudentNumber='"\\\n\t\x00é😀', Grade="\ud800")
    district.edit("Student/Student", 2, StudentNumber=7)
    row = caller.objects(ENROLLMENTS, ["StartDate", "StudentID", "IsDefaultEntity"])[0]
    assert row == {"StartDate": "2026-02-31T00:00:00", "StudentID": "x", "IsDefaultEntity": 2**70}
    students = [[*row.values()] for row in caller.objects("Student/Student", ["StudentNumber", "Grade"])[:2]]
    assert students == [['"\\\n\t\x00é😀', "\ud800"], [7, "05"]]


def test_the_server_counts_what_it_was_asked(server, caller, district):
    district.latency = 0.1
    assert caller.page(ENROLLMENTS).elapsed.total_seconds() >= 0.09
    caller.page(ENROLLMENTS, size=3)
    assert server.traffic.token_calls == 1
    assert server.traffic.peak_concurrency == 1
    assert len(server.traffic.requests(kind="list", object=ENROLLMENTS, district=district.id)) == 2
    path = f"{district.base_path}/Custom/1/{ENROLLMENTS}/1/3"
    assert len(server.traffic.requests(path=path)) == 1
    (token,) = server.traffic.requests(kind="token")
    assert token.headers["suppress-development-permissions"] == "true"


def test_odd_values_survive_further_edits(district):
    district.edit(ENROLLMENTS, 1, StartDate="never")
    district.edit(ENROLLMENTS, 1, EndDate="2026-09-01")
    district.edit(ENROLLMENTS, 2, EndDate=3)
    first, second, *_ = district.rows(ENROLLMENTS)
    assert (first["StartDate"], first["EndDate"]) == ("never", date(2026, 9, 1))
    assert second["EndDate"] == 3
    district.edit(ENROLLMENTS, 1, StartDate="2026-08-12")
    assert district.rows(ENROLLMENTS)[0]["StartDate"] == date(2026, 8, 12)
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
