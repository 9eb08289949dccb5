"""What a snapshot notes about how its rows were read.

Only texts made from the tables of reads. The reading itself is `qmlativ`'s.
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from samegoal_pipelines.tables.reads import unchecked_objects


def reading_notes(reads: Iterable[pd.DataFrame]) -> tuple[str, ...]:
    """What a reader of the snapshot should know about the reading; object names only."""
    unchecked = unchecked_objects(reads)
    return (read_twice_note(unchecked),) if unchecked else ()


def read_twice_note(objects: Sequence[str]) -> str:
    """Which objects were read twice, and why."""
    return (
        f"read twice: {', '.join(objects)}; Qmlativ does not search these by key or ignores their order, so "
        "only two equal reads show that no row was lost: ask Skyward's support about it"
    )
