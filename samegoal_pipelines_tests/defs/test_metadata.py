"""What the UI shows of a district's snapshots: tonight's statuses, and the last nights."""

from datetime import date, timedelta
from itertools import count
from types import SimpleNamespace

from samegoal_pipelines.defs.metadata import NIGHTS_SHOWN, nights_table, status_table

FIRST = date(2026, 9, 1)
COUNTS = {"students": 1_140, "enrolled": 1_000, "pre_enrolled": 20, "graduated": 70, "inactive": 50}
_ids = count(1)


def snapshot(days: int = 0, state: str = "published", **counts: int | None) -> SimpleNamespace:
    when = {"snapshot_date": FIRST + timedelta(days=days), "snapshot_id": next(_ids)}
    return SimpleNamespace(**when, state=state, **COUNTS | counts)


def rows(value) -> list[tuple]:
    return [tuple(record.data.values()) for record in value.records]


def test_the_table_shows_each_status_and_its_change_since_the_snapshot_before():
    value = status_table(snapshot(enrolled=1_003, inactive=48), snapshot())
    assert rows(value) == [
        ("ENROLLED", "1,003", "1,000", "+3"),
        ("PRE-ENROLLED", "20", "20", "0"),
        ("GRADUATED", "70", "70", "0"),
        ("INACTIVE", "48", "50", "-2"),
        ("all students", "1,140", "1,140", "0"),
    ]
    assert [column.name for column in value.schema.columns] == ["status", "students", "before", "change"]
    assert rows(status_table(snapshot(), None))[0] == ("ENROLLED", "1,000", "–", "–")


def test_the_last_nights_are_listed_newest_first_with_what_became_of_each():
    failed = snapshot(2, "failed", **dict.fromkeys(COUNTS))
    shown = rows(nights_table([snapshot(0), snapshot(1, "held"), failed, snapshot(3)]))
    assert [row[:3] for row in shown] == [
        ("2026-09-04", "published", "1,140"),
        ("2026-09-03", "failed", "–"),
        ("2026-09-02", "held", "1,140"),
        ("2026-09-01", "published", "1,140"),
    ]
    assert len(rows(nights_table(snapshot(day) for day in range(100)))) == NIGHTS_SHOWN


def test_a_night_that_was_published_in_the_end_is_shown_as_published():
    attempts = [snapshot(state=state) for state in ("held", "published", "failed", "superseded")]
    assert [row[1] for row in rows(nights_table(attempts))] == ["published"]
