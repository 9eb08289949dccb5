"""Text that others wrote, such as names from Qmlativ, made fit to be shown: no more is done to it here."""

from __future__ import annotations


def on_one_line(text: str | None) -> str:
    """A text on one line, for more would look like a line of ours, and without what steers a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text or "").split())
