"""Which model checks which raw table: raw asset → Qmlativ object → model.

Here: the table of tables. Not here: the models (`raw_enrollments`, `raw_people`).
"""

from samegoal_pipelines.schemas import raw_enrollments as enrollments
from samegoal_pipelines.schemas import raw_people as people
from samegoal_pipelines.schemas.raw_enrollments import RawObject

_WHEREABOUTS: dict[str, type[RawObject]] = {
    "NameSuffix": people.NameSuffix,
    "NameAddress": people.NameAddress,
    "Address": people.Address,
    "Zip": people.Zip,
    "County": people.County,
    "State": people.State,
    "NamePhone": people.NamePhone,
    "PhoneType": people.PhoneType,
    "NameEmail": people.NameEmail,
}

RAW_MODELS: dict[str, dict[str, type[RawObject]]] = {
    "raw_enrollments": {
        "SchoolYear": enrollments.SchoolYear,
        "Entity": enrollments.Entity,
        "EntryWithdrawal": enrollments.EntryWithdrawal,
        "WithdrawalCode": enrollments.WithdrawalCode,
        "School": enrollments.School,
    },
    "raw_students": {
        "Student": people.Student,
        "Name": people.StudentName,
        **_WHEREABOUTS,
        "Language": people.Language,
    },
    "raw_parents": {
        "StudentGuardian": people.StudentGuardian,
        "Name": people.GuardianName,
        "Relationship": people.Relationship,
        **_WHEREABOUTS,
    },
}
