"""What a district lets be published of contacts that are withheld by default."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Withholding:
    """Off the safe side only where a district's registration says so."""

    show_restricted_contacts: bool = False
    """Contact data of parents under active restricted access."""
    show_confidential_phones: bool = False
    """Phones that are marked as confidential."""
