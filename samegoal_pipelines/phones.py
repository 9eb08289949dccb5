"""Whether two texts may name the same phone number, however each of them is written.

Lives here: reading numbers out of texts, and comparing them. Not here: whose numbers they are, or which are
confidential (`transforms`, `warehouse`).

Every answer errs on one side. If two texts may name one number, they do, because the reason to ask is that
one of them is confidential. So `555-0101` and `(512) 555-0101` are the same number here.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from phonenumbers import (
    Leniency,
    NumberParseException,
    PhoneNumber,
    PhoneNumberMatcher,
    normalize_digits_only,
    parse,
    truncate_too_long_number,
)

REGION = "US"
ANY = ""
"""An unreadable number. It may be any number, so every text matches it."""

_PLAIN = re.compile(r"(?a:\s*(?:\+?1[\s.-]*)?\(?(\d{3})\)?[\s.-]*(\d{3})[\s.-]*(\d{4})\s*)")


def numbers_in(*texts: str | None) -> set[str]:
    """The digits of each number that the texts name, without country code and extension.

    >>> numbers_in("Fax 512-555-0101 ext. 4")
    {'5125550101'}
    """
    found = set().union(*(_readings(text) for text in texts if text)) - {ANY}
    return {digits for digits in found if not any(other in digits for other in found - {digits})}


def may_be_one_of(text: str, numbers: Collection[str]) -> bool:
    """Whether a text may name one of these numbers (each as `numbers_in` returns it, or `ANY`)."""
    readings = _readings(text)
    return any(
        number in digits or digits in number  # one may lack its area code, or carry an extension
        for digits in readings
        for number in numbers
    )


def with_extension(text: str, extension: str) -> str:
    """The number with its extension, which is appended unless the text already has one."""
    return text if _has_extension(text, extension) else f"{text} x{extension}"


def _has_extension(text: str, extension: str) -> bool:
    if _PLAIN.fullmatch(text):
        return False
    number = _parsed(text)
    if number is not None and number.extension:
        return True
    digits = normalize_digits_only(text)  # after a mere space or hyphen, an extension has to be known
    return any(digits.endswith(each + normalize_digits_only(extension)) for each in numbers_in(text))


def _readings(text: str) -> set[str]:
    """The digits of every number that the text may name; those of the whole text are among them."""
    plain = _PLAIN.fullmatch(text)
    if plain:
        return {"".join(plain.groups())}
    found = [match.number for match in PhoneNumberMatcher(text, REGION, leniency=Leniency.POSSIBLE)]
    whole = _parsed(text)
    if whole is not None:
        truncate_too_long_number(whole)  # an extension after a mere space or hyphen
        found.append(whole)
    return {normalize_digits_only(text), *(str(number.national_number) for number in found)}


def _parsed(text: str) -> PhoneNumber | None:
    try:
        return parse(text, REGION)
    except NumberParseException:
        return None
