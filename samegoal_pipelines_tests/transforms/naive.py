"""The rules a second time, one row at a time, with plain dictionaries and loops.

Written from the rules' text and not from the transforms, so that a mistake would have to be made twice.
Slow on purpose: nothing here is shared with the code under test.
"""

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, cast

Row = dict[str, Any]


@dataclass
class Verdict:
    """What the rules make of one district on one day."""

    counted: list[int | None] = field(default_factory=list)
    excluded: list[tuple[int | None, str]] = field(default_factory=list)
    repeated: int = 0
    placeholder_dates: int = 0
    statuses: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    uncertain: dict[int, set[str]] = field(default_factory=dict)
    absent: dict[int, str] = field(default_factory=dict)


def assert_same(ours: Verdict, expected: Verdict) -> None:
    """Whether two verdicts are equal, in whichever order their rows are."""
    for verdict in (ours, expected):
        verdict.counted.sort(key=str)
        verdict.excluded.sort(key=str)
    assert ours == expected


def judge(district: dict[str, list[Row]], today: date) -> Verdict:
    """Statuses, reasons, deciding enrollments and every row's fate, of a district given as plain rows."""
    verdict = Verdict()
    came: list[Row] = []
    for row in district["EntryWithdrawal"]:
        if row in came:
            verdict.repeated += 1
        else:
            came.append(row)
    rows = [without_placeholders(row) for row in came]
    verdict.placeholder_dates = sum(row != real for row, real in zip(came, rows, strict=True))

    by_student: dict[int, list[Row]] = {}
    fates: dict[int, set[str]] = {}
    for row in rows:
        reason = fate(row, rows, district, today)
        if reason is None:
            verdict.counted.append(row["EntryWithdrawalID"])
            by_student.setdefault(row["StudentID"], []).append(row)
            continue
        verdict.excluded.append((row["EntryWithdrawalID"], reason))
        fates.setdefault(row["StudentID"], set()).add(reason)
        filtered = reason in ("cecs", "outside_window", "never_closed")
        if not filtered and reason != "never_effective" and row["StudentID"] is not None:
            verdict.uncertain.setdefault(row["StudentID"], set()).add(reason)

    for student, enrollments in by_student.items():
        status, reason, deciding = classify(enrollments, district, today)
        if student in verdict.uncertain and not is_current(deciding, today):
            continue
        verdict.uncertain.pop(student, None)
        verdict.statuses[student] = (status, reason, deciding["EntryWithdrawalID"])

    for student in fates.keys() - verdict.statuses.keys() - {None}:
        if student in verdict.uncertain:
            verdict.absent[student] = "rows unreadable"
        elif fates[student] & {"outside_window", "never_closed"}:
            verdict.absent[student] = "left the import window"
        else:
            verdict.absent[student] = "CECS only" if "cecs" in fates[student] else "never effective only"
    return verdict


def fate(row: Row, rows: list[Row], district: dict[str, list[Row]], today: date) -> str | None:
    """Why a row does not count; None where it does."""
    number = row["EntryWithdrawalID"]
    same = [other for other in rows if other["EntryWithdrawalID"] == number]
    if number is not None and len(same) > 1:
        return "conflicting_duplicate"

    code = code_of(row, district)
    if code is not None and code.upper() == "CECS":
        return "cecs"

    unreadable = json.loads(row["Unreadable"]) if row["Unreadable"] else {}
    last = last_day(row)
    open_ended = last is None
    if "EndDate" in unreadable or (row["EndDate"] is None and "WithdrawalDate" in unreadable):
        last, open_ended = None, False
    year = year_of(row, district)
    if last is not None and last < a_year_before(today):
        return "outside_window"
    if open_ended and year == "old":
        return "never_closed"

    if row["Unreadable"] is not None or number is None:
        return "unreadable"
    if row["StudentID"] is None:
        return "no_student"
    if row["StartDate"] is None:
        return "no_start_date"
    if last is not None and last < row["StartDate"]:
        return "never_effective"
    if row["WithdrawalCodeID"] is not None and code is None:
        return "unknown_withdrawal_code"
    if open_ended and year == "unknown":
        return "no_school_year"
    return None


def classify(enrollments: list[Row], district: dict[str, list[Row]], today: date) -> tuple[str, str, Row]:
    """Status, reason and deciding enrollment of one student."""
    current = [row for row in enrollments if is_current(row, today)]
    upcoming = [row for row in enrollments if row["StartDate"] > today]
    past = [row for row in enrollments if row["StartDate"] <= today and not is_current(row, today)]

    def home(row: Row) -> bool:
        return row["IsDefaultEntity"] is True

    if current:
        current.sort(key=lambda row: (home(row), row["StartDate"], row["EntryWithdrawalID"]))
        return "ENROLLED", "current_enrollment", current[-1]
    if upcoming:
        upcoming.sort(key=lambda row: row["EntryWithdrawalID"], reverse=True)
        upcoming.sort(key=lambda row: row["StartDate"])
        upcoming.sort(key=lambda row: not home(row))
        if past:
            return "ENROLLED", "between_enrollments", upcoming[0]
        return "PRE-ENROLLED", "upcoming_enrollment_only", upcoming[0]
    past.sort(key=lambda row: (last_day(row), home(row), row["StartDate"], row["EntryWithdrawalID"]))
    latest = past[-1]
    if code_of(latest, district) == "01":
        return "GRADUATED", "graduated", latest
    return "INACTIVE", "withdrawn", latest


def is_current(row: Row, today: date) -> bool:
    last = last_day(row)
    return bool(row["StartDate"] <= today and (last is None or today <= last))


def without_placeholders(row: Row) -> Row:
    """The row with no date where a placeholder stands for none."""
    found = dict(row)
    for name in ("StartDate", "EndDate", "WithdrawalDate"):
        if str(row[name]) in ("0001-01-01", "1753-01-01", "1900-01-01", "9999-12-31"):
            found[name] = None
    return found


def last_day(row: Row) -> date | None:
    end, withdrawal = cast("tuple[date | None, date | None]", (row["EndDate"], row["WithdrawalDate"]))
    if end is None and withdrawal is not None:
        return withdrawal - timedelta(days=1)
    return end


def a_year_before(today: date) -> date:
    try:
        return today.replace(year=today.year - 1)
    except ValueError:
        return date(today.year - 1, 2, 28)


def code_of(row: Row, district: dict[str, list[Row]]) -> str | None:
    """The code, trimmed; None where there is none, or where no list knows it for certain."""
    found = set()
    for listed in district["WithdrawalCode"]:
        if listed["WithdrawalCodeID"] is not None and listed["WithdrawalCodeID"] == row["WithdrawalCodeID"]:
            found.add((listed["Code"] or "").strip())
    return found.pop() or None if len(found) == 1 else None


def year_of(row: Row, district: dict[str, list[Row]]) -> str:
    """Whether the row's school year still counts (current or upcoming), is old, or is unknown."""
    listed = [
        year
        for year in district["SchoolYear"]
        if year["SchoolYearID"] is not None
        and year["SchoolYearID"] == row["SchoolYearID"]
        and year["Unreadable"] is None
    ]
    if not listed:
        return "unknown"
    for year in listed:
        if year["IsCurrentYearForProvidedEntity"] or year["IsUpcomingYearForProvidedEntity"]:
            return "counts"
    return "old"
