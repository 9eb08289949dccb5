"""The warehouse's tables, as SQLAlchemy Core metadata: what publishing and the registry read and write.

The database itself is made by the migrations, which hold their own copy of each table as it was then; a test
compares the two. The views that SameGoal reads are SQL and live there only. No query lives here.

Every table that holds a district's data begins with `district_id`, so that one rule can guard them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP

from samegoal_pipelines.schemas.vocabulary import DEPARTURES

SCHEMA = "samegoal"
STATUSES = ("ENROLLED", "PRE-ENROLLED", "GRADUATED", "INACTIVE")
STATES = ("published", "held", "failed", "superseded")
CHANGES = ("added", "status", "demographics", "parents", "removed")

metadata = sa.MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
    },
)


def _text(name: str, comment: str, nullable: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable, comment=comment)


def _integer(name: str, comment: str, nullable: bool = True) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, comment=comment)


def _flag(name: str, comment: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, comment=comment)


def _date(name: str, comment: str, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.Date, nullable=nullable, comment=comment)


def _moment(name: str, comment: str, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable, comment=comment)


def _now(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(
        name, TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now(), comment=comment
    )


def _district() -> sa.Column[str]:
    return _text("district_id", "The district, as registered", nullable=False)


def _one_of(column: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} in ({', '.join(repr(value) for value in values)})", name=column)


# -- the registry --

districts = sa.Table(
    "districts",
    metadata,
    _district(),
    _text("name", "The district's name, for people", nullable=False),
    _text("base_url", "Qmlativ's API Base URL, without a slash at its end", nullable=False),
    _text("token_url", "Where tokens come from, if not {base_url}/oauth/token"),
    _integer("entity_id", "Qmlativ entity to read through, if not the district's own"),
    _text("timezone", "IANA time zone that decides the district's date", nullable=False),
    _date("expires", "Last day of the Integration Access in Qmlativ"),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true(), comment="Runs by schedule"),
    _text("source_host", "Host of base_url: what limits simultaneous runs", nullable=False),
    _integer("qmlativ_district_id", "Qmlativ's DistrictID, remembered at the first contact"),
    _integer("qmlativ_entity_id", "The EntityID that was read at the first contact"),
    _text("qmlativ_code", "Qmlativ's code of the district, remembered at the first contact"),
    _text("qmlativ_name", "Qmlativ's name of the district, remembered at the first contact"),
    sa.Column(
        "registered_at",
        TIMESTAMP(timezone=True),
        nullable=False,
        server_default=sa.func.now(),
        comment="When the district was added",
    ),
    sa.Column(
        "gate_limits",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="Limits of the gate that differ from the usual ones, by name",
    ),
    sa.Column(
        "show_restricted_contacts",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="Publish contact data of parents under active restricted access; off unless set",
    ),
    sa.Column(
        "show_confidential_phones",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="Publish confidential phones; off unless set",
    ),
    sa.PrimaryKeyConstraint("district_id"),
    sa.CheckConstraint("district_id ~ '^[a-z0-9][a-z0-9-]{0,39}$'", name="district_id"),
    sa.Index(
        "districts_source_key", "base_url", "entity_id", unique=True, postgresql_nulls_not_distinct=True
    ),
    sa.Index(
        "districts_identity_key",
        "source_host",
        "qmlativ_district_id",
        "qmlativ_code",
        "qmlativ_entity_id",
        unique=True,
    ),
    comment="The registered districts, without their secrets",
)

district_credentials = sa.Table(
    "district_credentials",
    metadata,
    _district(),
    _text("client_key", "Client Key of the Integration Access", nullable=False),
    sa.Column(
        "sealed_secret", BYTEA, nullable=False, comment="Client Secret, sealed with SAMEGOAL_SECRET_KEY"
    ),
    _moment("sealed_at", "When the secret was last set", nullable=False),
    sa.PrimaryKeyConstraint("district_id"),
    sa.ForeignKeyConstraint(["district_id"], [districts.c.district_id], ondelete="CASCADE"),
    comment="What it takes to log in to each district's Qmlativ; nobody but the pipeline reads this",
)

# -- the nights --

snapshots = sa.Table(
    "snapshots",
    metadata,
    _district(),
    _date("snapshot_date", "The night: the district's local date of the run", nullable=False),
    _text("state", "published, held, failed, or superseded by a rerun of the same night", nullable=False),
    sa.Column("students", sa.Integer, comment="Students in the snapshot"),
    sa.Column("enrolled", sa.Integer, comment="Students with status ENROLLED"),
    sa.Column("pre_enrolled", sa.Integer, comment="Students with status PRE-ENROLLED"),
    sa.Column("graduated", sa.Integer, comment="Students with status GRADUATED"),
    sa.Column("inactive", sa.Integer, comment="Students with status INACTIVE"),
    sa.Column("added", sa.Integer, comment="Students that the night before did not have"),
    sa.Column("changed", sa.Integer, comment="Students of both nights with any change"),
    sa.Column("removed", sa.Integer, comment="Students that the night before had"),
    _text("held_reason", "Why it was held, or why it failed"),
    _text("run_id", "Dagster's id of the run", nullable=False),
    _moment("started_at", "When the run began", nullable=False),
    _moment("published_at", "When the snapshot became what SameGoal reads"),
    sa.Column(
        "snapshot_id",
        sa.BigInteger,
        sa.Identity(always=True),
        nullable=False,
        comment="Order in which the attempts were made",
    ),
    sa.Column(
        "kept", sa.Integer, comment="Students who kept their last published rows: not readable tonight"
    ),
    _text("landed_run_id", "The run whose landed rows the snapshot was made from"),
    sa.Column("enrollment_rows", sa.Integer, comment="Enrollment rows that Qmlativ gave"),
    sa.Column("set_aside", sa.Integer, comment="Of these, rows that could not be relied on"),
    sa.Column(
        "lost",
        sa.Integer,
        comment="Students last published as ENROLLED or PRE-ENROLLED who are so no longer",
    ),
    sa.Column(
        "lost_by_time",
        sa.Integer,
        comment="Of these, the ones whom passing time alone explains; null where it was not asked",
    ),
    sa.Column(
        "notes",
        ARRAY(sa.Text),
        nullable=False,
        server_default="{}",
        comment="What a reader of the snapshot should know, such as a field that is not granted",
    ),
    sa.Column("content_hash", BYTEA, comment="Hash of all that was to be published"),
    _integer("compared_with", "The snapshot_id that was current when this one was held"),
    sa.PrimaryKeyConstraint("snapshot_id"),
    _one_of("state", STATES),
    sa.Index("snapshots_snapshot_date_idx", "snapshot_date"),
    sa.Index("snapshots_run_key", "run_id", "district_id", unique=True),
    sa.Index(
        "snapshots_published_key",
        "district_id",
        "snapshot_date",
        unique=True,
        postgresql_where=sa.text("state = 'published'"),
    ),
    comment="One row per district and attempted snapshot",
)

current_snapshots = sa.Table(
    "current_snapshots",
    metadata,
    _district(),
    _date("snapshot_date", "The night that is current", nullable=False),
    _integer("snapshot_id", "Its row in snapshots", nullable=False),
    sa.Column(
        "content_hash", BYTEA, nullable=False, comment="Hash of all that was to be published that night"
    ),
    sa.PrimaryKeyConstraint("district_id"),
    comment="Which snapshot of each district the current views show: the last published one",
)

student_changes = sa.Table(
    "student_changes",
    metadata,
    _district(),
    _date("snapshot_date", "The night that brought the change", nullable=False),
    _integer("student_id", "Qmlativ's StudentID", nullable=False),
    _text("student_number", "Qmlativ's StudentNumber, as it came"),
    _text(
        "change",
        "The weightiest of: added, removed; else the table whose row changed: status, demographics, parents",
        nullable=False,
    ),
    _text("old_status", "Status the night before; null if added"),
    _text("new_status", "Status since; null if removed"),
    sa.Column(
        "changed_columns",
        ARRAY(sa.Text),
        nullable=False,
        comment="Names of the columns that changed; those of parents as parents.<column>, or "
        "parents alone for a parent who came or went",
    ),
    sa.PrimaryKeyConstraint("district_id", "snapshot_date", "student_id"),
    _one_of("change", CHANGES),
    comment="One row per student and night with a change",
)

releases = sa.Table(
    "releases",
    metadata,
    _district(),
    _integer("held_snapshot_id", "The held attempt in snapshots", nullable=False),
    _integer("published_snapshot_id", "The row of snapshots that its release wrote", nullable=False),
    _date("snapshot_date", "The night; the release holds for no other", nullable=False),
    _text("released_by", "Who released it, as configured", nullable=False),
    _text("reason", "Why, in that person's words", nullable=False),
    _now("released_at", "When"),
    sa.PrimaryKeyConstraint("held_snapshot_id"),
    comment="Held snapshots that a person has published",
)

departures = sa.Table(
    "departures",
    metadata,
    _district(),
    _date("snapshot_date", "The first night without the student", nullable=False),
    _integer("student_id", "Qmlativ's StudentID", nullable=False),
    _text("student_number", "Qmlativ's StudentNumber, as it was last published"),
    _text("last_status", "The status that was last published", nullable=False),
    _text("why", "What Qmlativ's enrollments of the student say that night", nullable=False),
    sa.PrimaryKeyConstraint("district_id", "snapshot_date", "student_id"),
    _one_of("last_status", STATUSES),
    _one_of("why", DEPARTURES),
    comment="The ageing-out ledger: one row per student and night on which the student left the "
    "published tables",
)

erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column(
        "erasure_id",
        sa.BigInteger,
        sa.Identity(always=True),
        nullable=False,
        comment="Order of the erasures",
    ),
    sa.Column(
        "district_id", sa.Text, nullable=False, index=True, comment="The district, as it was registered"
    ),
    _now("erased_at", "When its rows were erased"),
    _text("erased_by", "Who erased it, as configured", nullable=False),
    sa.Column("rows_erased", JSONB, nullable=False, comment="Rows erased, by table"),
    _integer("files_erased", "Landed files erased; null: the landing has yet to be emptied"),
    sa.PrimaryKeyConstraint("erasure_id"),
    comment="Which districts were erased, when, and how much; nothing about anybody in them",
)

# -- districts that are left out, and what people were told of --

pauses = sa.Table(
    "pauses",
    metadata,
    _district(),
    _date("paused_from", "First night that is left out, by the district's calendar", nullable=False),
    _date("paused_to", "Last night that is left out, by the district's calendar", nullable=False),
    _text("reason", "Why, in the words of whoever paused it"),
    _text("set_by", "Who paused it, as configured", nullable=False),
    _now("set_at", "When it was paused"),
    sa.PrimaryKeyConstraint("district_id"),
    sa.ForeignKeyConstraint(["district_id"], [districts.c.district_id], ondelete="CASCADE"),
    sa.CheckConstraint("paused_to >= paused_from", name="paused_to"),
    comment="Districts that the schedule leaves out for a while, such as over the summer",
)

alarms_sent = sa.Table(
    "alarms_sent",
    metadata,
    _date("night", "The night that it is about, by the districts' calendar", nullable=False),
    _moment(
        "deadline", "The moment at which the snapshots of these districts were to be there", nullable=False
    ),
    _text("channel", "How it was sent, such as email", nullable=False),
    sa.Column(
        "part",
        sa.Integer,
        nullable=False,
        comment="1: the look at the deadline; then every further message about trouble that came later",
    ),
    _moment("sent_at", "When it was sent", nullable=False),
    sa.Column(
        "districts",
        sa.Integer,
        nullable=False,
        comment="How many districts it named; 0: nothing was wrong, and nothing was sent",
    ),
    _text("digest", "What was told: a district and its state on each line", nullable=False),
    sa.PrimaryKeyConstraint("night", "deadline", "channel", "part"),
    comment="Which alarms went out through which channel, so that none goes out twice",
)

# -- what a registrar should look at --

registrar_worklist = sa.Table(
    "registrar_worklist",
    metadata,
    _district(),
    _date("snapshot_date", "The night that found it", nullable=False),
    _integer("student_id", "Qmlativ's StudentID; null where the enrollment has none"),
    _text("student_number", "Qmlativ's StudentNumber, as it came"),
    _text("building", "Name of the enrollment's school"),
    _text("building_reporting_id", "The state's id of that school"),
    _text("problem", "What is wrong, in a few words that are always the same", nullable=False),
    _integer("enrollment_id", "Qmlativ's EntryWithdrawalID; null where it was unreadable"),
    _text(
        "detail",
        "Days, codes and ids by which to find the enrollment, and what is odd about it",
        nullable=False,
    ),
    _text("fix", "The Qmlativ screen, and what to change there", nullable=False),
    sa.Column(
        "line",
        sa.Integer,
        nullable=False,
        comment="Order in which to work through the list: by school, problem and student",
    ),
    sa.PrimaryKeyConstraint("district_id", "line"),
    sa.Index(
        "registrar_worklist_problem_key",
        "district_id",
        "problem",
        "student_id",
        "enrollment_id",
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
    comment="What a registrar should look at in Qmlativ, as of the last published night; one row per "
    "student, enrollment and problem",
)

# -- the history --


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
        _district(),
        *columns,
        sa.Column(
            "snapshot_date",
            sa.Date,
            sa.Computed("valid_from", persisted=True),
            comment="The night that wrote this row: valid_from",
        ),
        _date("valid_from", "First night on which this was so", nullable=False),
        _date("valid_to", "First night on which it was so no longer; null: it is so now"),
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
        *([_one_of("status", STATUSES)] if "status" in {column.name for column in columns} else []),
        comment=comment,
    )
    return History(table, key, tuple(column.name for column in columns))


STATUS = _history(
    "student_status_history",
    "Which status each student had, from which night to which",
    ("student_id",),
    _integer("student_id", "Qmlativ's StudentID", nullable=False),
    _text("student_number", "Qmlativ's StudentNumber (SameGoal's Student Id), as it came"),
    _text("status", "ENROLLED, PRE-ENROLLED, GRADUATED or INACTIVE", nullable=False),
    _text("reason", "The rule that decided the status", nullable=False),
    _integer("enrollment_id", "The enrollment that decided it: Qmlativ's EntryWithdrawalID"),
    _date("first_day", "First day of that enrollment"),
    _date("last_day", "Last day of that enrollment, inclusive; null: open"),
    _text("withdrawal_code", "Withdrawal code of that enrollment"),
    _integer("school_year_id", "School year of that enrollment"),
    _integer("entity_id", "Entity of that enrollment"),
    _text("building", "Name of that enrollment's school"),
    _text("building_reporting_id", "The state's id of that school"),
)

STUDENTS = _history(
    "student_demographics_history",
    "Who each student is, from which night to which",
    ("student_id",),
    _integer("student_id", "Qmlativ's StudentID", nullable=False),
    _text("student_number", "Qmlativ's StudentNumber (SameGoal's Student Id), as it came"),
    _text("student_reporting_id", "The state's id of the student"),
    _text("first_name", "First name in use"),
    _text("middle_name", "Middle name in use"),
    _text("last_name", "Last name in use"),
    _text("suffix", "Suffix of the name"),
    _text("legal_first_name", "Legal first name"),
    _text("legal_middle_name", "Legal middle name"),
    _text("legal_last_name", "Legal last name"),
    _date("birth_date", "Date of birth"),
    _text("gender", "Gender, as Qmlativ has it"),
    _text("grade", "Grade in the year of the deciding enrollment"),
    _text("race", "Race, as Qmlativ has it"),
    _flag("is_hispanic", "Hispanic or Latino; null: not known or not granted"),
    _flag("is_white", "White; null: not known or not granted"),
    _flag("is_black", "Black or African American; null: not known or not granted"),
    _flag("is_asian", "Asian; null: not known or not granted"),
    _flag("is_native_american", "American Indian or Alaska Native; null: not known or not granted"),
    _flag("is_pacific_islander", "Native Hawaiian or other Pacific Islander; null: not known or not granted"),
    _text("home_language", "Language spoken at home"),
    _text("street", "Street and number, or PO Box"),
    _text("city", "City"),
    _text("state", "State"),
    _text("zip", "ZIP code, with its four further digits where known"),
    _text("county", "County"),
    _text("phone", "The first phone that is not confidential"),
    _text("email", "The first e-mail address"),
    _text("building", "Name of the deciding enrollment's school"),
    _text("building_reporting_id", "The state's id of that school"),
)

PARENTS = _history(
    "parent_demographics_history",
    "Who the parents of each student are, from which night to which; one row per student and parent",
    ("student_id", "parent_id"),
    _integer("student_id", "Qmlativ's StudentID", nullable=False),
    _text("student_number", "Qmlativ's StudentNumber (SameGoal's Student Id), as it came"),
    _integer("parent_id", "Qmlativ's NameID of the guardian", nullable=False),
    _text("relationship", "What the parent is to the student"),
    _integer("rank", "Order among the student's parents"),
    _text("first_name", "First name"),
    _text("middle_name", "Middle name"),
    _text("last_name", "Last name"),
    _text("suffix", "Suffix of the name"),
    _flag("is_custodial", "Custodial guardian"),
    _flag("is_emergency_contact", "Emergency contact"),
    _flag("has_restricted_access", "Active restricted access: contact columns are empty; null: not granted"),
    _text("home_language", "Language spoken at home"),
    _text("street", "Street and number, or PO Box"),
    _text("city", "City"),
    _text("state", "State"),
    _text("zip", "ZIP code, with its four further digits where known"),
    _text("home_phone", "Home phone"),
    _text("cell_phone", "Cell phone"),
    _text("work_phone", "Work phone"),
    _text("email", "E-mail address"),
)

HISTORIES = (STATUS, STUDENTS, PARENTS)
