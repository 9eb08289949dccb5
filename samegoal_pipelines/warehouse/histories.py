"""The history: what was published, from which night to which. One type-2 table each for status and people.

Here: which columns they have, and what a row's key is. How they are written is `writing`'s; every other table
is in `tables`, through which these are imported, so that the metadata is never in part.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from samegoal_pipelines.tables.vocabulary import STATUSES
from samegoal_pipelines.warehouse.columns import SCHEMA, day, district, flag, integer, metadata, one_of, text


@dataclass(frozen=True)
class History:
    """One type-2 table: what it holds per key, and where it lies.

    `key` identifies a row within a district; `columns` is everything a snapshot says, key included, in order.
    """

    table: sa.Table
    key: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """The table's name with its schema, for SQL that is put together by hand."""
        return f"{SCHEMA}.{self.table.name}"

    @property
    def loaded(self) -> tuple[str, ...]:
        """The columns that a new row is loaded with."""
        return ("district_id", *self.columns, "valid_from", "row_hash")


def _history(name: str, comment: str, key: tuple[str, ...], *columns: sa.Column) -> History:
    table = sa.Table(
        name,
        metadata,
        district(),
        *columns,
        sa.Column(
            "snapshot_date",
            sa.Date,
            sa.Computed("valid_from", persisted=True),
            comment="The night that wrote this row: valid_from",
        ),
        day("valid_from", "First night on which this was so", nullable=False),
        day("valid_to", "First night on which it was so no longer; null: it is so now"),
        sa.Column(
            "row_hash",
            sa.BigInteger,
            nullable=False,
            comment="Hash of what a snapshot says",
        ),
        sa.PrimaryKeyConstraint("district_id", *key, "valid_from"),
        sa.CheckConstraint("valid_to > valid_from", name="valid_to"),
        sa.Index(
            f"{name}_current_key",
            "district_id",
            *key,
            unique=True,
            postgresql_where=sa.text("valid_to is null"),
            postgresql_include=["row_hash"],
        ),
        *([one_of("status", STATUSES)] if "status" in {column.name for column in columns} else []),
        comment=comment,
    )
    return History(table, key, tuple(column.name for column in columns))


STATUS = _history(
    "student_status_history",
    "Which status each student had, from which night to which",
    ("student_id",),
    integer("student_id", "Qmlativ's StudentID", nullable=False),
    text("student_number", "Qmlativ's StudentNumber (SameGoal's Student Id), as it came"),
    text("status", "ENROLLED, PRE-ENROLLED, GRADUATED or INACTIVE", nullable=False),
    text("reason", "The rule that decided the status", nullable=False),
    integer("enrollment_id", "The enrollment that decided it: Qmlativ's EntryWithdrawalID"),
    day("first_day", "First day of that enrollment"),
    day("last_day", "Last day of that enrollment, inclusive; null: open"),
    text("withdrawal_code", "Withdrawal code of that enrollment"),
    integer("school_year_id", "School year of that enrollment"),
    integer("entity_id", "Entity of that enrollment"),
    text("building", "Name of that enrollment's school"),
    text("building_reporting_id", "The state's id of that school"),
)

STUDENTS = _history(
    "student_demographics_history",
    "Who each student is, from which night to which",
    ("student_id",),
    integer("student_id", "Qmlativ's StudentID", nullable=False),
    text("student_number", "Qmlativ's StudentNumber (SameGoal's Student Id), as it came"),
    text("student_reporting_id", "The state's id of the student"),
    text("first_name", "First name in use"),
    text("middle_name", "Middle name in use"),
    text("last_name", "Last name in use"),
    text("suffix", "Suffix of the name"),
    text("legal_first_name", "Legal first name"),
    text("legal_middle_name", "Legal middle name"),
    text("legal_last_name", "Legal last name"),
    day("birth_date", "Date of birth"),
    text("gender", "Gender, as Qmlativ has it"),
    text("grade", "Grade in the year of the deciding enrollment"),
    text("race", "Race, as Qmlativ has it"),
    flag("is_hispanic", "Hispanic or Latino; null: not known or not granted"),
    flag("is_white", "White; null: not known or not granted"),
    flag("is_black", "Black or African American; null: not known or not granted"),
    flag("is_asian", "Asian; null: not known or not granted"),
    flag("is_native_american", "American Indian or Alaska Native; null: not known or not granted"),
    flag("is_pacific_islander", "Native Hawaiian or other Pacific Islander; null: not known or not granted"),
    text("home_language", "Language spoken at home"),
    text("street", "Street and number, or PO Box"),
    text("city", "City"),
    text("state", "State"),
    text("zip", "ZIP code, with its four further digits where known"),
    text("county", "County"),
    text("phone", "The first phone that is not confidential"),
    text("email", "The first e-mail address"),
    text("building", "Name of the deciding enrollment's school"),
    text("building_reporting_id", "The state's id of that school"),
)

PARENTS = _history(
    "parent_demographics_history",
    "Who the parents of each student are, from which night to which; one row per student and parent",
    ("student_id", "parent_id"),
    integer("student_id", "Qmlativ's StudentID", nullable=False),
    text("student_number", "Qmlativ's StudentNumber (SameGoal's Student Id), as it came"),
    integer("parent_id", "Qmlativ's NameID of the guardian", nullable=False),
    text("relationship", "What the parent is to the student"),
    integer("rank", "Order among the student's parents"),
    text("first_name", "First name"),
    text("middle_name", "Middle name"),
    text("last_name", "Last name"),
    text("suffix", "Suffix of the name"),
    flag("is_custodial", "Custodial guardian"),
    flag("is_emergency_contact", "Emergency contact"),
    flag("has_restricted_access", "Active restricted access: contact columns are empty; null: not granted"),
    text("home_language", "Language spoken at home"),
    text("street", "Street and number, or PO Box"),
    text("city", "City"),
    text("state", "State"),
    text("zip", "ZIP code, with its four further digits where known"),
    text("home_phone", "Home phone"),
    text("cell_phone", "Cell phone"),
    text("work_phone", "Work phone"),
    text("email", "E-mail address"),
)

HISTORIES = (STATUS, STUDENTS, PARENTS)
