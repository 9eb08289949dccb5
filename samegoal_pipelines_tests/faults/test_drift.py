"""Qmlativ's rows change while they are read: what is published was true at some moment, or nothing is."""

import pytest

from samegoal_pipelines.sandbox import SandboxDistrict
from samegoal_pipelines_tests.faults.fixtures import OURS
from samegoal_pipelines_tests.mass_changes import TOMORROW

STUDENTS, EMAILS = "Student/Student", "Demographics/NameEmail"


def first_key(district: SandboxDistrict, name: str) -> int:
    return min(row[key_of(name)] for row in district.rows(name))


def key_of(name: str) -> str:
    return f"{name.partition('/')[2]}ID"


def deleted(district: SandboxDistrict) -> None:
    district.remove_row(EMAILS, first_key(district, EMAILS))


def inserted(district: SandboxDistrict) -> None:
    district.add_row(EMAILS, NameEmailID=first_key(district, EMAILS) - 1, NameID=None)


def changed(district: SandboxDistrict) -> None:
    keys = sorted(row["NameEmailID"] for row in district.rows(EMAILS))
    district.edit(EMAILS, keys[-1], EmailAddress="changed@example.org")


def inserted_and_changed(district: SandboxDistrict) -> None:
    """The last row of the first page comes again, on the second, with another content."""
    keys = sorted(row["NameEmailID"] for row in district.rows(EMAILS))
    district.edit(EMAILS, keys[9], EmailAddress="changed@example.org")
    inserted(district)


@pytest.mark.parametrize("happens", [deleted, inserted, changed, inserted_and_changed])
def test_rows_that_change_between_two_pages_give_the_set_that_a_quiet_night_reads(
    published, tonight, happens
):
    published.limits["connections"] = 1
    struck = published.source.faults.add(object=EMAILS, kind="list", page=2, nth=1, run=happens)
    assert tonight().returncode == 0
    assert struck.applied == 1
    drifting = published.pipeline.published()
    rereads = landed_reads(published, "NameEmail")["Rereads"]
    assert rereads == (happens in (deleted, inserted_and_changed))
    published.source.faults.clear()
    assert tonight().returncode == 0
    assert published.pipeline.published() == drifting


@pytest.mark.parametrize("name", [STUDENTS, EMAILS])
def test_rows_that_never_stand_still_fail_the_night_after_three_readings(published, fails, name):
    struck = published.source.faults.add(
        object=name,
        kind="list",
        page=2,
        run=lambda district: district.remove_row(name, first_key(district, name)),
    )
    published.limits["connections"] = 1
    fails(name, "data changed while it was read. To do: run the night again: ", whole=True)
    assert struck.applied <= 3 * 3  # of three school years


@pytest.mark.parametrize("how", ["refused_conditions", "ignored_conditions"])
def test_where_lost_rows_cannot_be_asked_for_two_reads_must_agree_and_people_are_told(
    published, tonight, ask, how
):
    getattr(published.district, how).add("LongSearchCondition")
    published.limits["connections"] = 1
    rows = published.district.rows(EMAILS)
    apart = [row | {"NameEmailID": 3 * row["NameEmailID"]} for row in rows]  # so that there are gaps
    published.district.replace_rows(EMAILS, apart)
    published.source.faults.add(object=EMAILS, kind="list", page=2, nth=1, run=deleted)
    assert tonight().returncode == 0
    read = landed_reads(published, "NameEmail")
    assert (read["Rereads"], read["GapsChecked"]) == (2, False)
    shown = ask("report", "--night", TOMORROW.isoformat(), "--no-forecast").stdout
    assert "read twice: " in shown
    assert EMAILS in shown
    drifting = published.pipeline.published()
    published.source.faults.clear()
    getattr(published.district, how).clear()
    assert tonight().returncode == 0
    assert published.pipeline.published() == drifting


def landed_reads(published, name: str) -> dict:
    landed = published.pipeline.deployment.landing.read("raw_students", district_id=OURS, night=TOMORROW)
    return landed["Reads"].set_index("Object").loc[name].to_dict()
