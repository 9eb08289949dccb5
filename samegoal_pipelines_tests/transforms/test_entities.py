"""Whose enrollments count, by entity."""

from datetime import date

import pytest

from samegoal_pipelines.transforms.enrollments import count_outcomes
from samegoal_pipelines.transforms.entities import count_entities, entity_access, normalized, not_granted_note
from samegoal_pipelines_tests.transforms.builders import classify, enrollments, entry

TODAY = date(2026, 10, 12)
GRANTED = {1: True, 5: True, 6: False}
HERE = entry(1, "2026-08-12", student=1)
ELSEWHERE = entry(2, "2026-08-12", student=2, EntityID=6)
NOWHERE = entry(3, "2026-08-12", student=3, EntityID=None)


def raw(setting: str, *entries):
    return enrollments(entries, TODAY) | {"EntityAccess": entity_access(setting, GRANTED)}


def outcome(setting: str, *entries) -> tuple[list[int], dict[int, tuple[str, str]]]:
    """The enrollments that count, and what became of the others."""
    filtered = classify(raw(setting, *entries), TODAY).filtered
    left = filtered.excluded[["enrollment_id", "outcome", "reason"]].itertuples(index=False)
    return filtered.enrollments["enrollment_id"].tolist(), {number: fate for number, *fate in left}


@pytest.mark.parametrize(
    ("given", "stored"), [("All", "all"), (" granted ", "granted"), ("15, 2,2", "2,15"), ("7", "7")]
)
def test_the_setting_is_stored_in_one_form(given, stored):
    assert normalized(given) == stored


@pytest.mark.parametrize("given", ["", "some", "0", "1,", "-3", "1;2", str(2**63)])
def test_other_settings_are_rejected(given):
    with pytest.raises(ValueError, match=r".*"):
        normalized(given)


def test_by_default_every_entity_counts_granted_or_not():
    assert outcome("all", HERE, ELSEWHERE, NOWHERE) == ([1, 2, 3], {})


@pytest.mark.parametrize("setting", ["granted", "5", "1,5"])
def test_enrollments_of_other_entities_are_excluded_with_a_reason_of_their_own(setting):
    assert outcome(setting, HERE, ELSEWHERE) == ([1], {2: ["excluded", "entity_not_included"]})
    found = classify(raw(setting, HERE, ELSEWHERE), TODAY)
    assert found.absent.values.tolist() == [[2, "entity not included"]]
    assert count_outcomes(found.filtered)["entity_not_included"] == 1
    assert outcome("6", HERE, ELSEWHERE)[0] == [2]


def test_an_enrollment_without_an_entity_leaves_the_student_in_doubt_where_entities_were_chosen():
    assert outcome("5", NOWHERE) == ([], {3: ["quarantined", "no_entity"]})
    assert classify(raw("5", NOWHERE), TODAY).uncertain["student_id"].tolist() == [3]


def test_another_entity_outweighs_every_reason_but_cecs():
    """Such a row never counts, so nothing about it leaves a student in doubt."""
    course = entry(4, "2026-08-12", code="CECS", EntityID=6)
    no_start = {**ELSEWHERE, "EntryWithdrawalID": 5, "StartDate": None}
    assert outcome("5", course, no_start)[1] == {
        4: ["excluded", "cecs"],
        5: ["excluded", "entity_not_included"],
    }


def test_enrollments_and_students_are_counted_per_entity():
    tables = raw("granted", HERE, {**HERE, "EntryWithdrawalID": 9}, ELSEWHERE, NOWHERE)
    counts = count_entities(tables["EntityAccess"], tables["Entity"], tables["EntryWithdrawal"])
    assert [tuple(one) for one in counts] == [
        (1, "District", True, True, 0, 0),
        (5, "", True, True, 2, 1),
        (6, "", False, False, 1, 1),
        (None, "no entity named", False, False, 1, 1),
    ]
    assert not_granted_note(counts) == "enrollments came of entities that are not granted: 6 (1, excluded)"


def test_without_enrollments_nothing_is_said_about_numbers():
    tables = raw("all")
    counts = count_entities(tables["EntityAccess"], tables["Entity"], None)
    assert {one.enrollments for one in counts} == {None}
    assert not_granted_note(counts) == ""
