"""SearchCondition and SearchSort, of every kind that the client sends."""

from typing import Any

import pytest

STUDENTS = "Student/Student"
NUMBERS = ("00123", "00124", "AB 77", None, "ab 77")


@pytest.fixture
def found(caller, district):
    """StudentIDs for which a condition holds."""
    for student, number in enumerate(NUMBERS, start=1):
        district.edit(STUDENTS, student, StudentNumber=number)

    def ask(condition: Any, name: str = STUDENTS, key: str = "StudentID") -> list[int]:
        answer = caller.page(name, [key], search={"SearchCondition": condition})
        assert answer.status_code == 200, answer.text
        return [row[key] for row in answer.json()["Objects"]]

    return ask


def one(kind: str, field: str, how: str, *values: Any, **more: Any) -> dict[str, Any]:
    value = {"Value": values[0]} if values else {}
    return {f"{kind}SearchCondition": {"FieldName": field, "ConditionType": how, **value, **more}}


def group(how: str, *conditions: Any) -> dict[str, Any]:
    return {"SearchConditionGroup": {"ConditionGroupType": how, "Conditions": list(conditions)}}


@pytest.mark.parametrize(
    ("how", "value", "expected"),
    [
        *(("Equal", 2, [2]), ("Less", 2, [1]), ("LessEqual", "2", [1, 2])),
        *(("Greater", "4", [5]), ("GreaterEqual", 4, [4, 5])),
    ],
)
def test_numbers_are_compared(found, how, value, expected):
    assert found(one("Long", "StudentID", how, value)) == expected


def test_null_is_found_only_if_asked_for(found):
    assert found(one("String", "StudentNumber", "Null")) == [4]
    assert found(one("String", "StudentNumber", "Less", "00124")) == [1]
    assert found(one("String", "StudentNumber", "List", List=["00123", "00124"])) == [1, 2]
    assert found(one("Long", "StudentID", "List", List=[5, 1])) == [1, 5]


def test_flags_may_be_asked_with_a_string_condition_or_a_boolean_one(found):
    names = [1_000_001, 1_000_002, 1_000_003, 1_000_004, 1_000_005]
    for kind, value in (("String", "true"), ("Boolean", True)):
        assert found(one(kind, "IsStudentName", "Equal", value), "Demographics/Name", "NameID") == names
    assert found(one("String", "IsStudentName", "Equal", "false"), "Demographics/Name", "NameID") == []


def test_dates_are_compared(found, district):
    district.edit("Demographics/Name", 1_000_002, BirthDate="2014-12-31")
    earlier = one("Date", "BirthDate", "Less", "2015-01-01T00:00:00")
    assert found(earlier, "Demographics/Name", "NameID") == [1_000_002]


def test_groups_join_conditions_and_may_hold_groups(found):
    first, last = one("Long", "StudentID", "Less", 3), one("Long", "StudentID", "Greater", 4)
    zero = one("String", "StudentNumber", "Equal", "00124")
    assert found(group("Or", first, last)) == [1, 2, 5]
    assert found(group("And", first, zero)) == [2]
    assert found(group("Or", group("And", first, zero), last)) == [2, 5]


def test_rows_are_ordered_as_asked(caller):
    def order(*sort: dict[str, Any]) -> list[int]:
        rows = caller.objects("Enrollment/EntryWithdrawal", ["StudentID"], search={"SearchSort": [*sort]})
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
        {"SearchCondition": one("String", "StudentNumber", "List")},
        {"SearchCondition": group("Xor", one("Long", "StudentID", "Equal", 1))},
        {"SearchCondition": [1]},
        {"SearchSort": [{"Descending": True}]},
        {"SearchSort": "StudentID"},
        [],
    ],
)
def test_what_cannot_be_understood_is_refused_with_a_message(caller, body):
    answer = caller.page(STUDENTS, search=body)
    assert answer.status_code == 400
    assert answer.json()["Message"]
