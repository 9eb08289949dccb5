"""Credentials and grants that do not hold: nothing is read that must not be, and nothing is published."""

import pytest

from samegoal_pipelines_tests.faults.fixtures import OURS, READING

STUDENTS, ENTRIES = "Student/Student", "Enrollment/EntryWithdrawal"
NEXT_STEP = (
    "check the Client Key, the Client Secret and the expiration date of the Integration Access in Qmlativ"
)


@pytest.mark.parametrize("status", [401, 403])
def test_a_fresh_token_that_is_refused_costs_two_token_calls_at_most(published, fails, status):
    published.source.faults.add(kind="metadata", status=status, body='{"Message": "Token has expired"}')
    fails(f"GetSystemMetadata: Qmlativ refuses a token it has just issued. To do: {NEXT_STEP}")
    assert published.source.traffic.token_calls == 2


@pytest.mark.parametrize(
    "changed",
    [{"remove": ["expires_in"]}, {"set": {"expires_in": 0}}, {"set": {"expires_in": "soon"}}],
    ids=["absent", "zero", "text"],
)
def test_a_token_of_unknown_lifetime_is_used_until_it_is_refused(published, tonight, changed):
    published.source.faults.add(kind="token", **changed)
    published.source.faults.add(kind="list", object=ENTRIES, nth=2, expire_tokens=True)
    assert tonight().returncode == 0
    assert published.source.traffic.token_calls == 2


def test_tokens_that_expire_all_the_time_change_nothing(published, tonight):
    assert tonight().returncode == 0
    before = published.pipeline.published()
    published.limits["connections"] = (
        1  # else a new token may run out before whoever asked for it has used it
    )
    expiries = [
        published.source.faults.add(kind="list", nth=nth, expire_tokens=True) for nth in range(3, 30, 3)
    ]
    assert tonight().returncode == 0
    assert published.pipeline.published() == before
    assert [one.applied for one in expiries] == [1] * 9
    assert published.source.traffic.token_calls == 2 + 9


def test_a_server_that_forgets_its_tokens_changes_nothing(published, tonight):
    assert tonight().returncode == 0
    before = published.pipeline.published()
    published.limits["connections"] = 1
    published.source.traffic.clear()
    published.source.faults.add(kind="list", object=ENTRIES, nth=2, forget_tokens=True)
    assert tonight().returncode == 0
    assert published.pipeline.published() == before
    assert published.source.traffic.token_calls == 2


def test_a_server_that_takes_credentials_only_as_http_basic_is_read(published, tonight, ask):
    published.district.client_auth = "basic"
    assert tonight().returncode == 0
    assert "accepted as HTTP Basic" in ask("districts", "verify", OURS).stdout
    published.district.client_auth = "form"
    assert "accepted in the form" in ask("districts", "verify", OURS).stdout


def test_a_firewall_in_front_of_qmlativ_is_named_as_that(published, fails):
    published.source.faults.add(
        kind="list",
        object=ENTRIES,
        status=403,
        body="<html><title>Request Rejected</title></html>",
        headers={"Content-Type": "text/html"},
    )
    line = fails(", page 1: a firewall in front of Qmlativ refuses the request (HTTP 403 with a web page)")
    assert "grant" not in line


def test_a_wrong_secret_is_tried_once_each_way_and_says_what_to_check(published, fails):
    published.district.client_secret = "another"
    fails(f"token: Qmlativ does not accept the credentials (HTTP 401). To do: {NEXT_STEP}")
    assert published.source.traffic.token_calls == 2  # the form, and HTTP Basic


def test_another_districts_credentials_are_noticed_before_any_student_is_read(published, fails):
    published.district.code, published.district.name = "999999", "Elsewhere ISD"
    fails(
        "these credentials belong to another district, Elsewhere ISD (999999)",
        "no student was read. To do: check API Base URL, Client Key and Client Secret",
    )
    assert not published.source.traffic.requests(kind="list")


def denied(published, *fields: str, **rule) -> None:
    """Withdraw these grants when a request comes that the rule matches."""
    published.source.faults.add(nth=1, run=lambda made: made.denied_fields.update(fields), **rule)


def test_a_field_that_is_withdrawn_in_mid_read_is_named(published, fails):
    denied(published, f"{ENTRIES}.StartDate", kind="list", object=ENTRIES, page=2)
    published.limits["connections"] = 1
    fails(
        f"{ENTRIES}?SchoolYearID=",
        ", page 2: the field StartDate is not granted. To do: grant it in the Integration",
    )


def test_a_field_that_is_not_granted_any_more_is_named_before_any_student_is_read(published, fails):
    denied(published, f"{STUDENTS}.StudentNumber", kind="metadata")
    fails(f"{READING}{STUDENTS}: the field StudentNumber is not granted. To do: grant it in")
    asked = {entry.object for entry in published.source.traffic.requests(kind="list")}
    assert asked <= {"District/SchoolYear", "District/Entity"}


def test_an_object_that_is_not_granted_any_more_is_named(published, fails):
    denied(published, "Family/StudentGuardian", kind="metadata")
    fails("Family/StudentGuardian, description: not available to this Integration Access (HTTP 403). To do: ")


def test_an_entity_that_is_withdrawn_is_named(published, fails):
    entity = published.district.entity_id
    published.limits["connections"] = 1  # so that the request in which it happens is the first to be refused
    published.source.faults.add(
        kind="list", object=ENTRIES, page=2, nth=1, run=lambda made: made.denied_entities.add(entity)
    )
    fails(", page 2: the district's entity is not granted. To do: add it to the Custom API Entities")
