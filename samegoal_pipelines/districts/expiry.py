"""When it is time to speak of an Integration Access that runs out. Qmlativ gives it a year by default."""

from __future__ import annotations

EXPIRY_WARNINGS = (7, 30, 60)
"""Days before the Integration Access expires on which it is said so, ever more loudly."""


def expiry_warning(days_left: int | None) -> int | None:
    """The tightest limit of `EXPIRY_WARNINGS` that is passed; 0: expired; None: none is, or nobody knows."""
    if days_left is None:
        return None
    return 0 if days_left < 0 else next((limit for limit in EXPIRY_WARNINGS if days_left <= limit), None)
