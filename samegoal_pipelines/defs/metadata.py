"""What the UI shows of a night, in counts: metadata of materializations, and the outcomes of checks.

The checks are those besides schemas and the gate. A failed one is a warning (WARN) if a registrar or
Qmlativ's administrator should act, and an error (ERROR) if a field was withdrawn since the last night. No
check here holds a snapshot.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.district_run import DistrictRun
from samegoal_pipelines.defs.materializing import ERROR, WARN, Finding, district_check
from samegoal_pipelines.printable import NOTHING, counted
from samegoal_pipelines.tables.vocabulary import EXCLUDED, QUARANTINED, STATUSES
from samegoal_pipelines.tables.worklist import PROBLEMS
from samegoal_pipelines.transforms.enrollments import (
    INCLUSIVE,
    SAME_DAY,
    FilteredEnrollments,
    contradicts_inclusive_reading,
    count_outcomes,
    observe_end_dates,
)
from samegoal_pipelines.transforms.entities import CHOOSE_ENTITIES, count_entities, not_granted_note
from samegoal_pipelines.transforms.reads import (
    find_missing_fields,
    read_twice,
    rows_by_listing,
    years_not_read,
)
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
    earlier = [one for one in attempts if snapshot.held or one.snapshot_date < run.today]
    published = [one for one in earlier if one.published]
    before = max(published, key=lambda one: one.snapshot_date, default=None)
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
    in_order = sorted(attempts, key=lambda one: (one.state == "published", one.snapshot_id))
    nights = {one.snapshot_date: one for one in in_order if one.state != "superseded"}
    columns = {"students": "students", **COUNTED}
    return table(
        ("night", "state", *columns),
        (
            (str(night), one.state, *(_number(getattr(one, name)) for name in columns.values()))
            for night, one in sorted(nights.items(), reverse=True)[:NIGHTS_SHOWN]
        ),
    )


def _number(count: int | None) -> str:
    return NOTHING if count is None else f"{count:,}"


def rows_facts(payload: SnapshotPayload, published: Snapshot) -> dict[str, Any]:
    """The rows that were to be published, and the students in the views, who include those carried over."""
    return {ROWS_IN: sum(map(len, payload.published().values())), **rows_out(published.counts.students)}


def table(columns: Iterable[str], rows: Iterable[Iterable[str | int | float]]) -> dg.TableMetadataValue:
    """Rows for people, under these columns."""
    names = list(columns)
    records = [dg.TableRecord(dict(zip(names, row, strict=True))) for row in rows]
    return dg.MetadataValue.table(
        records, None if records else dg.TableSchema([dg.TableColumn(name) for name in names])
    )


# -- checks --

RAW = ("raw_enrollments", "raw_students", "raw_parents")
WORKLIST = "registrar_worklist"
CHECKS: dict[str, tuple[tuple[str, ...], str]] = {
    "field_grants": (
        RAW,
        "Every optional field is granted by the Integration Access. Yellow: one is not, and published "
        "columns are empty because of it. Red: one was granted when the asset was last read.",
    ),
    "no_lost_rows": (
        RAW,
        "Qmlativ shows that no row was lost between two pages. Yellow: it cannot for some object, because "
        "it refuses or ignores the order or the search by key. Such an object is read until two reads agree.",
    ),
    "older_years": (
        RAW[:1],
        "Qmlativ searches older school years for enrollments that are open or ended within the past year. "
        "Yellow: it refuses, so only the newest of these years was read, completely.",
    ),
    "entity_grants": (
        RAW[:1],
        "Every entity with enrollments is granted to the Integration Access. Yellow: Qmlativ also returns "
        "enrollments of entities that the district did not include.",
    ),
    "end_dates": (
        RAW[:1],
        "WithdrawalDate is the day after EndDate, so EndDate is the last day enrolled. "
        "Yellow: in most rows both are the same day, so one of them means something else in this district.",
    ),
    "enrollments_in_order": (
        (WORKLIST,),
        "No enrollment has a problem for the registrar. Yellow: the table counts those that do, by problem.",
    ),
}
"""Check → the assets that have it, and its description."""


def finding_checks(asset: str) -> list[dg.AssetCheckSpec]:
    """The specs of an asset's checks."""
    return [district_check(asset, name, says) for name, (assets, says) in CHECKS.items() if asset in assets]


def reading_findings(
    asset: str, tables: Mapping[str, pd.DataFrame], last: pd.DataFrame | None
) -> dict[str, Finding]:
    """The checks of a raw asset, from its tables and its last landed table of reads, if any."""
    reads = tables["Reads"]
    findings = {
        "field_grants": field_grants(asset, reads, last),
        "no_lost_rows": no_lost_rows(reads),
    }
    if asset == RAW[0]:
        findings["entity_grants"] = entity_grants(tables)
        findings["end_dates"] = end_dates(tables)
        years, note = years_not_read([reads])
        said = note or "every listed school year was read or searched"
        findings["older_years"] = Finding(not years, said, {"school years not read": len(years)})
    return findings


def field_grants(asset: str, reads: pd.DataFrame, last: pd.DataFrame | None) -> Finding:
    """Check which optional fields are missing in a table of reads, and which of them the last one had."""
    missing = find_missing_fields(asset, reads, last)
    lost = sum(field.lost for field in missing)
    said = [
        f"{field.label} is {'no longer' if field.lost else 'not'} granted ({field.cost})" for field in missing
    ]
    if missing:
        said.append("grant it in the Integration Access in Qmlativ")
    return Finding(
        not missing,
        "; ".join(said) or "every optional field is granted",
        {
            "fields not granted": len(missing),
            "fields lost since it was last read": lost,
            "published columns that are empty": len({column for field in missing for column in field.empty}),
        },
        ERROR if lost else WARN,
    )


def entity_grants(tables: Mapping[str, pd.DataFrame]) -> Finding:
    """Check for enrollments of entities that the Integration Access does not include."""
    counts = count_entities(tables["EntityAccess"], tables["Entity"], tables["EntryWithdrawal"])
    note = not_granted_note(counts)
    said = f"{note}; {CHOOSE_ENTITIES}" if note else "every entity with enrollments is granted"
    others = sum(bool(one.enrollments) and not one.granted for one in counts)
    return Finding(not note, said, {"entities not granted": others})


def no_lost_rows(reads: pd.DataFrame) -> Finding:
    """Check that each object's pages show that no row was lost during the read."""
    unchecked, note = read_twice([reads])
    said = note or "no row was lost between two pages"
    return Finding(not unchecked, said, {"objects read twice": len(unchecked)})


def end_dates(raw_enrollments: Mapping[str, pd.DataFrame]) -> Finding:
    """Check that EndDate is the last day enrolled, by comparing the dates."""
    seen = observe_end_dates(raw_enrollments)
    both, contradicts = sum(seen.values()), contradicts_inclusive_reading(seen)
    if not both:
        said = "no enrollment has both EndDate and WithdrawalDate, so there is nothing to compare"
    elif contradicts:
        said = (
            f"in {seen[SAME_DAY] / both:.0%} of {both:,} enrollments EndDate and WithdrawalDate are the "
            "same day: ask the district whether EndDate is the last day enrolled; statuses assume so, and "
            "change a day late if it is not"
        )
    else:
        share = f"{seen.get(INCLUSIVE, 0) / both:.0%} of {both:,} enrollments"
        said = f"in {share} WithdrawalDate is the day after EndDate"
    differences = table(
        ("days from EndDate to WithdrawalDate", "enrollments", "share"),
        ((f"{days}", f"{rows:,}", f"{rows / both:.1%}") for days, rows in islice(seen.items(), 10)),
    )
    facts = {"enrollments with both dates": both, "differences": differences}
    return Finding(not contradicts, said, facts)


def worklist_findings(worklist: pd.DataFrame) -> dict[str, Finding]:
    """Count the enrollments, students and schools with each of the worklist's problems, in one check."""
    counts = {problem: _counts(worklist.loc[worklist["problem"] == problem]) for problem in PROBLEMS}
    total = _counts(worklist)
    said = "no enrollment has a problem"
    if not worklist.empty:
        each = "; ".join(f"{n['enrollments']:,} {name}" for name, n in counts.items() if n["enrollments"])
        said = (
            f"{counted(total['enrollments'], 'enrollment')} of {counted(total['students'], 'student')} at "
            f"{counted(total['schools'], 'school')}: {each}; the table registrar_worklist lists them with "
            "what to do in Qmlativ"
        )
    by_problem = table(
        ("problem", *total), ((problem, *(f"{n:,}" for n in of.values())) for problem, of in counts.items())
    )
    return {"enrollments_in_order": Finding(worklist.empty, said, {**total, "problems": by_problem})}


def _counts(listed: pd.DataFrame) -> dict[str, int]:
    return {
        "enrollments": len(listed),
        "students": int(listed["student_id"].nunique()),
        "schools": int(listed["building"].nunique()),
    }
