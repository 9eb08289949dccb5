"""Which rows of older school years are read, and what happens if Qmlativ cannot search by date."""

import json
from datetime import date
from types import SimpleNamespace

import pandas as pd
import pytest

from samegoal_pipelines.qmlativ import errors
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.reading import read_district, read_older_years
from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict, serve
from samegoal_pipelines.tables.enrollments import ENTRY_WITHDRAWAL
from samegoal_pipelines_tests.literal_district import literal_district
from samegoal_pipelines_tests.qmlativ.scripted import connection_to

TODAY, WINDOW_START = date(2026, 10, 12), date(2025, 10, 12)
ENDED_LATE, ENDED_BEFORE, CLOSED_LATELY, OPEN, PLACEHOLDER, CURRENT, LAST_YEAR = range(1, 8)
ENTRIES = [
    {"StudentID": 11, "StartDate": "2024-08-14", "EndDate": "2025-10-12"},
    {"StudentID": 12, "StartDate": "2024-08-14", "EndDate": "2025-10-11", "WithdrawalDate": "2025-10-11"},
    {"StudentID": 13, "StartDate": "2023-08-16", "WithdrawalDate": "2026-10-06", "WithdrawalCode": "82"},
    {"StudentID": 14, "StartDate": "2024-08-14"},
    {"StudentID": 15, "StartDate": "2024-08-14", "EndDate": "0001-01-01", "WithdrawalDate": "0001-01-01"},
    {"StudentID": 16, "StartDate": "2026-08-12"},
    {"StudentID": 17, "StartDate": "2025-08-13", "EndDate": "2025-09-05"},
]
NEWER, OLDER = (26, 27, 28), (25, 24)
Frames = dict[str, pd.DataFrame]


def read(district: SandboxDistrict, *, page_size: int = 500) -> Frames:
    with serve(Sandbox([district])) as server:
        with QmlativClient(connection_to(server, district, page_size=page_size)) as client:
            return read_district(client, ["raw_enrollments"], ended_since=WINDOW_START)["raw_enrollments"]


def district(entries=ENTRIES) -> SandboxDistrict:
    return literal_district({"Enrollment/EntryWithdrawal": entries}, today=TODAY)


def came(found: Frames) -> set[int]:
    return set(found["EntryWithdrawal"]["EntryWithdrawalID"])


def years(found: Frames, name: str = "EntryWithdrawal") -> tuple[list[int], list[int]]:
    """The school years of which the object was read, and those that were not."""
    read = found["Reads"].set_index("Object").loc[name]
    return json.loads(read["SchoolYearIDs"]), json.loads(read["YearsNotRead"])


@pytest.mark.parametrize("page_size", [1, 500])
def test_of_older_years_the_open_rows_and_those_that_ended_in_the_window_are_read(page_size):
    found = read(district(), page_size=page_size)
    assert came(found) == {ENDED_LATE, CLOSED_LATELY, OPEN, PLACEHOLDER, CURRENT, LAST_YEAR}
    assert years(found) == ([*NEWER, *OLDER], [])
    assert found["Reads"]["GapsChecked"].all()


def test_codes_and_schools_are_read_of_the_older_years_that_turn_up():
    """They have other ids each year, so a row of an older year needs those of its year."""
    found = read(district())
    assert years(found, "WithdrawalCode") == years(found, "School") == ([*NEWER, *OLDER], [])
    entries, codes = found["EntryWithdrawal"], found["WithdrawalCode"]
    (code_id,) = entries.loc[entries["EntryWithdrawalID"] == CLOSED_LATELY, "WithdrawalCodeID"]
    assert list(codes.loc[codes["WithdrawalCodeID"] == code_id, "Code"]) == ["82"]

    found = read(district([*ENTRIES[:2], *ENTRIES[3:]]))  # nothing of the oldest year
    assert years(found, "WithdrawalCode") == years(found, "School") == ([*NEWER, OLDER[0]], [])


def test_where_the_search_is_refused_the_newest_older_year_is_read_whole_and_the_rest_is_named():
    made = district()
    made.refused_conditions.add("DateTimeSearchCondition")
    found = read(made)
    assert came(found) == {ENDED_LATE, ENDED_BEFORE, OPEN, PLACEHOLDER, CURRENT, LAST_YEAR}
    assert years(found) == ([*NEWER, OLDER[0]], [*OLDER[1:]])


class Answers:
    """Reads years whole, and answers each search by date with the next of these errors; then with rows."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.asked = list(errors), []

    def __call__(self, wanted, year, condition):
        if wanted is ENTRY_WITHDRAWAL:
            self.asked.append((year, "searched" if condition else "whole"))
        if condition and self.errors:
            raise self.errors.pop(0)
        return SimpleNamespace(table=SimpleNamespace(num_rows=0))


DOWN = errors.SourceUnavailableError("HTTP 503")
REFUSALS = (
    errors.RequestRefusedError("no"),
    errors.AccessRefusedError("no"),
    errors.MalformedAnswerError("no"),
)


@pytest.mark.parametrize(
    ("failures", "searched_then", "not_read"),
    [
        *(([refusal], [], (24, 23)) for refusal in REFUSALS),
        ([DOWN, DOWN], [24], (24, 23)),
        ([DOWN], [24, 23], ()),
    ],
)
def test_a_search_that_fails_costs_only_older_years_and_is_tried_again_after_an_outage(
    failures, searched_then, not_read
):
    answers = Answers(*failures)
    readings = read_older_years([25, 24, 23], WINDOW_START, answers)
    assert answers.asked[:2] == [(25, "searched"), (25, "whole")]
    assert answers.asked[2:] == [(year, "searched") for year in searched_then]
    assert {year for _, year in readings} == {25, 24, 23} - {*not_read}


@pytest.mark.parametrize("error", [errors.RateLimitedError, errors.ReadCancelledError, errors.QmlativError])
def test_some_errors_say_nothing_about_the_search_and_end_the_read(error):
    with pytest.raises(error):
        read_older_years([25, 24], WINDOW_START, Answers(error("no")))


def test_a_source_that_stays_down_fails_the_read():
    def read(*_):
        raise errors.SourceUnavailableError("HTTP 503")

    with pytest.raises(errors.SourceUnavailableError):
        read_older_years([25, 24], WINDOW_START, read)


def test_where_the_search_is_ignored_older_years_come_whole():
    made = district()
    made.ignored_conditions.add("DateTimeSearchCondition")
    found = read(made)
    assert len(came(found)) == len(ENTRIES)
    assert years(found)[1] == []
