"""Small districts full of what goes wrong and of what lies on a boundary, from a seed.

Here: plain rows for `builders` and `naive`. Few ids and few days, so that ties, repeats and contradictions
are common.
"""

import json
from datetime import date, timedelta
from random import Random
from typing import Any

from samegoal_pipelines.tables.catalog import RAW_TABLES
from samegoal_pipelines_tests.transforms.builders import school_years, year_of

Row = dict[str, Any]
TODAYS = (date(2026, 10, 12), date(2027, 6, 30), date(2026, 7, 1), date(2028, 2, 29), date(2028, 3, 1))
USUAL_CODES = ("01", " 01 ", "1", "82", "33", "CECS")
CODES = (*USUAL_CODES, " cecs", "cEcS", "", "  ", None)


def complete(objects: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The rows with every column that their model has, null where nothing is said."""
    tables = RAW_TABLES["raw_enrollments"]
    return {name: [dict.fromkeys(tables[name].names) | row for row in rows] for name, rows in objects.items()}


def days_around(today: date) -> list[date]:
    """Days on which something may turn (today, the window's start, a year's ends) and their neighbours."""
    year_ago = date(today.year - 1, today.month, min(today.day, 28))
    year = year_of(today)
    turning = [today, year_ago]
    turning += [date(year - 1, 7, 1), date(year, 7, 1), date(year - 2, 8, 12), date(year, 8, 12)]
    near = [day + timedelta(days=step) for day in turning for step in (-2, -1, 0, 1, 2)]
    placeholders = [date.min, date(1753, 1, 1), date(1900, 1, 1), date.max]
    return [*near, *placeholders, date(2016, 2, 29)]


def codes_listed(random: Random, years: list[int], trouble: float) -> list[Row]:
    """Codes with an id per year; some ids listed twice, with the same code, another one or none."""
    listed = [
        {"WithdrawalCodeID": 100 * n + year % 100, "Code": code}
        for n, code in enumerate(CODES, start=1)
        for year in years
    ]
    again = random.sample(listed, 4)
    clashing = random.sample(listed, round(20 * trouble))
    return listed + again + [row | {"Code": random.choice(CODES)} for row in clashing]


def entry_row(
    random: Random, number: int, today: date, years: list[int], codes: list[Row], trouble: float
) -> Row:
    days = days_around(today)
    first = random.choice(days)
    row: Row = {
        "EntryWithdrawalID": number,
        "StudentID": random.choice([*range(1, 12), 2**53 + 1]),
        "EntityID": random.choice([1, 2, None]),
        "SchoolID": random.choice([1, 2, 3, None]),
        "SchoolYearID": random.choice([*years, year_of(today), year_of(today)]),
        "StartDate": first,
        "IsDefaultEntity": random.choice([True, True, False, None]),
        "IsCrossEntityCourseEnrollment": random.choice([True, False, None]),
    }
    if random.random() < 0.7:
        row["EndDate"] = random.choice([day for day in days if day >= first or random.random() < trouble])
    if random.random() < 0.2:
        row["WithdrawalDate"] = random.choice(days)
    if random.random() < 0.6:
        row["WithdrawalCodeID"] = random.choice(
            [code["WithdrawalCodeID"] for code in codes if code["Code"] in USUAL_CODES]
        )
    if random.random() < trouble:
        field, value = random.choice(
            [
                *(("StudentID", None), ("StartDate", None), ("SchoolYearID", None), ("SchoolYearID", 1999)),
                *(("WithdrawalCodeID", code) for code in (99_999, random.choice(codes)["WithdrawalCodeID"])),
            ]
        )
        row[field] = value
    if random.random() < trouble:
        field = random.choice(
            ["StartDate", "EndDate", "WithdrawalDate", "StudentID", "IsDefaultEntity", "WithdrawalCodeID"]
        )
        row[field], row["Unreadable"] = None, json.dumps({field: "31 February"})
    return row


def edge_case_district(seed: int, today: date | None = None) -> tuple[dict[str, list[Row]], date]:
    """A district of a dozen students and some forty rows, and the day on which to judge it."""
    random = Random(seed)
    today = today or random.choice(TODAYS)
    trouble = random.choice([0, 0.02, 0.15])
    years = [year_of(today) + step for step in (-3, -1, 0, 1)]
    codes = codes_listed(random, years, trouble)
    rows = [
        entry_row(random, number, today, years, codes, trouble) for number in range(1, random.randint(1, 50))
    ]
    if random.random() < 0.3:  # ids far apart, so that no table over their range would do
        for row in rows:
            row["EntryWithdrawalID"] = row["EntryWithdrawalID"] * 2**47 + 1
    rows += [dict(random.choice(rows)) for _ in range(random.randint(0, 3)) if rows]
    for row in random.sample(rows, min(len(rows), round(20 * trouble))):
        rows.append(
            row | {"StudentID": random.randint(1, 11), "StartDate": random.choice(days_around(today))}
        )
    if rows and random.random() < trouble:
        rows.append(random.choice(rows) | {"EntryWithdrawalID": None})
    random.shuffle(rows)
    listed_years = school_years(today, years)
    if random.random() < 0.1:
        listed_years[0]["Unreadable"] = json.dumps({"NumericYear": "?"})
    schools = [
        {"SchoolID": n, "SchoolYearID": year, "Name": f"School {n} of {year}", "StateAssignedID": f"00{n}"}
        for n in (1, 2)
        for year in random.sample(years, 2)
    ]
    objects = {"EntryWithdrawal": rows, "SchoolYear": listed_years, "WithdrawalCode": codes}
    return complete({"Entity": [], **objects, "School": schools}), today
