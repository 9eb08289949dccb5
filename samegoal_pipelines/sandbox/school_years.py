"""School years as the sandbox counts them (1 July to 30 June), and the lookups that every district has.

Qmlativ gives the same withdrawal code another id each year, and so does this module. No people and no
enrollments.
"""

import datetime as dt
from typing import Any

NUMERIC_YEAR_OF_ID_0 = 2000
"""SchoolYearID 27 is the year 2026-2027, as in the contract's example."""

YEARS_BACK = 3

WITHDRAWAL_CODES: tuple[tuple[str, str], ...] = (
    ("01", "Graduated"),
    ("03", "Died"),
    ("16", "Returned to home country"),
    ("24", "College, pursuing a degree"),
    ("33", "Moved to another campus of the district"),
    ("60", "Home schooling"),
    ("66", "Removed by Child Protective Services"),
    ("78", "Expelled"),
    ("81", "Enrolled in a Texas private school"),
    ("82", "Enrolled in a school outside Texas"),
    ("83", "Withdrawn by the district"),
    ("90", "Graduated from another state"),
    ("98", "Other reasons"),
    ("CECS", "Cross-entity course: end of the course"),
)
GRADUATED, OTHER_CAMPUS, CECS = "01", "33", "CECS"
LEAVER_CODES = ("16", "60", "66", "81", "82", "83", "98")

NAME_SUFFIXES = ((1, "JR", "Jr"), (2, "SR", "Sr"), (3, "II", "II"), (4, "III", "III"), (5, "IV", "IV"))
PHONE_TYPES = ((1, "H", "Home"), (2, "C", "Cell"), (3, "W", "Work"), (4, "F", "Fax"))
LANGUAGES = (
    (1, "98", "English"),
    (2, "01", "Spanish"),
    (3, "02", "Vietnamese"),
    (4, "08", "Arabic"),
    (5, "06", "Mandarin Chinese"),
    (6, "25", "Tagalog"),
)
RELATIONSHIPS = (
    (1, "M", "Mother"),
    (2, "F", "Father"),
    (3, "SM", "Stepmother"),
    (4, "SF", "Stepfather"),
    (5, "GM", "Grandmother"),
    (6, "GF", "Grandfather"),
    (7, "A", "Aunt"),
    (8, "U", "Uncle"),
    (9, "GU", "Legal guardian"),
)
STATES = ((1, "TX"), (2, "OK"), (3, "LA"), (4, "NM"))


def school_year_of(day: dt.date) -> int:
    """The SchoolYearID of a day."""
    return day.year + (day.month >= 7) - NUMERIC_YEAR_OF_ID_0


def school_years(today: dt.date) -> list[dict[str, Any]]:
    """Three years back, the current and the upcoming one, flagged relative to today."""
    current = school_year_of(today)
    return [
        {
            "SchoolYearID": year,
            "NumericYear": year + NUMERIC_YEAR_OF_ID_0,
            "Description": f"{year - 1 + NUMERIC_YEAR_OF_ID_0}-{year + NUMERIC_YEAR_OF_ID_0}",
            "IsCurrentYearForProvidedEntity": year == current,
            "IsUpcomingYearForProvidedEntity": year == current + 1,
        }
        for year in range(current - YEARS_BACK, current + 2)
    ]


def withdrawal_code_id(school_year_id: Any, number: Any) -> Any:
    """The id that the code at this place of WITHDRAWAL_CODES has in this year; also for arrays of both."""
    return school_year_id * 100 + number + 1


def withdrawal_codes(years: list[int]) -> list[dict[str, Any]]:
    """Every code of every year, each with an id of its own."""
    return [
        {
            "WithdrawalCodeID": withdrawal_code_id(year, number),
            "Code": code,
            "Description": description,
            "DistrictID": 1,
            "SchoolYearID": year,
            "Type": "Withdrawal",
            "TypeCode": "W",
        }
        for year in years
        for number, (code, description) in enumerate(WITHDRAWAL_CODES)
    ]


def lookups() -> dict[str, list[dict[str, Any]]]:
    """The small tables that are alike in every district."""

    def coded(key: str, entries: tuple[tuple[int, str, str], ...]) -> list[dict[str, Any]]:
        return [{key: id_, "Code": code, "Description": description} for id_, code, description in entries]

    return {
        "Demographics/NameSuffix": coded("NameSuffixID", NAME_SUFFIXES),
        "Demographics/PhoneType": coded("PhoneTypeID", PHONE_TYPES),
        "Demographics/Language": coded("LanguageID", LANGUAGES),
        "Demographics/Relationship": coded("RelationshipID", RELATIONSHIPS),
        "SkySys/State": [{"StateID": id_, "Code": code} for id_, code in STATES],
    }
