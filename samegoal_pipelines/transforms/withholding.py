"""Which contacts are withheld, depending on the district's registration, and the notes about it.

The contacts themselves are withheld in `demographics`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Withholding:
    """Which contacts a district shows. By default everything is withheld."""

    show_restricted_contacts: bool = False
    """Contact data of parents under active restricted access."""
    show_confidential_phones: bool = False
    """Phones that are marked as confidential."""


WITHHOLD = Withholding()
"""The default: withhold both."""

RESTRICTION_NOT_KNOWN = (
    "HasActiveRestrictedAccess of Family/StudentGuardian is not granted: which parents are under active "
    "restricted access is not known, and the contacts of all of them are published"
)
RESTRICTED_CONTACTS_SHOWN = (
    "the contacts of parents under active restricted access are published, as is set for this district"
)
CONFIDENTIAL_PHONES_SHOWN = "confidential phones are published, as is set for this district"


def withholding_notes(restriction_known: bool, withholding: Withholding) -> tuple[str, ...]:
    """Notes about contacts for readers of the snapshot. The texts are constant."""
    notes = {
        RESTRICTION_NOT_KNOWN: not restriction_known,
        RESTRICTED_CONTACTS_SHOWN: restriction_known and withholding.show_restricted_contacts,
        CONFIDENTIAL_PHONES_SHOWN: withholding.show_confidential_phones,
    }
    return tuple(note for note, holds in notes.items() if holds)
