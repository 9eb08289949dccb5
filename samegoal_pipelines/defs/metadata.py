"""The UI's metadata of a materialization: rows in and out, dropped rows, and the cost of reading.

This module makes Dagster metadata from counts, with the same words for every asset. Checks are in `checks`
and `gate`, columns in `lineage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd

from samegoal_pipelines.printable import NOTHING
from samegoal_pipelines.qmlativ.listing import ObjectRead
from samegoal_pipelines.tables.vocabulary import EXCLUDED, QUARANTINED, STATUSES
from samegoal_pipelines.transforms.demographics import ParentDemographics
from samegoal_pipelines.transforms.enrollments import FilteredEnrollments, count_outcomes
from samegoal_pipelines.transforms.entities import count_entities
from samegoal_pipelines.transforms.status import StudentStatuses
from samegoal_pipelines.warehouse.session import Held, Published
from samegoal_pipelines.warehouse.snapshots import Snapshot

ROWS_IN, ROWS_OUT = "rows in", "rows out"
QUARANTINED_ROWS = "quarantined"
NIGHTS_SHOWN = 14
ATTEMPTS_SHOWN = 60
"""The number of a district's last attempts, including reruns, from which its last nights are taken."""
_COUNTED = ("enrolled", "pre_enrolled", "graduated", "inactive")
PARTITION_ROWS = "dagster/partition_row_count"
"""Dagster's name for the rows of one partition. `dagster/row_count` would be those of all districts."""


def reading_facts(reads: Mapping[str, ObjectRead]) -> dict[str, Any]:
    """What was read for a raw asset by object, and the cost."""
    read = reads.values()
    arrived = sum(sum(one.arrived.values()) for one in read)
    kept, repeats = sum(one.rows for one in read), sum(one.repeats for one in read)
    missing = sorted(f"{name}.{field}" for name, one in reads.items() for field in one.missing)
    return {
        ROWS_IN: arrived,
        "exact repeats dropped": repeats,
        "rows of other people dropped": arrived - repeats - kept,
        ROWS_OUT: kept,
        "rows with an unreadable value": sum(one.unreadable for one in read),
        "pages read": sum(one.pages for one in read),
        "seconds of the slowest object": round(max(one.seconds for one in read), 2),
        "requests repeated": sum(one.retries for one in read),
        "objects read again": sum(bool(one.rereads) for one in read),
        "objects in which one read cannot show lost rows": sum(not one.gaps_checked for one in read),
        "fields not granted": ", ".join(missing) or "none",
        "objects": table(
            ("object", "rows", "pages", "seconds", "requests repeated", "lost rows would show"),
            (
                (
                    name,
                    one.rows,
                    one.pages,
                    round(one.seconds, 2),
                    one.retries,
                    "yes" if one.gaps_checked else "no: read twice",
                )
                for name, one in reads.items()
            ),
        ),
        PARTITION_ROWS: kept,
    }


def entity_facts(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The entities of the enrollments that were read, and how many of both each has."""
    if "EntityAccess" not in tables:
        return {}
    counts = count_entities(tables["EntityAccess"], tables["Entity"], tables["EntryWithdrawal"])
    return {
        "entities": table(
            ("entity", "granted", "its enrollments count", "enrollments", "students"),
            (
                (
                    one.label,
                    "yes" if one.granted else "no",
                    "yes" if one.included else "no",
                    one.enrollments or 0,
                    one.students or 0,
                )
                for one in counts
            ),
        )
    }


def filtering_facts(came: pd.DataFrame, filtered: FilteredEnrollments) -> dict[str, Any]:
    """The outcome of every received enrollment."""
    counts = count_outcomes(filtered)
    fates = [("excluded", reason) for reason in EXCLUDED] + [
        (QUARANTINED_ROWS, reason) for reason in QUARANTINED
    ]
    return {
        ROWS_IN: len(came),
        "exact repeats dropped": counts["repeated"],
        "excluded": sum(counts[reason] for reason in EXCLUDED),
        QUARANTINED_ROWS: sum(counts[reason] for reason in QUARANTINED),
        "counted": counts["counted"],
        ROWS_OUT: counts["counted"],
        "students with nothing but CECS": counts["cecs_only_students"],
        "flagged as CECS without the code": counts["flagged_without_code"],
        "rows with a placeholder for no date": counts["placeholder_dates"],
        "not counted": table(
            ("outcome", "rows", "why"),
            (
                (fate, counts[reason], (EXCLUDED | QUARANTINED)[reason].sentence)
                for fate, reason in fates
                if counts[reason]
            ),
        ),
        PARTITION_ROWS: counts["counted"],
    }


def status_facts(enrollments: pd.DataFrame, classified: StudentStatuses) -> dict[str, Any]:
    """The number of students by status and reason."""
    statuses = classified.statuses
    found = statuses[["status", "reason"]].value_counts(sort=False).sort_index()
    return {
        ROWS_IN: len(enrollments),
        ROWS_OUT: len(statuses),
        "uncertain students, carried over": len(classified.uncertain),
        **{status: int((statuses["status"] == status).sum()) for status in STATUSES},
        "reasons": table(
            ("status", "reason", "students"),
            ((status, reason.replace("_", " "), int(rows)) for (status, reason), rows in found.items()),
        ),
        PARTITION_ROWS: len(statuses),
    }


def student_facts(statuses: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The number of students with a status who have demographics."""
    return {
        ROWS_IN: len(statuses),
        "students without a record in Qmlativ, carried over": len(tables["without_record"]),
        ROWS_OUT: len(tables["student_demographics"]),
        "confidential numbers withheld": len(tables["confidential"]),
        PARTITION_ROWS: len(tables["student_demographics"]),
    }


def parent_facts(
    guardianships: pd.DataFrame, built: ParentDemographics, tables: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    """The number of guardianships that became parents, and why the others did not."""
    return {
        ROWS_IN: len(guardianships),
        **{f"excluded: {reason.replace('_', ' ')}": rows for reason, rows in built.counts.items()},
        ROWS_OUT: len(built.parents),
        "under active restricted access": int(built.parents["has_restricted_access"].sum()),
        "confidential numbers withheld": len(tables["confidential"]),
        PARTITION_ROWS: len(built.parents),
    }


def snapshot_facts(
    counts: Published | Held, attempts: Sequence[Snapshot], snapshot_date: date
) -> dict[str, Any]:
    """A published or held snapshot: its statuses beside those before, and the last nights.

    Args:
        attempts: the district's last attempts, including this one.
    """
    held = isinstance(counts, Held)
    published = [one for one in attempts if one.state == "published"]
    earlier = [one for one in published if held or one.snapshot_date < snapshot_date]
    before = max(earlier, key=lambda one: one.snapshot_date, default=None)
    return {
        "snapshot date": snapshot_date.isoformat(),
        "statuses": status_table(counts, before),
        "students added": counts.added,
        "students changed": counts.changed,
        "students removed": counts.removed,
        "students carried over": counts.carried_over,
        # A check's entries are in the order of their names, and the gate's numbers come first.
        **({} if held else {"last nights": nights_table(attempts)}),
    }


def status_table(counts: Published | Held, before: Snapshot | None) -> dg.TableMetadataValue:
    """The number of students by status, and the change since the snapshot before."""
    rows = []
    for label, column in (*zip(STATUSES, _COUNTED, strict=True), ("all students", "students")):
        now, then = getattr(counts, column), getattr(before, column, None)
        rows.append((label, _number(now), _number(then), NOTHING if then is None else _signed(now - then)))
    return table(("status", "students", "before", "change"), rows)


def nights_table(attempts: Iterable[Snapshot]) -> dg.TableMetadataValue:
    """The last nights, newest first: what was published, or else the night's final state."""
    nights: dict[date, Snapshot] = {}
    for one in sorted(attempts, key=lambda one: one.snapshot_id):
        known = nights.get(one.snapshot_date)
        if one.state != "superseded" and (known is None or known.state != "published"):
            nights[one.snapshot_date] = one
    return table(
        ("night", "state", "students", *STATUSES),
        (
            (str(night), one.state, *(_number(getattr(one, name)) for name in ("students", *_COUNTED)))
            for night, one in sorted(nights.items(), reverse=True)[:NIGHTS_SHOWN]
        ),
    )


def _number(count: int | None) -> str:
    return NOTHING if count is None else f"{count:,}"


def _signed(change: int) -> str:
    return f"{change:+,}" if change else "0"


def rows_facts(tables: Mapping[str, pd.DataFrame], published: Published) -> dict[str, Any]:
    """The number of rows a night changed, and the number of students in the views."""
    return {
        ROWS_IN: sum(map(len, tables.values())),
        "students in": len(tables["status"]),
        "parents in": len(tables["parents"]),
        "students out": published.students,
        PARTITION_ROWS: published.students,
    }


def worklist_facts(worklist: pd.DataFrame, snapshot_date: date, compared_with: date | None) -> dict[str, Any]:
    """The length of the registrar's list, its problems, and the night with which the past was compared."""
    by_problem = worklist.groupby("problem", sort=True)
    found = by_problem.agg({"problem": "size", "student_id": "nunique", "building": "nunique"})
    counts = zip(found.index, *(found[column] for column in found), strict=True)
    return {
        "snapshot date": snapshot_date.isoformat(),
        "past compared with": compared_with.isoformat()
        if compared_with
        else "nothing: no earlier published night has usable landed files",
        ROWS_OUT: len(worklist),
        "problems": table(
            ("problem", "enrollments", "students", "schools"),
            ((problem, *map(int, numbers)) for problem, *numbers in counts),
        ),
        "where to read it": "the table samegoal.registrar_worklist, by school",
        PARTITION_ROWS: len(worklist),
    }


def table(columns: Iterable[str], rows: Iterable[Iterable[str | int | float]]) -> dg.TableMetadataValue:
    """Rows for people, under these columns."""
    names = list(columns)
    records = [dict(zip(names, row, strict=True)) for row in rows]
    kinds = {name: _KINDS[type(value)] for record in records for name, value in record.items()}
    return dg.MetadataValue.table(
        [dg.TableRecord(record) for record in records],
        dg.TableSchema([dg.TableColumn(name, kinds.get(name, "string")) for name in names]),
    )


_KINDS = {str: "string", int: "int", float: "float"}
