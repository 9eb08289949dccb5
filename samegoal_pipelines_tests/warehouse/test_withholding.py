"""What comes to be withheld on a night on which its student cannot be read."""

from collections.abc import Sequence
from datetime import date

import pytest
import sqlalchemy as sa

from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import SnapshotInProgressError, WarehouseError
from samegoal_pipelines.warehouse.snapshots import Snapshot
from samegoal_pipelines.warehouse.withholding import Hidden, hide_contacts, refuse_to_forget_restrictions
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    pairs,
    phones,
    publish_night,
    rows,
    snapshot,
    student,
)

HOME, CELL = "(512) 555-0101", "512-555-0102 x7"
PAT, KIM = {"has_restricted_access": False, "email": "pat@x.org"}, {"has_restricted_access": False}
ANA = student(1, parents={10: PAT, 11: KIM})
BEN = student(2, phone=HOME)


def publish_ana_unreadable(
    engine: sa.Engine,
    *restricted: int,
    confidential: Sequence[tuple[int | None, int | None, str]] = (),
    night: int = 1,
) -> Snapshot:
    """The second night: Ana keeps her rows, and of her parents and phones these are withheld."""
    return publish_night(
        engine,
        night,
        snapshot(BEN, carried_over=frozenset({1})),
        restricted=pairs(*((1, parent) for parent in restricted)),
        confidential=phones(*confidential),
    )


EMAILS = "select valid_from, valid_to, has_restricted_access, email from samegoal.parent_demographics_history"
EMAILS += " where parent_id = 10 order by 1"
CHANGES = "select student_id, change, changed_columns from samegoal.student_changes"
CHANGES += " where student_id = 1 and change <> 'added'"
PHONES = "select phone, home_phone, cell_phone, parent_id from samegoal.student_demographics as s "
PHONES += "left join samegoal.parent_demographics using (student_id) order by s.student_id, parent_id"
TONIGHT = date(2026, 9, 2)


def test_a_restriction_holds_as_of_its_night_and_a_rerun_adds_another_or_takes_it_back(warehouse):
    publish_night(warehouse, 0, snapshot(ANA, BEN))
    assert publish_ana_unreadable(warehouse, 10).changed == 1
    assert rows(warehouse, EMAILS) == [(NIGHT, TONIGHT, False, "pat@x.org"), (TONIGHT, None, True, None)]
    assert rows(warehouse, CHANGES) == [(1, "parents", ["parents.has_restricted_access", "parents.email"])]

    assert publish_ana_unreadable(warehouse, 10, 11).changed == 1
    restricted = "select parent_id from samegoal.parent_demographics where has_restricted_access"
    assert sorted(rows(warehouse, restricted)) == [(10,), (11,)]

    assert publish_night(warehouse, 1, snapshot(ANA, BEN)).changed == 1
    assert rows(warehouse, EMAILS) == [(NIGHT, None, False, "pat@x.org")]
    assert rows(warehouse, restricted) == []


@pytest.fixture
def phoned(warehouse: sa.Engine) -> sa.Engine:
    """Ana and her two parents share a number; Ben has it as well and can be read."""
    pat, kim = {"home_phone": HOME, "cell_phone": CELL}, {"home_phone": HOME}
    ana = student(1, phone=HOME, parents={10: pat, 11: kim})
    publish_night(warehouse, 0, snapshot(ana, BEN))
    return warehouse


def test_a_parent_s_number_that_has_become_confidential_goes_whatever_its_form(phoned):
    confidential = [(None, 10, "5125550102")]
    assert publish_ana_unreadable(phoned, confidential=confidential).changed == 1
    assert rows(phoned, PHONES)[:2] == [(HOME, HOME, None, 10), (HOME, HOME, None, 11)]
    assert rows(phoned, CHANGES) == [(1, "parents", ["parents.cell_phone"])]
    assert publish_ana_unreadable(phoned, confidential=confidential, night=2).changed == 0
    publish_ana_unreadable(phoned, confidential=[(None, 10, "")], night=3)  # one that nobody can read
    assert rows(phoned, PHONES)[:2] == [(HOME, None, None, 10), (HOME, HOME, None, 11)]


@pytest.mark.parametrize(
    "published", ["+1 512-555-0102", "512-555-0102 ext. 4", "Cell 512.555.0102", "555-0102"]
)
def test_a_number_that_has_become_confidential_goes_however_it_was_published(warehouse, published):
    ana = student(1, phone=published, parents={10: {"cell_phone": published, "home_phone": HOME}})
    publish_night(warehouse, 0, snapshot(ana, BEN))
    publish_ana_unreadable(warehouse, confidential=[(None, 10, "5125550102"), (1, None, "5125550102")])
    assert rows(warehouse, PHONES)[0] == (None, HOME, None, 10)


def test_a_number_is_confidential_for_its_own_person_only(phoned):
    publish_ana_unreadable(phoned, confidential=[(None, 11, "5125550101"), (2, None, "5125550101")])
    assert rows(phoned, PHONES) == [
        (HOME, HOME, CELL, 10),
        (HOME, None, None, 11),
        (HOME, None, None, None),  # Ben's row is tonight's, and shows what it may
    ]
    publish_ana_unreadable(phoned, confidential=[(1, None, "5125550101")], night=2)
    assert rows(phoned, PHONES)[:2] == [(None, HOME, CELL, 10), (None, None, None, 11)]


def test_a_rerun_of_the_night_may_withhold_more_of_the_same_student(phoned):
    """Nothing of the snapshot itself differs; what the night says of the student is still one change."""
    first = publish_ana_unreadable(phoned, confidential=[(None, 10, "5125550102")])
    again = publish_ana_unreadable(
        phoned, 11, confidential=[(None, 10, "5125550102"), (None, 10, "5125550101"), (1, None, "5125550101")]
    )
    assert again.changed == first.changed
    assert rows(phoned, PHONES)[:2] == [(None, None, None, 10), (None, None, None, 11)]
    hidden = ["parents.cell_phone", "phone", "parents.home_phone", "parents.has_restricted_access"]
    assert rows(phoned, CHANGES) == [(1, "demographics", hidden)]


def test_hiding_waits_for_a_first_publication_that_is_being_written(warehouse, monkeypatch):
    """Nothing is published yet, but what the other run is writing shows contacts."""
    with as_writer(warehouse, "grand-bend", "publishing") as connection:
        warehouse_engine.lock(connection, "grand-bend")
        monkeypatch.setattr(warehouse_engine, "LOCK_SECONDS", 1)
        with pytest.raises(SnapshotInProgressError):
            hide_contacts(warehouse, "grand-bend", restricted=True)
    assert hide_contacts(warehouse, "grand-bend", restricted=True) == Hidden()


def test_every_phone_is_hidden_if_a_night_was_published_after_its_confidential_numbers_were_read(phoned):
    tonight = publish_night(phoned, 1, snapshot(student(1, phone=HOME), student(2, phone=CELL)))
    hidden = hide_contacts(phoned, "grand-bend", confidential={tonight.snapshot_id - 1: phones()})
    assert hidden.phones == 2
    assert rows(phoned, "select phone from samegoal.student_demographics") == [(None,), (None,)]


def test_what_is_hidden_later_leaves_a_new_student_and_a_new_status_on_record(phoned):
    """The night's change says more than that a phone is gone, and its old and new status are counted."""
    recorded = "select snapshot_date, student_id, change, old_status, new_status, changed_columns"
    recorded += " from samegoal.student_changes order by snapshot_date, student_id"
    before = rows(phoned, recorded)
    assert hide_contacts(phoned, "grand-bend", confidential={}) == Hidden(phones=5, rows=4)
    assert rows(phoned, recorded) == before
    publish_night(phoned, 1, snapshot(student(1, phone=HOME, status="INACTIVE"), BEN))
    before = rows(phoned, recorded)
    assert [change for _, _, change, *_ in before] == ["added", "added", "status", "demographics"]
    assert hide_contacts(phoned, "grand-bend", confidential={}) == Hidden(phones=2, rows=2)
    assert rows(phoned, recorded) == before


def test_a_district_that_ever_said_who_is_restricted_must_go_on_saying_so(warehouse):
    """Even if nobody was, and nothing of it is published any more. Another district's flags do not count."""
    publish_night(warehouse, 0, snapshot(student(1, parents={10: {}})))
    publish_night(warehouse, 0, snapshot(ANA), district_id="riverside")
    refuse_to_forget_restrictions(warehouse, "grand-bend")
    publish_night(warehouse, 1, snapshot(ANA))
    publish_night(warehouse, 2, snapshot(BEN))
    with pytest.raises(WarehouseError, match=r"RestrictedAccess of .* is no longer granted"):
        refuse_to_forget_restrictions(warehouse, "grand-bend")
