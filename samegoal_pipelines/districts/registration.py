"""What a registration may contain: each value, checked and in the form in which it is stored.

Every check raises `DistrictError`. Nothing here reads or changes the registry.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import available_timezones

from samegoal_pipelines.districts.errors import DistrictError
from samegoal_pipelines.printable import shown
from samegoal_pipelines.qmlativ.connection import FOR_A_SANDBOX, checked_url
from samegoal_pipelines.qmlativ.errors import QmlativError
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.transforms.entities import normalized

DEFAULT_TIMEZONE = "America/Chicago"
LONGEST_CREDENTIAL = 1_000  # characters; Qmlativ's have about 50, so a longer text is another file
_SOURCES = {
    "Client Key": "the Integration Access in Qmlativ",
    "Client Secret": "the message of SameGoal's technical team",
}
_NO_PLACES = {"localtime", "Factory"}  # time zones of this machine, and of an unconfigured one
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_CONTACT = re.compile(
    rf"(?=.{{1,254}}$)\w[\w+-]*(\.[\w+-]+)*@({_LABEL}\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]", re.ASCII
)
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)


def checked_id(district_id: str) -> str:
    """Return the id if it is safe in a path and in SQL."""
    if not _ID.fullmatch(district_id):
        raise DistrictError(
            "not a district id",
            district_id=shown(district_id),
            next_step="use 1 to 40 lower-case letters, digits and hyphens, the first no hyphen",
        )
    return district_id


def as_stored(given: Mapping[str, Any], *, allow_local: bool) -> dict[str, Any]:
    """The columns of these values. None or an empty text clears an optional one.

    `expires` is a date, never or unknown.
    """
    values = dict(given)
    for name in ("access_name", "contact", "token_url"):
        if name in values:
            values[name] = values[name] or None
    if "name" in values:
        values["name"] = _name(values["name"])
    if access_name := values.get("access_name"):
        values["access_name"] = _name(access_name, "name of the Integration Access")
    if contact := values.get("contact"):
        values["contact"] = _contact(contact)
    if "expires" in values:
        expires = values["expires"]
        values["expiration"] = "given" if isinstance(expires, date) else expires or "unknown"
        values["expires"] = expires if isinstance(expires, date) else None
    if "timezone" in values and values["timezone"] not in available_timezones() - _NO_PLACES:
        raise DistrictError(
            f"{shown(values['timezone'])} is no IANA time zone",
            next_step=f"use one such as {DEFAULT_TIMEZONE}",
        )
    entity_id = values.get("entity_id")
    if entity_id is not None and not 0 < entity_id < 2**63:
        raise DistrictError(f"{entity_id} is no EntityID of Qmlativ")
    if "entities" in values:
        try:
            values["entities"] = normalized(values["entities"])
        except ValueError:
            raise DistrictError(
                "the entities cannot be read",
                next_step="give all, granted, or EntityIDs separated by commas, such as 2,15",
            ) from None
    if "base_url" in values:
        values["base_url"] = _url(values["base_url"], "API Base URL", allow_local)
        values["source_host"] = urlsplit(values["base_url"]).hostname
    if token_url := values.get("token_url"):
        values["token_url"] = _url(token_url, "Token URL", allow_local)
    return values


def merged_limits(before: Mapping[str, float], changes: Mapping[str, float | None]) -> dict[str, float]:
    """The limits of the gate that differ from the defaults after these changes. None: the default."""
    try:
        Limits(**{name: 0 if value is None else value for name, value in changes.items()})
    except ValueError as error:
        raise DistrictError(str(error)) from None
    return {name: value for name, value in {**before, **changes}.items() if value is not None}


def checked_credential(what: str, given: str) -> str:
    """Return a Client Key or Client Secret without white space around it."""
    text = given.strip()
    if not text:
        fault = "is blank"
    elif not (text.isascii() and text.isprintable()):
        fault = "contains a line break or a character that cannot occur in one"
    elif len(text) > LONGEST_CREDENTIAL:
        fault = f"is longer than {LONGEST_CREDENTIAL:,} characters"
    else:
        return text
    raise DistrictError(
        f"the {what} {fault}", next_step=f"copy it alone, and as plain text, from {_SOURCES[what]}"
    )


def _name(name: str, what: str = "name") -> str:
    """The name with plain spaces, if it has no invisible characters."""
    name = "".join(" " if unicodedata.category(each) == "Zs" else each for each in name).strip()
    unseen = [each for each in name if not each.isprintable()]
    if name and not unseen:
        return name
    fault = f"holds a control or invisible character (U+{ord(unseen[0]):04X})" if unseen else "is blank"
    raise DistrictError(f"the {what} {fault}", next_step="give one that people can read")


def _contact(contact: str) -> str:
    """An e-mail address of the form that reaches exactly this recipient.

    No apostrophe: the mail library would send to the part behind it, which is another person's address.
    """
    if not _CONTACT.fullmatch(contact.strip()):
        raise DistrictError(
            "the contact is no e-mail address that we can send to",
            next_step="give one address of letters, digits and . _ + -, such as registrar@example.org",
        )
    return contact.strip()


def _url(url: str, what: str, allow_local: bool) -> str:
    """The URL in the form in which two of the same address are equal."""
    try:
        parts = urlsplit(checked_url(url, what, allow_local=allow_local))
    except QmlativError as error:
        to_do = "give another URL" + ("" if allow_local else f"; {FOR_A_SANDBOX}")
        raise DistrictError(error.reason, next_step=to_do) from None
    if parts.path.lower().endswith("/custom"):
        raise DistrictError(f"the {what} must end before /Custom")
    standard = {"https": ":443", "http": ":80"}[parts.scheme]
    return urlunsplit(parts._replace(netloc=parts.netloc.lower().removesuffix(standard)))
