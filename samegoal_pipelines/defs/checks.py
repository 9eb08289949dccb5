"""The nightly asset checks besides schemas and the gate: their descriptions, and their findings in counts.

A failed check is a warning (WARN) if a registrar or Qmlativ's administrator should act, and an error (ERROR)
if a field was withdrawn since the last night. No check holds a snapshot.
"""

from collections.abc import Mapping
from itertools import islice

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.materializing import ERROR, WARN, Finding, district_check
from samegoal_pipelines.defs.metadata import table
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.worklist import PROBLEMS
from samegoal_pipelines.transforms.enrollments import (
    INCLUSIVE,
    SAME_DAY,
    contradicts_inclusive_reading,
    observe_end_dates,
)
from samegoal_pipelines.transforms.entities import CHOOSE_ENTITIES, count_entities, not_granted_note
from samegoal_pipelines.transforms.reads import (
    find_missing_fields,
    read_twice_note,
    unchecked_objects,
    years_not_read,
    years_not_read_note,
)

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
    """The checks of an asset in this module, for its `check_specs`."""
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
        years = years_not_read([reads])
        said = years_not_read_note(years) if years else "every listed school year was read or searched"
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
    unchecked = unchecked_objects([reads])
    said = read_twice_note(unchecked) if unchecked else "no row was lost between two pages"
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
