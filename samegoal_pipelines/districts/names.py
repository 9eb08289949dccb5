"""Valid district ids (for paths and SQL), names (for people) and contacts."""

import re
import unicodedata

from samegoal_pipelines.districts.errors import InvalidDistrictError, UnknownDistrictError

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_CONTACT = re.compile(
    rf"(?=.{{1,254}}$)\w[\w+-]*(\.[\w+-]+)*@({_LABEL}\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]", re.ASCII
)
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)


def checked_id(district_id: str) -> str:
    """Return the id if it is safe in a path and in SQL. Raises `InvalidDistrictError`."""
    if not _ID.fullmatch(district_id):
        raise InvalidDistrictError(
            "not a district id",
            district_id=shown(district_id),
            next_step="use 1 to 40 lower-case letters, digits and hyphens, the first no hyphen",
        )
    return district_id


def checked_name(name: str, what: str = "name") -> str:
    """Return the name with plain spaces, if it has no invisible characters."""
    name = "".join(" " if unicodedata.category(each) == "Zs" else each for each in name).strip()
    if not name:
        raise InvalidDistrictError(f"the {what} is blank", next_step="give one that people can read")
    unseen = next((each for each in name if not each.isprintable()), None)
    if unseen is not None:
        raise InvalidDistrictError(
            f"the {what} holds a control or invisible character (U+{ord(unseen):04X})",
            next_step="give it without",
        )
    return name


def checked_contact(contact: str) -> str:
    """Return an e-mail address of the form that reaches exactly this recipient.

    No apostrophe: the mail library would send to the part behind it, which is another person's address.
    """
    if not _CONTACT.fullmatch(contact.strip()):
        raise InvalidDistrictError(
            "the contact is no e-mail address that we can send to",
            next_step="give one address of letters, digits and . _ + -, such as registrar@example.org",
        )
    return contact.strip()


def unknown(district_id: str) -> UnknownDistrictError:
    """The error for an id that is not registered."""
    return UnknownDistrictError("no such district is registered", district_id=shown(district_id))


def shown(text: object) -> str:
    """A text as typed, on one line and of limited length."""
    return ascii(text)[1:-1][:60]
