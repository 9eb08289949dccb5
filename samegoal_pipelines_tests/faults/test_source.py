"""A source that is broken, closed or not the one it should be: nothing is published, and a line says why."""

import pytest

from samegoal_pipelines_tests.cli.asking import run
from samegoal_pipelines_tests.faults.conftest import OURS
from samegoal_pipelines_tests.mass_changes import TOMORROW

STUDENTS, EMAILS, PHONES = "Student/Student", "Demographics/NameEmail", "Demographics/NamePhone"
PERSISTS = ". To do: run again, and ask Skyward's support if it happens again"
CREDENTIALS = (
    "check the Client Key, the Client Secret and the expiration date of the Integration Access in Qmlativ"
)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"body": b'{"Message": "Sentinel"}'}, f"the answer has no list of objects in Objects{PERSISTS}"),
        (
            {"status": 503, "body": "Sentinel"},
            "Qmlativ is unavailable (HTTP 503); gave up after 3 attempts. To do: try again later",
        ),
        (
            {"status": 403, "body": "<html>Sentinel</html>"},
            "a firewall in front of Qmlativ refuses the request (HTTP 403 with a web page). To do: ask the "
            "district, or Skyward",
        ),
    ],
    ids=["an error object", "unavailable", "firewall"],
)
def test_an_answer_that_is_none_fails_the_night_and_names_object_and_page(published, fails, fault, says):
    published.source.faults.add(object=STUDENTS, kind="list", page=2, **fault)
    line = fails(f"{STUDENTS}?SchoolYearID=", f", page 2: {says}")
    assert line.count(OURS) == 1


NOBODY = "the snapshot has no students"
NOTHING = {"Objects": [], "Paging": {"Next": None}}


@pytest.mark.parametrize(
    ("emptied", "says"),
    [
        ("Enrollment/EntryWithdrawal", NOBODY),
        (STUDENTS, NOBODY),
        (
            "Enrollment/School",
            "check in Qmlativ whether they were deleted, or the Integration Access no longer sees them",
        ),
        ("Family/StudentGuardian", "would lose their last parent with a phone"),
    ],
)
def test_no_rows_where_there_were_many_are_held(published, holds, emptied, says):
    published.source.faults.add(object=emptied, kind="list", set=NOTHING)
    holds(says, f"{emptied} came without a single row, but with ", "for the published snapshot")


def test_what_comes_empty_on_a_second_night_is_held_again(published, holds):
    """A held night is nothing to compare with."""
    published.source.faults.add(object=PHONES, kind="list", set=NOTHING)
    for _ in range(2):
        holds(f"{PHONES} came without a single row")


def test_a_wrong_secret_is_tried_once_each_way_and_says_what_to_check(published, fails):
    published.district.client_secret = "another"
    fails(f"token: Qmlativ does not accept the credentials (HTTP 401). To do: {CREDENTIALS}")
    assert published.source.traffic.token_calls == 2  # the form, and HTTP Basic


def test_verify_tells_how_the_credentials_are_accepted(published):
    for how, said in (("basic", "accepted as HTTP Basic"), ("form", "accepted in the form")):
        published.district.client_auth = how
        assert said in run("districts", "verify", OURS).stdout


def test_another_districts_credentials_are_noticed_before_any_student_is_read(published, fails):
    published.district.code, published.district.name = "999999", "Elsewhere ISD"
    fails(
        "these credentials belong to another district, Elsewhere ISD (999999)",
        "no student was read. To do: check API Base URL, Client Key and Client Secret",
    )
    assert not published.source.traffic.requests(kind="list")


def test_a_local_address_is_not_read_unless_that_is_allowed(published, fails, monkeypatch):
    monkeypatch.setenv("SAMEGOAL_ALLOW_LOCAL_SOURCES", "")
    fails("the API Base URL must start with https://", "SAMEGOAL_ALLOW_LOCAL_SOURCES=1")
    assert not published.source.traffic.log


def test_a_secret_that_was_encrypted_with_a_lost_key_is_asked_for_again(published, fails, monkeypatch):
    from cryptography.fernet import Fernet

    monkeypatch.setenv("SAMEGOAL_SECRET_KEY", Fernet.generate_key().decode())
    fails("districts rotate-secret")
    assert not published.source.traffic.log


def remove_first_email(district) -> None:
    district.remove_row(EMAILS, min(row["NameEmailID"] for row in district.rows(EMAILS)))


def test_rows_that_never_stand_still_fail_the_night_after_three_readings(published, fails):
    published.limits["connections"] = 1
    struck = published.source.faults.add(object=EMAILS, kind="list", page=2, run=remove_first_email)
    fails(f"{EMAILS}: data changed while it was read. To do: run the night again: ")
    assert struck.applied == 3


def test_where_lost_rows_cannot_be_asked_for_two_reads_must_agree_and_people_are_told(published, tonight):
    published.district.refused_conditions.add("LongSearchCondition")
    published.limits["connections"] = 1
    rows = published.district.rows(EMAILS)
    apart = [row | {"NameEmailID": 3 * row["NameEmailID"]} for row in rows]  # so that there are gaps
    published.district.replace_rows(EMAILS, apart)
    published.source.faults.add(object=EMAILS, kind="list", page=2, nth=1, run=remove_first_email)
    assert tonight().returncode == 0
    landed = published.pipeline.deployment.landing.read("raw_students", district_id=OURS, night=TOMORROW)
    read = landed["Reads"].set_index("Object").loc["NameEmail"]
    assert (read["Rereads"], read["GapsChecked"]) == (2, False)
    shown = run("report", "--night", TOMORROW.isoformat(), "--no-forecast").stdout
    assert "read twice: " in shown
    assert EMAILS in shown
