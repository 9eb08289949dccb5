"""What is known of an Integration Access's expiration, and when to warn. Qmlativ's default is one year."""

from datetime import date

EXPIRY_WARNINGS = (7, 30, 60)
"""Warn this many days before the Integration Access expires, with increasing urgency."""


def expiry_warning(days_left: int | None) -> int | None:
    """The smallest reached limit of `EXPIRY_WARNINGS`, 0 if expired, None if there is none."""
    if days_left is None:
        return None
    return 0 if days_left < 0 else next((limit for limit in EXPIRY_WARNINGS if days_left <= limit), None)


RECORD = (
    "record the expiration that Qmlativ shows: samegoal-pipelines districts set ID --expires DATE (or "
    "never, if the district deleted it)"
)


def expiry_words(expires: date | None, expiration: str) -> str:
    """What is known of the expiration: `2027-08-01`, `2027-08-01 (assumed)`, `never` or `unknown`."""
    if expires is None:
        return expiration
    return f"{expires} (assumed)" if expiration == "assumed" else str(expires)
