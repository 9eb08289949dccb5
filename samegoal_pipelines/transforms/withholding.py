"""What is withheld of contacts unless a district's registration says otherwise; what a snapshot notes of it.

The withholding itself is done where contacts are put together: `parents`, `people`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Withholding:
    """Off the safe side only where a district's registration says so."""

    show_restricted_contacts: bool = False
    """Contact data of parents under active restricted access."""
    show_confidential_phones: bool = False
    """Phones that are marked as confidential."""


WITHHOLD = Withholding()
"""The safe side."""

RESTRICTION_NOT_KNOWN = (
    "HasActiveRestrictedAccess of Family/StudentGuardian is not granted: which parents are under active "
    "restricted access is not known, and the contacts of all of them are published"
)
RESTRICTED_CONTACTS_SHOWN = (
    "the contacts of parents under active restricted access are published, as is set for this district"
)
CONFIDENTIAL_PHONES_SHOWN = "confidential phones are published, as is set for this district"


def withholding_notes(restriction_known: bool, withholding: Withholding) -> tuple[str, ...]:
    """What a reader of the snapshot should know about contacts in it; constant texts."""
    notes = {
        RESTRICTION_NOT_KNOWN: not restriction_known,
        RESTRICTED_CONTACTS_SHOWN: restriction_known and withholding.show_restricted_contacts,
        CONFIDENTIAL_PHONES_SHOWN: withholding.show_confidential_phones,
    }
    return tuple(note for note, holds in notes.items() if holds)
