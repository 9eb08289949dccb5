"""Text that is safe to print on one line: names from Qmlativ, lists, counts of days."""

from collections.abc import Sequence

NOTHING = "–"
"""Shown if there is nothing to compare or to count."""


def on_one_line(text: str | None) -> str:
    """The text on one line, without control characters, so that it cannot imitate our output."""
    return " ".join("".join(c if c.isprintable() else " " for c in text or "").split())


def shown(text: object) -> str:
    """A text as typed, escaped and of limited length."""
    return ascii(text)[1:-1][:60]


def some(names: Sequence[str], most: int) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def counted(count: int, noun: str) -> str:
    """`1 table`, `2 tables`, `1,200 students`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def share(part: float, of: float) -> str:
    """`49.2%`; `–` if there is nothing to compare with."""
    return f"{100 * part / of:.1f}%" if of else NOTHING


def in_days(days: int) -> str:
    """`today`, `in 1 day`, `in 2 days`."""
    return "today" if days == 0 else f"in {counted(days, 'day')}"
