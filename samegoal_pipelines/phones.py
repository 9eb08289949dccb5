"""Decide whether two texts may contain the same phone number, regardless of how it is written.

Every answer errs on one side. If two texts may name one number, they do, because the reason to ask is that
one of them is confidential. So `555-0101` and `(512) 555-0101` are the same number here, and a text that is
not clearly a number may be any number. Which numbers are confidential is decided in `transforms`.
"""

import re
from collections.abc import Collection

from phonenumbers import Leniency, PhoneNumberMatcher, normalize_digits_only

REGION = "US"
ANY = ""
"""A number that cannot be read. It may be any number, so every text matches it."""

_PLAIN = re.compile(r"(?a:\s*(?:\+?1[\s.-]*)?\(?(\d{3})\)?[\s.-]*(\d{3})[\s.-]*(\d{4})\s*)")
_NUMBER = re.compile(  # in a longer text, with all extensions that are marked as such
    r"(?ai:(?<!\d)(?:(?:\+|00)?1[\s.-]*)?(?:\(?(\d{3})\)?[\s.-]*)?(\d{3})[\s.-]*(\d{4})(?!\d)"
    r"(?:[\s,;(]*(?:x|ext|extension|int|option|[#*]|,,)[\s.:=]*\d+)*)"
)
_MIXED = re.compile(r"[^\W\d_]\d|\d[^\W\d_]")  # O1O1: letters among the digits
_AFTER_A_NUMBER = re.compile(r"\d{3}[\s.-]*\d{4}\D(?:.*\D)?(\d+)\D*$")
_LONGEST_ENDING = 4  # 512-555-0101/02 and 512-555-0101 or 0102 name two numbers


def numbers_in(*texts: str | None) -> set[str]:
    """The digits of each number in the texts, without country code and extension.

    `Fax 512-555-0101 ext. 4` gives `{"5125550101"}`. The result is `{ANY}` if a text has digits that cannot
    be read, such as `512-555-O1O1`, or if no text names a number.
    """
    readings = {text: _readings(text) for text in texts if text}
    unclear = {text for text, found in readings.items() if ANY in found}
    if unclear and (unclear == readings.keys() or any(normalize_digits_only(text) for text in unclear)):
        return {ANY}
    found = set().union(*(readings[text] for text in readings.keys() - unclear))
    return {digits for digits in found if not any(other in digits for other in found - {digits})}


def may_be_one_of(text: str, numbers: Collection[str]) -> bool:
    """Whether a text may contain one of these numbers (each as `numbers_in` returns it, or `ANY`)."""
    readings = _readings(text)
    return any(
        number in digits or digits in number  # one may lack its area code, or carry an extension
        for digits in readings
        for number in numbers
    )


def with_extension(text: str, extension: str) -> str:
    """The number with its extension, which is appended unless the text already has this one."""
    wanted = normalize_digits_only(extension).lstrip("0")
    last = _AFTER_A_NUMBER.search(normalize_digits_only(text, keep_non_digits=True))
    if not wanted:
        present = extension in text
    else:
        present = not _PLAIN.fullmatch(text) and last is not None and last[1].lstrip("0") == wanted
    return text if present else f"{text} x{extension}"


def _readings(text: str) -> set[str]:
    """The digits of every number that the text may name, and of the whole text. `ANY` if in doubt."""
    plain = _PLAIN.fullmatch(text)
    if plain:
        return {"".join(plain.groups())}
    text = normalize_digits_only(text, keep_non_digits=True)
    found = ["".join(filter(None, match.groups())) for match in _NUMBER.finditer(text)]
    rest = _NUMBER.sub(" ", text)
    for match in PhoneNumberMatcher(rest, REGION, leniency=Leniency.POSSIBLE):
        found.append(str(match.number.national_number))
        rest = rest.replace(match.raw_string, " ")
    left = re.findall(r"\d+", rest)
    if not found or _MIXED.search(rest) or any(len(digits) > _LONGEST_ENDING for digits in left):
        return {normalize_digits_only(text), *found, ANY}
    other_endings = (number[: -len(digits)] + digits for number in found for digits in left)
    return {normalize_digits_only(text), *found, *other_endings}
