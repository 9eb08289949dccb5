"""Who may do what in the warehouse: the roles that the migrations make. Which rows they reach is up to
row-level security, in the migrations too.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A role of Postgres. Transactions take one on; what a login could do besides does not matter then."""

    OWNER = "samegoal_owner"
    """Owns the tables and migrates them; reads and writes rows like the writer."""
    WRITER = "samegoal_writer"
    """Reads and writes the one district that its transaction names: the pipeline."""
    OPERATOR = "samegoal_operator"
    """Reads every district, and writes none: data engineers, the schedule."""
    READER = "samegoal_reader"
    """Reads the one district that its transaction names: SameGoal."""
