"""When to warn about an Integration Access that expires. Qmlativ gives it one year by default."""

from __future__ import annotations

EXPIRY_WARNINGS = (7, 30, 60)
"""Warn this many days before the Integration Access expires, with increasing urgency."""


def expiry_warning(days_left: int | None) -> int | None:
    """The smallest reached limit of `EXPIRY_WARNINGS`, 0 if expired, None if there is none."""
    if days_left is None:
        return None
    return 0 if days_left < 0 else next((limit for limit in EXPIRY_WARNINGS if days_left <= limit), None)
