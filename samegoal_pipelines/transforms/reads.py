"""What a snapshot notes about how its rows were read.

The notes are made from the tables of reads. The reading itself is in `qmlativ`.
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from samegoal_pipelines.tables.reads import unchecked_objects, years_not_read


def reading_notes(reads: Iterable[pd.DataFrame]) -> tuple[str, ...]:
    """Notes about the reading for readers of the snapshot. They contain object names only."""
    reads = list(reads)
    unchecked, years = unchecked_objects(reads), years_not_read(reads)
    notes = {years_not_read_note(years): years, read_twice_note(unchecked): unchecked}
    return tuple(note for note, holds in notes.items() if holds)


def years_not_read_note(years: Sequence[int]) -> str:
    """Which school years were not read, and what that means."""
    return (
        f"not read: enrollments of the school years with SchoolYearID {', '.join(map(str, years))}, because "
        "searching them by date failed; a withdrawal entered there within the past year is not imported: ask "
        "Skyward's support, or the operator of a firewall in front of Qmlativ, about it"
    )


def read_twice_note(objects: Sequence[str]) -> str:
    """Which objects were read twice, and why."""
    return (
        f"read twice: {', '.join(objects)}; Qmlativ does not search these by key or ignores their order, so "
        "only two equal reads show that no row was lost: ask Skyward's support about it"
    )
