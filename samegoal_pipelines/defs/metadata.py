"""The UI's metadata of a materialization, from counts: rows in and out, dropped rows, the cost of reading."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.district_run import DistrictRun
from samegoal_pipelines.printable import NOTHING
from samegoal_pipelines.tables.vocabulary import EXCLUDED, QUARANTINED, STATUSES
from samegoal_pipelines.transforms.enrollments import FilteredEnrollments, count_outcomes
from samegoal_pipelines.transforms.entities import count_entities
from samegoal_pipelines.transforms.reads import rows_by_listing
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.transforms.status import StudentStatuses
from samegoal_pipelines.warehouse.snapshots import Counts, Snapshot, last_attempts

ROWS_IN = "rows in"
NIGHTS_SHOWN = 14
ATTEMPTS_SHOWN = 60
"""The number of a district's last attempts, including reruns, from which its last nights are taken."""
COUNTED = dict(zip(STATUSES, ("enrolled", "pre_enrolled", "graduated", "inactive"), strict=True))
"""Status → the column with its number of students."""
PARTITION_ROWS = "dagster/partition_row_count"
"""Dagster's name for the rows of one partition. `dagster/row_count` would be those of all districts."""


def reading_facts(reads: pd.DataFrame) -> dict[str, Any]:
    """What was read for a raw asset by object, and the cost, from its table of reads."""
    arrived = sum(rows_by_listing([reads]).values())
    kept, repeats, unreadable = (int(reads[name].sum()) for name in ("Rows", "Repeats", "Unreadable"))
    names = ("object", "rows", "pages", "seconds", "requests repeated", "read again", "lost rows would show")
    columns = ["Object", "Rows", "Pages", "Seconds", "Retries", "Rereads", "GapsChecked"]
    shown = reads[columns].round({"Seconds": 2}).itertuples(index=False)
    return {
        ROWS_IN: arrived,
        "exact repeats dropped": repeats,
        "rows of other people dropped": arrived - repeats - kept,
        "rows with an unreadable value": unreadable,
        "objects": table(names, ((*counts, _yes(checked)) for *counts, checked in shown)),
        **rows_out(kept),
    }


def rows_out(rows: int) -> dict[str, Any]:
    """The same number for people and for Dagster."""
    return {"rows out": rows, PARTITION_ROWS: rows}


def entity_facts(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The entities of the enrollments that were read, and how many of both each has."""
    if "EntityAccess" not in tables:
        return {}
    rows = [
        (one.label, _yes(one.granted), _yes(one.included), one.enrollments or 0, one.students or 0)
        for one in count_entities(tables["EntityAccess"], tables["Entity"], tables["EntryWithdrawal"])
    ]
    columns = ("entity", "granted", "its enrollments count", "enrollments", "students")
    return {"entities": table(columns, rows)}


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def filtering_facts(came: pd.DataFrame, filtered: FilteredEnrollments) -> dict[str, Any]:
    """The outcome of every received enrollment."""
    counts = count_outcomes(filtered)
    outcomes = {"excluded": EXCLUDED, "quarantined": QUARANTINED}
    not_counted = [
        (outcome, counts[reason], about.sentence)
        for outcome, reasons in outcomes.items()
        for reason, about in reasons.items()
        if counts[reason]
    ]
    return {
        ROWS_IN: len(came),
        "exact repeats dropped": counts["repeated"],
        **{outcome: sum(counts[reason] for reason in reasons) for outcome, reasons in outcomes.items()},
        "counted": counts["counted"],
        "students with nothing but CECS": counts["cecs_only_students"],
        "flagged as CECS without the code": counts["flagged_without_code"],
        "rows with a placeholder for no date": counts["placeholder_dates"],
        "not counted": table(("outcome", "rows", "why"), not_counted),
        **rows_out(counts["counted"]),
    }


def status_facts(enrollments: pd.DataFrame, classified: StudentStatuses) -> dict[str, Any]:
    """The number of students by status and reason."""
    statuses = classified.statuses
    found = statuses[["status", "reason"]].value_counts(sort=False).sort_index()
    return {
        ROWS_IN: len(enrollments),
        "uncertain students, carried over": len(classified.uncertain),
        **{status: int((statuses["status"] == status).sum()) for status in STATUSES},
        "reasons": table(
            ("status", "reason", "students"),
            ((status, reason.replace("_", " "), int(rows)) for (status, reason), rows in found.items()),
        ),
        **rows_out(len(statuses)),
    }


def student_facts(statuses: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The number of students with a status who have demographics."""
    return {
        ROWS_IN: len(statuses),
        "students without a record in Qmlativ, carried over": len(tables["without_record"]),
        "confidential numbers withheld": len(tables["confidential"]),
        **rows_out(len(tables["student_demographics"])),
    }


def parent_facts(
    guardianships: pd.DataFrame, unused: Mapping[str, int], tables: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    """The number of guardianships that became parents, and why the others did not."""
    parents = tables["parent_demographics"]
    return {
        ROWS_IN: len(guardianships),
        **{f"excluded: {reason.replace('_', ' ')}": rows for reason, rows in unused.items()},
        "under active restricted access": int(parents["has_restricted_access"].sum()),
        "confidential numbers withheld": len(tables["confidential"]),
        **rows_out(len(parents)),
    }


def snapshot_facts(snapshot: Snapshot, run: DistrictRun) -> dict[str, Any]:
    """A published or held snapshot: its statuses beside those before, and the last nights."""
    attempts = last_attempts(run.deployment.warehouse, run.district_id, limit=ATTEMPTS_SHOWN)
    published = [one for one in attempts if one.published]
    earlier = [one for one in published if snapshot.held or one.snapshot_date < run.today]
    before = max(earlier, key=lambda one: one.snapshot_date, default=None)
    return {
        "snapshot date": run.today.isoformat(),
        "statuses": status_table(snapshot.counts, before),
        **change_facts(snapshot.counts),
        # A check's entries are in the order of their names, and the gate's numbers come first.
        **({} if snapshot.held else {"last nights": nights_table(attempts)}),
    }


def change_facts(counts: Counts) -> dict[str, int]:
    """How a snapshot differs from what was published before."""
    return {
        f"students {what.replace('_', ' ')}": getattr(counts, what)
        for what in ("added", "changed", "removed", "carried_over")
    }


def status_table(counts: Counts, before: Snapshot | None) -> dg.TableMetadataValue:
    """The number of students by status, and the change since the snapshot before."""
    rows = []
    for label, column in {**COUNTED, "all students": "students"}.items():
        now, then = getattr(counts, column), getattr(before, column, None)
        change = NOTHING if then is None else f"{now - then:+,}" if now != then else "0"
        rows.append((label, _number(now), _number(then), change))
    return table(("status", "students", "before", "change"), rows)


def nights_table(attempts: Iterable[Snapshot]) -> dg.TableMetadataValue:
    """The last nights, newest first: what was published, or else the night's final state."""
    nights: dict[date, Snapshot] = {}
    for one in sorted(attempts, key=lambda one: one.snapshot_id):
        known = nights.get(one.snapshot_date)
        if one.state != "superseded" and (known is None or known.state != "published"):
            nights[one.snapshot_date] = one
    counted = ("students", *COUNTED.values())
    return table(
        ("night", "state", "students", *STATUSES),
        (
            (str(night), one.state, *(_number(getattr(one, name)) for name in counted))
            for night, one in sorted(nights.items(), reverse=True)[:NIGHTS_SHOWN]
        ),
    )


def _number(count: int | None) -> str:
    return NOTHING if count is None else f"{count:,}"


def rows_facts(payload: SnapshotPayload, published: Snapshot) -> dict[str, Any]:
    """The number of rows a night changed, and the number of students in the views."""
    tables = payload.published()
    return {
        ROWS_IN: sum(map(len, tables.values())),
        "students in": len(tables["status"]),
        "parents in": len(tables["parents"]),
        "students out": published.counts.students,
        PARTITION_ROWS: published.counts.students,
    }


def table(columns: Iterable[str], rows: Iterable[Iterable[str | int | float]]) -> dg.TableMetadataValue:
    """Rows for people, under these columns."""
    names = list(columns)
    records = [dg.TableRecord(dict(zip(names, row, strict=True))) for row in rows]
    return dg.MetadataValue.table(
        records, None if records else dg.TableSchema([dg.TableColumn(name) for name in names])
    )
