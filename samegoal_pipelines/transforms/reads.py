"""What a snapshot notes about how its rows were read.

Only texts made from the tables of reads. The reading itself is `qmlativ`'s.
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from samegoal_pipelines.tables.reads import unchecked_objects, years_not_read


def reading_notes(reads: Iterable[pd.DataFrame]) -> tuple[str, ...]:
    """What a reader of the snapshot should know about the reading; object names only."""
    reads = list(reads)
    unchecked, years = unchecked_objects(reads), years_not_read(reads)
    notes = {years_not_read_note(years): years, read_twice_note(unchecked): unchecked}
    return tuple(note for note, holds in notes.items() if holds)


def years_not_read_note(years: Sequence[int]) -> str:
    """Which school years nobody looked at, and what that means."""
    return (
        f"not read: enrollments of the school years with SchoolYearID {', '.join(map(str, years))}; Qmlativ "
        "refuses to search them by date, so a withdrawal entered there within the past year is not imported: "
        "ask Skyward's support about it"
    )


def read_twice_note(objects: Sequence[str]) -> str:
    """Which objects were read twice, and why."""
    return (
        f"read twice: {', '.join(objects)}; Qmlativ does not search these by key or ignores their order, so "
        "only two equal reads show that no row was lost: ask Skyward's support about it"
    )
