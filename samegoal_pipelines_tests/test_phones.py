"""Whether two texts may name one phone number."""

import pytest

from samegoal_pipelines.phones import ANY, may_be_one_of, numbers_in, with_extension

WAYS_TO_WRITE_IT = [
    "(512) 555-0101",
    "5125550101",
    "512.555.0101",
    "+1 512-555-0101",
    "+15125550101",
    "1-512-555-0101",
    "1 (512) 555 0101",
    "001 512 555 0101",
    "tel:+1-512-555-0101",
    "Fax 512-555-0101",
    "Mobile: (512)555-0101 (mother)",
    "512-555-0101 x7",
    "512-555-0101x7",
    "512-555-0101 ext. 4",
    "512-555-0101 Extension 4",
    "512-555-0101 #4",
    "512-555-0101;ext=4",
    "512-555-0101,,4",
    "512-555-0101 4",
    "512-555-0101-4",
    "512-555-0101*4",
    "512-555-0101 option 3",
    "+1 512 555 0101 int 12",
    "(512) 555-0199 or (512) 555-0101",
    "512-555-0199/512-555-0101",
    "５１２-５５５-０１０１",
    "555-0101",
    "555-0101 ext. 44",
]


@pytest.mark.parametrize("confidential", WAYS_TO_WRITE_IT)
def test_a_number_is_the_same_however_it_is_written(confidential):
    numbers = numbers_in(confidential)
    assert [text for text in WAYS_TO_WRITE_IT if not may_be_one_of(text, numbers)] == []


@pytest.mark.parametrize("confidential", [text for text in WAYS_TO_WRITE_IT if "0199" not in text])
def test_another_number_is_another_one(confidential):
    numbers = numbers_in(confidential)
    others = ["(512) 555-0102", "+1 512-555-0110", "512-555-1010 x0101", "Fax 737-555-0202", "555-0110"]
    assert [text for text in others if may_be_one_of(text, numbers)] == []


def test_a_foreign_number_is_the_same_with_and_without_its_country_code():
    for text in ("+52 55 1234 5678", "011 52 55 1234 5678", "52 55 1234 5678", "(55) 1234-5678"):
        assert may_be_one_of(text, numbers_in("+52 55 1234 5678")), text
        assert may_be_one_of("+52 55 1234 5678", numbers_in(text)), text


def test_letters_stand_for_their_digits():
    assert may_be_one_of("800-356-9377", numbers_in("1-800-FLOWERS"))


@pytest.mark.parametrize(
    "unclear", ["512-555-O1O1", "512-555-01O1", "5l2-555-0101", "x4", "0101", "512-555-010", "unlisted"]
)
def test_a_text_that_is_not_clearly_a_number_may_be_any_number(unclear):
    assert numbers_in(unclear) == {ANY}
    assert may_be_one_of(unclear, numbers_in("(737) 555-0202"))


def test_a_remark_beside_a_number_leaves_the_number_clear_but_other_digits_do_not():
    assert numbers_in("5125550101", "unlisted") == {"5125550101"}
    assert numbers_in("5125550101", "512-555-O1O1") == {ANY}
    assert numbers_in(None, "") == set()
    assert not may_be_one_of("(512) 555-0101", set())


@pytest.mark.parametrize(
    "two",
    ["512-555-0101/02", "512-555-0101 or 0102", "512-555-0101-2", "555-0101/02", "512-555-0101 ext. 4/02"],
)
def test_a_text_with_two_numbers_names_the_abbreviated_one_too(two):
    for number in ("512-555-0101", "(512) 555-0102"):
        assert may_be_one_of(number, numbers_in(two)), number
        assert may_be_one_of(two, numbers_in(number)), number
    assert not may_be_one_of("737-555-0202", numbers_in(two))


@pytest.mark.parametrize(
    ("text", "extension", "shown"),
    [
        ("(512) 555-0101", "4", "(512) 555-0101 x4"),
        ("(512) 555-0104", "4", "(512) 555-0104 x4"),
        ("5551", "1", "5551 x1"),
        ("Fax (512) 555-0101", "4", "Fax (512) 555-0101 x4"),
        ("(512) 555-0101 x4", "4", "(512) 555-0101 x4"),
        ("(512) 555-0101 Ext. 4", "4", "(512) 555-0101 Ext. 4"),
        ("(512) 555-0101 #0004", "4", "(512) 555-0101 #0004"),
        ("512-555-0101-4", "4", "512-555-0101-4"),
        ("512-555-0101 (4)", "x4", "512-555-0101 (4)"),
        ("512-555-0101 x4", "99", "512-555-0101 x4 x99"),
        ("Fax 512-555-0101", "front desk", "Fax 512-555-0101 xfront desk"),
    ],
)
def test_an_extension_is_appended_once(text, extension, shown):
    assert with_extension(text, extension) == shown
