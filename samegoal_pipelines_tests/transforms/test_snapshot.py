"""The whole way of a night at once: what it counts and explains beside the tables.

That its tables are those that the assets publish is tested where there are assets (defs).
"""

from datetime import date

import pyarrow as pa
import pytest

from samegoal_pipelines.transforms.snapshot import compute_night
from samegoal_pipelines.transforms.withholding import (
    CONFIDENTIAL_PHONES_SHOWN,
    RESTRICTED_CONTACTS_SHOWN,
    Withholding,
)
from samegoal_pipelines_tests.transforms import builders
from samegoal_pipelines_tests.transforms.builders import entry

TODAY = date(2026, 10, 12)


def test_students_agree_in_all_tables_and_whoever_has_no_row_is_carried_over_or_explained():
    cecs = entry(4, "2026-08-12", "2026-09-30", "CECS", student=4)
    entries = [
        entry(1, "2026-08-12", student=1),
        entry(2, None, student=2),
        entry(3, "2026-09-01", "2026-08-31", student=3),
        cecs,
        cecs,
        entry(5, "2026-08-12", student=5),
    ]
    records = [{"StudentID": 1, "NameID": 10, "StudentNumber": "00123", "SchoolYearIDAsked": 2027}]
    guardians = [{"StudentGuardianID": n, "StudentID": n, "NameIDGuardian": 11} for n in (1, 5)]
    parents = {"StudentGuardian": guardians, "Name": [{"NameID": 11}]}
    phones = [
        [
            {
                "NamePhoneID": person,
                "NameID": person,
                "PhoneNumber": f"51255501{person}",
                "IsConfidential": True,
            }
        ]
        for person in (10, 11)
    ]
    reads = builders.reads("StudentGuardian", ["HasActiveRestrictedAccess"])

    computed = compute_night(
        builders.enrollments(entries, TODAY),
        builders.raw("raw_students", {"Student": records, "Name": [{"NameID": 10}], "NamePhone": phones[0]}),
        builders.raw("raw_parents", parents | {"NamePhone": phones[1]}) | {"Reads": reads},
        TODAY,
        withholding=Withholding(),
    )

    for frame in computed.published().values():
        assert frame[["student_id", "student_number"]].values.tolist() == [[1, "00123"]]
    assert computed.carried_over == {2, 5}, "in doubt, or without a record"
    assert list(computed.confidential["digits"].unique()) == ["5125550110", "5125550111"]
    assert (computed.enrollment_rows, computed.quarantined) == (5, 1)
    assert computed.absent.to_dict("list") == {
        "student_id": [2, 3, 4],
        "why": ["rows unreadable", "never effective only", "CECS only"],
    }
    assert [kind.pyarrow_dtype for kind in computed.absent.dtypes] == [pa.int64(), pa.string()]


@pytest.mark.parametrize(
    ("switch", "note"),
    [
        ("show_restricted_contacts", RESTRICTED_CONTACTS_SHOWN),
        ("show_confidential_phones", CONFIDENTIAL_PHONES_SHOWN),
    ],
)
def test_a_night_says_which_contacts_it_shows(switch, note):
    """It is not published once the district withholds these, and only these."""
    reads = builders.reads("StudentGuardian", ["HasActiveRestrictedAccess"])
    shows = Withholding(**{switch: True})
    computed = compute_night(
        builders.enrollments([entry(1, "2026-08-12")], TODAY),
        builders.raw("raw_students", {}),
        builders.raw("raw_parents", {}) | {"Reads": reads},
        TODAY,
        withholding=shows,
    )
    assert (computed.shows, computed.notes[:1]) == (shows, (note,))
