"""Replay a district: rewrite its history from one night on, in one transaction, from landed rows.

Only published nights are replayed. The rows of `snapshots` stay, with new counts and a note naming the run.
There is no gate, because a person asks for the replay and can preview it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from samegoal_pipelines.tables.history import HISTORIES, PARENTS, STATUS, STUDENTS
from samegoal_pipelines.tables.warehouse import SCHEMA, snapshots
from samegoal_pipelines.warehouse import diff
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import ReleaseRefusedError, SnapshotInProgressError
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.session import facts_of, session
from samegoal_pipelines.warehouse.snapshots import (
    OTHER_CONTENT,
    Counts,
    RunIdentity,
    Snapshot,
    find_all,
    find_current,
    forget_comparisons,
    mark_content,
    of_district,
    update_facts,
)
from samegoal_pipelines.warehouse.withholding import hidden_since, hide_again

_LEDGERS = {"student_changes": "changes", "departures": "departures"}


@dataclass(frozen=True)
class Transition:
    """The number of students whose status as of a night changed."""

    old_status: str
    new_status: str
    students: int


@dataclass(frozen=True)
class Difference:
    """The number of students who differ as of one night."""

    added: int = 0
    """Now published as of this night, and were not."""
    removed: int = 0
    status: int = 0
    """Published before and after, with a difference in the row."""
    demographics: int = 0
    parents: int = 0
    changes: int = 0
    """With other rows of this night in `student_changes`."""
    departures: int = 0
    transitions: tuple[Transition, ...] = ()
    """The changes of `status` itself."""

    @property
    def students(self) -> dict[str, int]:
        """The numbers without the transitions."""
        return {name: number for name, number in vars(self).items() if name != "transitions"}


@dataclass(frozen=True)
class ReplayedNight:
    """The result for one night."""

    night: date
    counts: Counts
    difference: Difference
    differs: bool
    """Whether anything about this night changed, including the numbers of students."""


@dataclass(frozen=True)
class Replayed:
    """The result of a replay."""

    nights: tuple[ReplayedNight, ...]
    written: bool
    skipped: tuple[Snapshot, ...] = ()
    """Nights in the range that were never published, each with one attempt."""

    @property
    def differing(self) -> list[ReplayedNight]:
        """The nights with a difference."""
        return [night for night in self.nights if night.differs]


def find_nights(engine: sa.Engine, district_id: str, first: date) -> tuple[list[Snapshot], list[Snapshot]]:
    """The published nights from `first` on, and those never published, both oldest first."""
    with as_writer(engine, district_id, "looking up nights") as connection:
        where = of_district(district_id, "published", "held", "failed") & (snapshots.c.snapshot_date >= first)
        attempts = find_all(connection, where, order=(snapshots.c.snapshot_date, snapshots.c.state))
        last = find_current(connection, district_id)
    nights = [one for one in attempts if one.published]
    if not nights:
        raise ReleaseRefusedError(
            f"no night from {first} on is published; the last one is {last.snapshot_date}"
            if last
            else "nothing is published yet, so there is nothing to replay",
            next_step="",
        )
    known = {night.snapshot_date for night in nights}
    last_attempts = {one.snapshot_date: one for one in attempts}
    return nights, [one for night, one in last_attempts.items() if night not in known]


def replay(
    engine: sa.Engine,
    run: RunIdentity,
    nights: Sequence[Snapshot],
    contents: Iterable[Content],
    *,
    dry_run: bool,
) -> Replayed:
    """Rewrite the nights that `find_nights` found, and return what differs. Write nothing if nothing does.

    All or nothing: any error leaves everything unchanged. No other run can publish the district meanwhile.

    Raises:
        SnapshotInProgressError: another run has published this district after `find_nights`.
    """
    first, last, district_id = nights[0], nights[-1], run.district_id
    with session(engine, run, "replaying") as s:
        connection, cursor = s.connection, s.cursor
        published = of_district(district_id, "published") & (snapshots.c.snapshot_date >= first.snapshot_date)
        if find_all(connection, published, order=(snapshots.c.snapshot_date,)) != list(nights):
            raise SnapshotInProgressError(
                "another run has published this district since the replay began", next_step="replay it again"
            )
        _copy(cursor, "before", district_id, first.snapshot_date)
        # Contacts that were hidden after publication stay hidden until the next night is published.
        was_hidden = s.now is not None and s.now.content_hash == OTHER_CONTENT
        hidden = hidden_since(connection, district_id) if was_hidden else []
        diff.undo(cursor, district_id, first.snapshot_date)
        rewritten = []
        for night, content in zip(nights, contents, strict=True):
            s.refuse_outdated(content)
            staged = diff.stage(cursor, content, district_id, night.snapshot_date)
            counts = s.write(content, staged, night.snapshot_date)
            rewritten.append((counts, facts_of(content, counts, night.dropped_by_time)))
        hide_again(connection, hidden, district_id, last.snapshot_date)
        differences = _compare(cursor, district_id, [night.snapshot_date for night in nights])
        replayed = []
        for night, (counts, facts) in zip(nights, rewritten, strict=True):
            difference = differences[night.snapshot_date]
            differs = difference != Difference() or counts.unchanged != night.counts.unchanged
            replayed.append(ReplayedNight(night.snapshot_date, counts, difference, differs))
            if differs:
                if counts.dropped != night.counts.dropped:
                    facts["dropped_by_time"] = None
                notes = [*facts["notes"], f"replayed by run {run.run_id}"]
                update_facts(connection, night, facts | {"notes": notes})
        if dry_run or not any(night.differs for night in replayed):
            return Replayed(tuple(replayed), written=False)
        mark_content(connection, district_id, OTHER_CONTENT if hidden else rewritten[-1][1]["content_hash"])
        if replayed[-1].differs:
            compared = snapshots.c.compared_with == last.snapshot_id
            forget_comparisons(connection, of_district(district_id, "held") & compared)
        s.written = True
    return Replayed(tuple(replayed), written=True)


# -- how a district's history differs from before, night by night --


def _compare(cursor: Any, district_id: str, nights: Sequence[date]) -> dict[date, Difference]:
    """How each of these nights differs from the copy `before`, which begins with the first of them."""
    _copy(cursor, "after", district_id, nights[0])
    cursor.execute(_DIFFERENCES)
    for history, part in ((STATUS, _OF_STATUS), (STUDENTS, "'demographics'"), (PARENTS, "'parents'")):
        statement = _ADD_DIFFERENCES.format(
            name=history.table.name,
            part=part,
            statuses="old.status, new.status" if history is STATUS else "null, null",
            key=diff.listed(history.key),
            columns=diff.listed(history.columns),
        )
        cursor.execute(statement, {"nights": list(nights)})
    counts: defaultdict[date, Counter[str]] = defaultdict(Counter)
    transitions: defaultdict[date, list[Transition]] = defaultdict(list)
    cursor.execute(_COUNT)
    for night, part, old, new, students in cursor.fetchall():
        counts[night][part] += students
        if part == "status" and old != new:
            transitions[night].append(Transition(old, new, students))
    for ledger, part in _LEDGERS.items():
        cursor.execute(_COUNT_LEDGER.format(name=ledger))
        for night, students in cursor.fetchall():
            counts[night][part] = students
    return {night: Difference(**counts[night], transitions=tuple(transitions[night])) for night in nights}


def _copy(cursor: Any, when: str, district_id: str, first: date) -> None:
    """Copy what is published as of `first` and every later night, until the transaction ends."""
    copied = dict.fromkeys(_LEDGERS, ("*", "snapshot_date >= %(first)s"))
    for history in HISTORIES:
        columns = diff.listed((*history.columns, "valid_from", "valid_to"))
        copied[history.table.name] = (columns, "(valid_to is null or valid_to > %(first)s)")
    for name, (columns, since) in copied.items():
        statement = _COPY.format(when=when, name=name, schema=SCHEMA, columns=columns, since=since)
        cursor.execute(statement, {"district": district_id, "first": first})


# -- the SQL --

_COPY = """
    create temporary table {when}_{name} on commit drop as
    select {columns} from {schema}.{name} where district_id = %(district)s and {since};
    analyze {when}_{name}
    """

_DIFFERENCES = """
    create temporary table differences (
        night date, student_id bigint, part text, old_status text, new_status text
    ) on commit drop
    """

_OF_STATUS = """
    case when old.status is null then 'added' when new.status is null then 'removed' else 'status' end
    """

# Rows that differ in content or time are few, and only they are compared by night. Nothing else counts
# of a student who is added or removed. `status` comes first, and says who that is.
_ADD_DIFFERENCES = """
    with nights as (
        select unnest(%(nights)s::date[]) as night
    ),
    old as (
        select night, {columns} from nights join (table before_{name} except all table after_{name}) as rows
            on valid_from <= night and (valid_to is null or valid_to > night)
    ),
    new as (
        select night, {columns} from nights join (table after_{name} except all table before_{name}) as rows
            on valid_from <= night and (valid_to is null or valid_to > night)
    )
    insert into differences
    select distinct night, student_id, {part}, {statuses}
    from (table old except table new) as old
    full join (table new except table old) as new using (night, {key})
    where not exists (
        select from differences as student
        where student.night = coalesce(old.night, new.night)
            and student.student_id = coalesce(old.student_id, new.student_id)
            and student.part in ('added', 'removed')
    )
    """

_COUNT = """
    select night, part, old_status, new_status, count(*) from differences
    group by night, part, old_status, new_status order by night, count(*) desc, old_status, new_status
    """

_COUNT_LEDGER = """
    select snapshot_date, count(distinct student_id) from (
        (table before_{name} except all table after_{name})
        union all (table after_{name} except all table before_{name})
    ) as rows
    group by snapshot_date
    """
