"""The nightly asset checks besides schemas and the gate.

This module has each check's name, asset and description, and computes its finding from frames, in counts. The
schema check is in `errors`, and the gate in `gate`. The table registrar_worklist lists the rows.

A failed check is a warning (WARN) if a registrar or Qmlativ's administrator should act, and an error (ERROR)
if a field was withdrawn since the last night. No check holds a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.dagster_internals import about_last_materialization
from samegoal_pipelines.defs.errors import district_check, is_selected
from samegoal_pipelines.defs.metadata import table
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables import worklist as problems
from samegoal_pipelines.tables.reads import unchecked_objects, years_not_read
from samegoal_pipelines.transforms.enrollments import INCLUSIVE, SAME_DAY, observe_end_dates
from samegoal_pipelines.transforms.entities import CHOOSE_ENTITIES, count_entities, not_granted_note
from samegoal_pipelines.transforms.reads import find_missing_fields, read_twice_note, years_not_read_note

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
RAW = ("raw_enrollments", "raw_students", "raw_parents")
WORKLIST = "registrar_worklist"


class Finding(NamedTuple):
    """The outcome of a check: counts only, never a row's value."""

    passed: bool
    description: str
    metadata: dict[str, Any]
    severity: dg.AssetCheckSeverity = WARN


class _Check(NamedTuple):
    assets: tuple[str, ...]
    description: str


CHECKS: dict[str, _Check] = {
    "field_grants": _Check(
        RAW,
        "Every optional field is granted by the Integration Access. Yellow: one is not, and published "
        "columns are empty because of it. Red: one was granted when the asset was last read.",
    ),
    "no_lost_rows": _Check(
        RAW,
        "Qmlativ shows that no row was lost between two pages. Yellow: it cannot for some object, because "
        "it refuses or ignores the order or the search by key. Such an object is read until two reads agree.",
    ),
    "older_years": _Check(
        RAW[:1],
        "Qmlativ searches older school years for enrollments that are open or ended within the past year. "
        "Yellow: it refuses, so only the newest of these years was read, completely.",
    ),
    "entity_grants": _Check(
        RAW[:1],
        "Every entity with enrollments is granted to the Integration Access. Yellow: Qmlativ also returns "
        "enrollments of entities that the district did not include.",
    ),
    "end_dates": _Check(
        RAW[:1],
        "WithdrawalDate is the day after EndDate, so EndDate is the last day enrolled. "
        "Yellow: in most rows both are the same day, so one of them means something else in this district.",
    ),
    "enrollments_in_order": _Check(
        (WORKLIST,),
        "No enrollment has a problem for the registrar. Yellow: the table counts those that do, by problem.",
    ),
}


def finding_checks(asset: str) -> list[dg.AssetCheckSpec]:
    """The checks of an asset in this module, for its `check_specs`."""
    return [
        district_check(asset, name, check.description)
        for name, check in CHECKS.items()
        if asset in check.assets
    ]


def check_results(
    context: dg.AssetExecutionContext, asset: str, findings: Mapping[str, Finding]
) -> Iterator[dg.AssetCheckResult]:
    """Yield the findings about an asset (check → finding) that this run has selected."""
    for name, finding in findings.items():
        if is_selected(context, asset, name):
            yield dg.AssetCheckResult(
                asset_key=dg.AssetKey(asset),
                check_name=name,
                passed=finding.passed,
                severity=finding.severity,
                description=finding.description,
                metadata=_for_people(finding.metadata),
            )


def report_check_results(
    instance: dg.DagsterInstance, asset: str, district_id: str, findings: Mapping[str, Finding]
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the findings about a district's asset from a job that materializes it outside its own step."""
    about = about_last_materialization(instance, asset, district_id)
    for name, finding in findings.items():
        yield dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(asset),
            check_name=name,
            passed=finding.passed,
            severity=finding.severity,
            description=finding.description,
            metadata=_for_people(finding.metadata),
            target_materialization_data=about,
            partition=district_id,
        )


def _for_people(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as text, because Dagster would plot all districts' numbers as one curve."""
    return {
        name: f"{value:,}" if isinstance(value, int | float) else value for name, value in metadata.items()
    }


# -- what was read --


def reading_findings(
    asset: str, tables: Mapping[str, pd.DataFrame], last: Sequence[pd.DataFrame]
) -> dict[str, Finding]:
    """The checks of a raw asset.

    Args:
        tables: its tables, including `Reads`.
        last: its last landed table of reads, if any.
    """
    findings = {
        "field_grants": field_grants(asset, tables["Reads"], next(iter(last), None)),
        "no_lost_rows": no_lost_rows(tables["Reads"]),
    }
    if asset in CHECKS["end_dates"].assets:
        findings["entity_grants"] = entity_grants(tables)
        findings["end_dates"] = end_dates(tables)
        findings["older_years"] = older_years(tables["Reads"])
    return findings


def field_grants(asset: str, reads: pd.DataFrame, last: pd.DataFrame | None) -> Finding:
    """Check which optional fields are missing in a table of reads, and which of them the last one had."""
    missing = find_missing_fields({asset: reads}, {} if last is None else {asset: last})
    lost = [field for field in missing if field.lost]
    columns = {column for field in missing for column in field.empty}
    parts = [
        f"{field.label} is {'no longer' if field.lost else 'not'} granted ({field.cost})" for field in missing
    ]
    next_step = "; grant it in the Integration Access in Qmlativ" if missing else ""
    return Finding(
        not missing,
        ("; ".join(parts) or "every optional field is granted") + next_step,
        {
            "fields not granted": len(missing),
            "fields lost since it was last read": len(lost),
            "published columns that are empty": len(columns),
        },
        ERROR if lost else WARN,
    )


def entity_grants(tables: Mapping[str, pd.DataFrame]) -> Finding:
    """Check for enrollments of entities that the Integration Access does not include."""
    counts = count_entities(tables["EntityAccess"], tables["Entity"], tables["EntryWithdrawal"])
    note = not_granted_note(counts)
    description = f"{note}; {CHOOSE_ENTITIES}" if note else "every entity with enrollments is granted"
    others = sum(bool(one.enrollments) and not one.granted for one in counts)
    return Finding(not note, description, {"entities not granted": others})


def no_lost_rows(reads: pd.DataFrame) -> Finding:
    """Check that each object's pages show that no row was lost during the read."""
    unchecked = unchecked_objects([reads])
    message = read_twice_note(unchecked) if unchecked else "no row was lost between two pages"
    return Finding(not unchecked, message, {"objects read twice": len(unchecked)})


def older_years(reads: pd.DataFrame) -> Finding:
    """Check that every older school year was searched for enrollments that the import window may need."""
    years = years_not_read([reads])
    message = years_not_read_note(years) if years else "every listed school year was read or searched"
    return Finding(not years, message, {"school years not read": len(years)})


def end_dates(raw_enrollments: Mapping[str, pd.DataFrame]) -> Finding:
    """Check that EndDate is the last day enrolled, by comparing the dates."""
    seen = observe_end_dates(raw_enrollments)
    if not seen.rows:
        message = "no enrollment has both EndDate and WithdrawalDate, so there is nothing to compare"
    elif seen.contradicts_inclusive_reading:
        message = (
            f"in {seen.share(SAME_DAY):.0%} of {seen.rows:,} enrollments EndDate and WithdrawalDate are the "
            "same day: ask the district whether EndDate is the last day enrolled; statuses assume so, and "
            "change a day late if it is not"
        )
    else:
        share = f"{seen.share(INCLUSIVE):.0%} of {seen.rows:,} enrollments"
        message = f"in {share} WithdrawalDate is the day after EndDate"
    differences = table(
        ("days from EndDate to WithdrawalDate", "enrollments", "share"),
        ((f"{days}", f"{rows:,}", f"{rows / seen.rows:.1%}") for days, rows in seen.differences.items()),
    )
    return Finding(
        not seen.contradicts_inclusive_reading,
        message,
        {"enrollments with both dates": seen.rows, "differences": differences},
    )


# -- what a registrar should look at --


_PROBLEMS = {
    problems.NEVER_CLOSED: "still open in a school year that is over, so not imported",
    problems.UPCOMING_AFTER_WITHDRAWAL: "upcoming although the student has left, and keeps the student "
    "ENROLLED",
    problems.CECS_ONLY: "the latest of a student who only has cross-entity courses (CECS), and so no row",
    problems.TIE: "equal to the one that decides the student's status, except for its lower id",
    **dict.fromkeys(problems.QUARANTINE_PROBLEMS, "quarantined, because it cannot be relied on"),
    problems.FLAGGED_WITHOUT_CODE: "flagged as a cross-entity course without the code CECS, and counted",
    problems.POSSIBLE_DUPLICATE: "the deciding one of a student who may have a second record",
    problems.THE_PAST_MOVED: "changed or removed since the last published night, although it ended more than "
    "30 days ago",
}


def worklist_findings(worklist: pd.DataFrame) -> dict[str, Finding]:
    """Count the enrollments, students and schools with each of the worklist's problems, in one check."""
    counts = {problem: _counts(worklist.loc[worklist["problem"] == problem]) for problem in _PROBLEMS}
    total = _counts(worklist)
    message = "no enrollment has a problem"
    if total["enrollments"]:
        each = "; ".join(f"{n['enrollments']:,} {name}" for name, n in counts.items() if n["enrollments"])
        message = (
            f"{counted(total['enrollments'], 'enrollment')} of {counted(total['students'], 'student')} at "
            f"{counted(total['schools'], 'school')}: {each}; the table registrar_worklist lists them with "
            "what to do in Qmlativ"
        )
    by_problem = table(
        ("problem", "enrollments", "students", "schools", "the enrollment is"),
        (
            (problem, *(f"{n:,}" for n in counts[problem].values()), meaning)
            for problem, meaning in _PROBLEMS.items()
        ),
    )
    return {"enrollments_in_order": Finding(worklist.empty, message, {**total, "problems": by_problem})}


def _counts(listed: pd.DataFrame) -> dict[str, int]:
    return {
        "enrollments": len(listed),
        "students": int(listed["student_id"].nunique()),
        "schools": int(listed["building"].nunique()),
    }
