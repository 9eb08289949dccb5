"""Whose contacts a district publishes, night by night: by default nobody's that are withheld."""

from datetime import date

import pytest

from samegoal_pipelines.cli.nights import line
from samegoal_pipelines.defs import op_jobs, published
from samegoal_pipelines.defs.errors import RunFailedError
from samegoal_pipelines.operations.runs import run_replay
from samegoal_pipelines.transforms.withholding import (
    CONFIDENTIAL_PHONES_SHOWN,
    RESTRICTED_CONTACTS_SHOWN,
    RESTRICTION_NOT_KNOWN,
)
from samegoal_pipelines.warehouse.publishing import publish_or_hold
from samegoal_pipelines.warehouse.replay import replay as warehouse_replay
from samegoal_pipelines_tests.mass_changes import ENTRIES, TOMORROW, change
from samegoal_pipelines_tests.pipeline import TODAY

ENROLLED = {"StudentID": 11, "StartDate": "2026-08-12"}
TWO = [ENROLLED, {**ENROLLED, "StudentID": 12}]
DAY_AFTER = date(2026, 10, 14)
PARENTS = "select has_restricted_access, email from samegoal.parent_demographics"
RESTRICTION = "Family/StudentGuardian.HasActiveRestrictedAccess"
HOME, CELL = 1, 2
PHONES = "select phone, home_phone, cell_phone from samegoal.student_demographics "
PHONES += "join samegoal.parent_demographics using (district_id, student_id)"


def phone(key: int, person: int, kind: int, number: str, confidential: bool | None = False) -> dict:
    fields = {"PhoneTypeID": kind, "PhoneNumber": number, "IsConfidential": confidential}
    return {"NamePhoneID": key, "NameID": person, "Rank": key, **fields}


FAMILY = {
    "Family/StudentGuardian": [
        {"StudentGuardianID": 1, "StudentID": 11, "NameIDGuardian": 77, "HasActiveRestrictedAccess": True}
    ],
    "Demographics/Name": [
        {"NameID": 1_000_011, "LastName": "Young", "IsStudentName": True, "IsGuardianName": False},
        {"NameID": 1_000_012, "LastName": "Ortiz", "IsStudentName": True, "IsGuardianName": False},
        {"NameID": 77, "LastName": "Young", "IsStudentName": False, "IsGuardianName": True},
    ],
    "Demographics/NameEmail": [{"NameEmailID": 1, "NameID": 77, "EmailAddress": "pat@example.org"}],
    "Demographics/NamePhone": [
        phone(1, 1_000_011, HOME, "5125550101"),
        phone(2, 77, HOME, "5125550101"),
        phone(3, 77, CELL, "5125550102"),
    ],
}


@pytest.fixture
def made(pipeline, district):
    """A student whose only parent is under restriction, nothing of them confidential; and another student."""
    made = district(TWO, rows=FAMILY)
    pipeline.add(made)
    return made


def notes(pipeline) -> list[str]:
    """What the newest snapshot notes."""
    return pipeline.rows("select notes from samegoal.snapshots order by snapshot_id desc limit 1")[0][0]


def let_the_gate_hold(deployment, made) -> None:
    """Make both students unreadable, which tonight's limit does not allow."""
    change(made, {11, 12}, WithdrawalCodeID=424242)
    deployment.registry.set("grand-bend", gate_limits={"quarantined": 0})


def test_a_switch_that_is_taken_back_reaches_a_student_who_is_unreadable_tonight(pipeline, deployment, made):
    deployment.registry.set("grand-bend", show_restricted_contacts=True)
    assert pipeline.run().published
    made.edit(ENTRIES, 1, WithdrawalCodeID=424242)
    deployment.registry.set("grand-bend", show_restricted_contacts=False)
    night = pipeline.run(today=TOMORROW)
    assert night.carried_over == 1
    assert pipeline.rows(PARENTS) == [(True, None)]


@pytest.mark.parametrize(
    ("granted", "family", "parents"),
    [(False, FAMILY, [(None, "pat@example.org")]), (False, {}, []), (True, {}, [])],
)
def test_a_restriction_that_is_not_granted_is_noted_once(pipeline, district, granted, family, parents):
    """Even without a parent: what a release may show depends on the note, and no row is not the grant."""
    made = district([ENROLLED], rows=family)
    if not granted:
        made.denied_fields.add(RESTRICTION)
    pipeline.add(made)
    assert pipeline.run().published
    assert pipeline.rows(PARENTS) == parents
    assert notes(pipeline) == ([] if granted else [RESTRICTION_NOT_KNOWN])


def test_a_lost_grant_passes_only_where_restricted_contacts_are_shown(pipeline, deployment, made):
    assert pipeline.run().published
    made.denied_fields.add(RESTRICTION)
    for _ in range(2):  # the failed night is not taken for last night's reading
        refused = pipeline.run(today=TOMORROW)
        assert refused.failed
        assert "grant it again" in line(refused)
        assert "districts set grand-bend --restricted-contacts show" in (refused.to_do or "")
        assert pipeline.rows(PARENTS) == [(True, None)]

    deployment.registry.set("grand-bend", show_restricted_contacts=True)
    assert pipeline.run(today=TOMORROW).published
    assert pipeline.rows(PARENTS) == [(None, "pat@example.org")]
    assert notes(pipeline) == [RESTRICTION_NOT_KNOWN]

    # Who was under restriction is not forgotten because it was shown.
    deployment.registry.set("grand-bend", show_restricted_contacts=False)
    refused = pipeline.run(today=DAY_AFTER)
    assert refused.failed
    field = "the field HasActiveRestrictedAccess of Family/StudentGuardian"
    assert f"{field} is no longer granted" in line(refused)


@pytest.fixture
def unrestricted(made):
    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=False)
    return made


def test_a_newly_confidential_phone_goes_from_an_unreadable_student(pipeline, deployment, unrestricted):
    assert pipeline.run().published
    shown = ("5125550101", "5125550101", "5125550102")
    assert pipeline.rows(PHONES) == [shown]
    for key in (1, 3):
        unrestricted.edit("Demographics/NamePhone", key, IsConfidential=True)
    unrestricted.edit(ENTRIES, 1, WithdrawalCodeID=424242)

    deployment.registry.set("grand-bend", show_confidential_phones=True)
    night = pipeline.run(today=TOMORROW)
    assert (night.published, night.carried_over, night.changed) == (True, 1, 0)
    assert pipeline.rows(PHONES) == [shown]

    deployment.registry.set("grand-bend", show_confidential_phones=False)
    night = pipeline.run(today=DAY_AFTER)
    assert (night.published, night.carried_over, night.changed) == (True, 1, 1)
    assert pipeline.rows(PHONES) == [(None, "5125550101", None)]
    changes = "select change, changed_columns from samegoal.student_changes where snapshot_date > :day"
    assert pipeline.rows(changes, day=TODAY) == [("demographics", ["phone", "parents.cell_phone"])]


def test_a_flag_that_is_null_in_every_row_fails_the_night_and_hides_nothing(pipeline, deployment, made):
    """Even if the gate would hold this night: what a held night hides is hidden at once."""
    second = {"StudentGuardianID": 2, "StudentID": 12, "HasActiveRestrictedAccess": False}
    made.add_row("Family/StudentGuardian", NameIDGuardian=77, **second)
    assert pipeline.run().published
    before = pipeline.published()
    let_the_gate_hold(deployment, made)
    for flag in (RESTRICTION, "Demographics/NamePhone.IsConfidential"):
        qmlativ_object, _, field = flag.partition(".")
        rows = made.rows(qmlativ_object)
        made.replace_rows(qmlativ_object, [row | {field: None} for row in rows])

        failed = pipeline.run(today=TOMORROW)

        assert not failed.published
        assert f"{qmlativ_object}: the field {field} is null in all" in failed.reason
        assert "grant it in the Integration Access" in failed.next_step
        assert pipeline.published() == before
        made.replace_rows(qmlativ_object, rows)


def test_a_new_restriction_reaches_a_student_who_is_unreadable_tonight(pipeline, unrestricted):
    """Keeping what was last published must not keep an address that a court has closed since."""
    made = unrestricted
    assert pipeline.run().published
    assert pipeline.rows(PARENTS) == [(False, "pat@example.org")]

    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=True)
    made.edit(ENTRIES, 1, WithdrawalCodeID=424242)
    night = pipeline.run(today=TOMORROW)

    assert night.published, night.reason
    assert (night.carried_over, night.changed) == (1, 1)
    assert pipeline.rows(PARENTS) == [(True, None)]
    shown = "select valid_to from samegoal.parent_demographics_history where email is not null"
    assert pipeline.rows(shown) == [(TOMORROW,)]
    changes = "select student_id, change from samegoal.student_changes where snapshot_date = :night"
    assert pipeline.rows(changes, night=TOMORROW) == [(11, "parents")]

    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=False)
    made.edit(ENTRIES, 1, WithdrawalCodeID=None)
    assert pipeline.run(today=DAY_AFTER).published
    assert pipeline.rows(PARENTS) == [(False, "pat@example.org")]


def test_a_granted_flag_that_comes_in_no_row_counts_as_restricted(pipeline, made, source):
    field = ["HasActiveRestrictedAccess"]
    source.faults.add(object="Family/StudentGuardian", kind="list", remove_fields=field)
    assert pipeline.run().published
    assert pipeline.rows(PARENTS) == [(True, None)]


# -- a switch to withhold holds from the moment it is set --


@pytest.fixture
def showing(pipeline, deployment, made):
    """A district that has published restricted contacts and confidential phones."""
    for key in (1, 3):
        made.edit("Demographics/NamePhone", key, IsConfidential=True)
    deployment.registry.set("grand-bend", show_restricted_contacts=True, show_confidential_phones=True)
    assert pipeline.run().published
    assert pipeline.rows(PHONES) == [("5125550101", "5125550101", "5125550102")]
    assert pipeline.rows(PARENTS) == [(True, "pat@example.org")]
    assert notes(pipeline) == [RESTRICTED_CONTACTS_SHOWN, CONFIDENTIAL_PHONES_SHOWN]
    return made


def test_setting_a_switch_to_withhold_hides_what_it_withholds_at_once(pipeline, showing, ask):
    assert ask("districts", "set", "grand-bend", "--confidential-phones", "withhold").ok
    assert pipeline.rows(PHONES) == [(None, "5125550101", None)]
    assert pipeline.rows(PARENTS) == [(True, "pat@example.org")]
    assert pipeline.run(today=TOMORROW).published
    assert pipeline.rows(PHONES) == [(None, "5125550101", None)]

    answered = ask("districts", "set", "grand-bend", "--restricted-contacts", "withhold").ok
    assert "removed from what is published: contacts of 1 restricted parent, 0 phones" in answered.stdout
    hidden = [(True, None)], [(None, None, None)]
    assert (pipeline.rows(PARENTS), pipeline.rows(PHONES)) == hidden
    assert pipeline.run(today=DAY_AFTER).published
    assert (pipeline.rows(PARENTS), pipeline.rows(PHONES)) == hidden
    assert notes(pipeline) == []


def test_a_held_night_that_does_not_know_who_is_restricted_is_not_released_once_they_are_withheld(
    pipeline, deployment, made
):
    assert pipeline.run().published
    made.denied_fields.add(RESTRICTION)
    made.add_row(ENTRIES, **made.rows(ENTRIES)[1] | {"EntryWithdrawalID": 3})
    change(made, {12}, WithdrawalCodeID=424242)  # the gate holds the night for these two rows
    deployment.registry.set("grand-bend", show_restricted_contacts=True, gate_limits={"quarantined": 0})
    assert pipeline.run(today=TOMORROW).held
    deployment.registry.set("grand-bend", show_restricted_contacts=False)
    with pytest.raises(RunFailedError, match="nobody can tell which parents are under restriction"):
        pipeline.release(today=TOMORROW)
    assert pipeline.rows(PARENTS) == [(True, None)]


def test_where_nobody_can_tell_who_is_restricted_all_is_hidden(pipeline, deployment, made, ask):
    deployment.registry.set("grand-bend", show_restricted_contacts=True)
    made.denied_fields.add(RESTRICTION)
    assert pipeline.run().published
    assert pipeline.rows(PARENTS) == [(None, "pat@example.org")]

    assert ask("districts", "set", "grand-bend", "--restricted-contacts", "withhold").ok

    assert pipeline.rows(PARENTS) == [(None, None)]
    run_replay(deployment, "grand-bend", first=TODAY, dry_run=False)
    assert pipeline.rows(PARENTS) == [(None, None)]
    made.denied_fields.clear()
    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=False)
    assert pipeline.run(today=TOMORROW).published
    assert pipeline.rows(PARENTS) == [(False, "pat@example.org")]


def test_where_nobody_can_tell_what_is_confidential_all_is_hidden(pipeline, deployment, showing, ask):
    deployment.landing.erase("grand-bend")
    assert ask("districts", "set", "grand-bend", "--confidential-phones", "withhold").ok
    assert pipeline.rows(PHONES) == [(None, None, None)]
    assert pipeline.run(today=TOMORROW).published
    assert pipeline.rows(PHONES) == [(None, "5125550101", None)]


def test_what_was_under_way_at_a_switch_is_not_published(pipeline, deployment, showing, monkeypatch):
    before = pipeline.published()

    def when(publish, switch):
        """`publish`, but the switch is set in the last moment."""

        def set_and_publish(*arguments, **named):
            deployment.registry.set("grand-bend", **{switch: False})
            return publish(*arguments, **named)

        deployment.registry.set("grand-bend", **{switch: True})
        return set_and_publish

    for switch in ("show_restricted_contacts", "show_confidential_phones"):
        monkeypatch.setattr(published, "publish_or_hold", when(publish_or_hold, switch))
        refused = pipeline.run(today=TOMORROW)
        assert not refused.published
        assert "has been set to withhold since it was made; nothing of it was published" in refused.reason
        assert pipeline.published() == before
        deployment.registry.set("grand-bend", **{switch: True})

    monkeypatch.setattr(op_jobs, "replay", when(warehouse_replay, "show_restricted_contacts"))
    with pytest.raises(RunFailedError, match="shows contacts that the district has been set to"):
        run_replay(deployment, "grand-bend", first=TODAY, dry_run=False)
    assert pipeline.published() == before


def test_what_a_held_night_hides_stays_hidden_when_the_published_night_is_replayed(
    pipeline, deployment, unrestricted
):
    """The landed rows of the published night do not say yet that the parent is restricted."""
    assert pipeline.run().published
    unrestricted.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=True)
    unrestricted.edit("Demographics/NamePhone", 1, IsConfidential=None)
    let_the_gate_hold(deployment, unrestricted)
    reason = pipeline.run(today=TOMORROW).reason
    assert "removed from the published rows: the contacts of 1 newly restricted parent" in reason
    assert "removed from the published rows: 1 newly confidential phone" in reason
    hidden = [(True, None)], [(None, None, None)]
    assert (pipeline.rows(PARENTS), pipeline.rows(PHONES)) == hidden
    run_replay(deployment, "grand-bend", first=TODAY, dry_run=False)
    assert (pipeline.rows(PARENTS), pipeline.rows(PHONES)) == hidden
