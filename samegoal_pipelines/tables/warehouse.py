"""The warehouse's tables as SQLAlchemy Core metadata: the registry, the nights, and what people did.

The history tables are derived in `history`, which completes the metadata. Every table with a district's data
begins with `district_id`, so that one policy protects them all.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP

from samegoal_pipelines.tables.catalog import DISTRICT_ID
from samegoal_pipelines.tables.declaration import Column, Type
from samegoal_pipelines.tables.vocabulary import DEPARTURES, STATUSES
from samegoal_pipelines.tables.worklist import REGISTRAR_WORKLIST

SCHEMA = "samegoal"

metadata = sa.MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
    },
)
_TYPES: dict[Type, type[sa.types.TypeEngine[Any]]] = {
    "integer": sa.BigInteger,
    "text": sa.Text,
    "code": sa.Text,
    "date": sa.Date,
    "flag": sa.Boolean,
    "number": sa.Double,
}


def postgres_type(kind: sa.types.TypeEngine[Any]) -> str:
    """The type as Postgres writes it."""
    return kind.compile(dialect=postgresql.dialect()).lower()  # type: ignore[no-untyped-call]


def sql_column(column: Column) -> sa.Column[Any]:
    """The SQLAlchemy column of a declared column."""
    kind = _TYPES[column.type]
    return _column(kind, column.name, column.description, not column.required, values=column.values)


def _column(
    kind: Any, name: str, comment: str, nullable: bool = True, default: Any = None, values: Sequence[str] = ()
) -> sa.Column[Any]:
    info = {"values": values}
    return sa.Column(name, kind, nullable=nullable, server_default=default, comment=comment, info=info)


text = partial(_column, sa.Text)
words = partial(_column, ARRAY(sa.Text), nullable=False)
integer = partial(_column, sa.BigInteger)
count = partial(_column, sa.Integer)
switch = partial(_column, sa.Boolean, nullable=False)
day = partial(_column, sa.Date)
moment = partial(_column, TIMESTAMP(timezone=True))
now = partial(moment, nullable=False, default=sa.func.now())
encoded = partial(_column, BYTEA)
json = partial(_column, JSONB, nullable=False)
district = partial(sql_column, DISTRICT_ID)


def order(name: str, comment: str) -> sa.Column[int]:
    """A number that Postgres increments with every row."""
    return sa.Column(name, sa.BigInteger, sa.Identity(always=True), nullable=False, comment=comment)


def one_of(column: str, values: Sequence[str]) -> sa.CheckConstraint:
    """A check that a column holds one of these."""
    return sa.CheckConstraint(f"{column} in ({', '.join(map(repr, values))})", name=column)


def table(
    name: str, comment: str, *parts: sa.schema.SchemaItem, key: Sequence[str] = ("district_id",)
) -> sa.Table:
    """A table of the warehouse with its primary key, and checks of the columns that name their values."""
    columns = [part for part in parts if isinstance(part, sa.Column)]
    checks = [one_of(column.name, values) for column in columns if (values := column.info.get("values"))]
    return sa.Table(name, metadata, *parts, *checks, sa.PrimaryKeyConstraint(*key), comment=comment)


CHANGES = ("added", "status", "demographics", "parents", "removed")

# -- the registry --

districts = table(
    "districts",
    "The registered districts, without their secrets",
    district(),
    text("name", "The district's name, for people", nullable=False),
    text("base_url", "Qmlativ's API Base URL, without a trailing slash", nullable=False),
    text("token_url", "Address of the token server, if not {base_url}/oauth/token"),
    integer("entity_id", "Qmlativ entity to read through, if not the district's own"),
    text("entities", "Whose enrollments count: all, granted, or EntityIDs such as 2,15", False, "all"),
    text("timezone", "IANA time zone that decides the district's date", nullable=False),
    text("access_name", "Name of the Integration Access in Qmlativ"),
    text("contact", "E-mail address that is told when setup is complete"),
    day("expires", "Last day of the Integration Access in Qmlativ; null if it never expires or is unknown"),
    text(
        "expiration",
        "How `expires` is known: given; assumed, one year from registration; never, because the district "
        "deleted the expiration; unknown",
        nullable=False,
        default="unknown",
        values=("given", "assumed", "never", "unknown"),
    ),
    switch("active", "Runs by schedule", default=sa.true()),
    text("source_host", "Host of base_url; limits simultaneous runs", nullable=False),
    integer("qmlativ_district_id", "Qmlativ's DistrictID, remembered at the first contact"),
    integer("qmlativ_entity_id", "The EntityID of the first contact"),
    text("qmlativ_code", "Qmlativ's code of the district, remembered at the first contact"),
    text("qmlativ_name", "Qmlativ's name of the district, remembered at the first contact"),
    now("registered_at", "When the district was added"),
    moment(
        "due_since",
        "When it was last enabled, resumed or moved to another time zone; a night that had begun by "
        "then is not late",
    ),
    json("gate_limits", "Limits of the gate that differ from the defaults, by name", default="{}"),
    switch(
        "show_restricted_contacts",
        "Publish contact data of parents under active restricted access; off unless set",
        default=sa.false(),
    ),
    switch("show_confidential_phones", "Publish confidential phones; off unless set", default=sa.false()),
    moment("secret_set_at", "When the Client Secret was last set; null: the district awaits its secret"),
    text("secret_set_by", "Who set it, as configured"),
    moment("confirmed_at", "When the contact was last told that setup is complete"),
    text("confirmation_problem", "Why the last message to the contact was not sent; null if it was"),
    sa.CheckConstraint("(expires is null) = (expiration in ('never', 'unknown'))", name="expires"),
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
)

district_credentials = table(
    "district_credentials",
    "Credentials for each district's Qmlativ; only the pipeline can read them",
    district(),
    text("client_key", "Client Key of the Integration Access", nullable=False),
    encoded(
        "encrypted_secret",
        "Client Secret, encrypted with SAMEGOAL_SECRET_KEY; null: the district awaits its secret",
    ),
    sa.ForeignKeyConstraint(["district_id"], [districts.c.district_id], ondelete="CASCADE"),
)

# -- the nights --

snapshots = table(
    "snapshots",
    "One row per district and attempted snapshot",
    district(),
    day("snapshot_date", "The night: the district's local date of the run", nullable=False),
    text(
        "state",
        "published, held, failed, or superseded by a rerun of the same night",
        nullable=False,
        values=("published", "held", "failed", "superseded"),
    ),
    count("students", "Students in the snapshot"),
    count("enrolled", "Students with status ENROLLED"),
    count("pre_enrolled", "Students with status PRE-ENROLLED"),
    count("graduated", "Students with status GRADUATED"),
    count("inactive", "Students with status INACTIVE"),
    count("added", "Students who were not published before this attempt"),
    count("changed", "Students who were published before this attempt, with any change"),
    count("removed", "Students who were published before this attempt and are not any more"),
    text("held_reason", "Why it was held or failed"),
    text("run_id", "Dagster's id of the run", nullable=False),
    moment("started_at", "When the run began", nullable=False),
    moment("published_at", "When the snapshot became what SameGoal reads"),
    order("snapshot_id", "Order in which the attempts were made"),
    count("carried_over", "Students carried over as last published, because tonight's rows are unreliable"),
    text("landed_run_id", "The run whose landed rows the snapshot was made from"),
    count("enrollment_rows", "Enrollment rows received from Qmlativ"),
    count("quarantined", "Of these, rows that could not be relied on"),
    count("dropped", "Students last published as ENROLLED or PRE-ENROLLED who are neither any more"),
    count("dropped_by_time", "Of these, those explained by passing time alone; null if not computed"),
    words(
        "notes",
        "What a reader of the snapshot should know, such as a field that is not granted",
        default="{}",
    ),
    encoded("content_hash", "Hash of all that was to be published"),
    integer("compared_with", "The snapshot_id that was current when this one was held"),
    text("kind", "What made it fail, such as credentials, or which of the gate's limits held it"),
    text("next_step", "What to do if it failed or is held; ID stands for the district, RUN for the run"),
    sa.Index("snapshots_snapshot_date_idx", "snapshot_date"),
    sa.Index("snapshots_district_id_idx", "district_id", "snapshot_date", "snapshot_id"),
    sa.Index("snapshots_run_key", "run_id", "district_id", unique=True),
    sa.Index(
        "snapshots_published_key",
        "district_id",
        "snapshot_date",
        unique=True,
        postgresql_where=sa.text("state = 'published'"),
    ),
    key=("snapshot_id",),
)

current_snapshots = table(
    "current_snapshots",
    "The last published snapshot of each district, which the current views show",
    district(),
    day("snapshot_date", "The current night", nullable=False),
    integer("snapshot_id", "Its row in snapshots", nullable=False),
    encoded("content_hash", "Hash of all that was to be published that night", nullable=False),
)

student_changes = table(
    "student_changes",
    "One row per student and night with a change",
    district(),
    day("snapshot_date", "The night of the change", nullable=False),
    integer("student_id", "Qmlativ's StudentID", nullable=False),
    text("student_number", "Qmlativ's StudentNumber, as sent"),
    text(
        "change",
        "added or removed; or else the most important table with a changed row: status, demographics, "
        "parents",
        nullable=False,
        values=CHANGES,
    ),
    text("old_status", "Status the night before; null if added"),
    text("new_status", "Status since; null if removed"),
    words(
        "changed_columns",
        "Names of the columns that changed; those of parents as parents.<column>, or "
        "parents alone for an added or removed parent",
    ),
    text("previous_number", "StudentNumber of the night before; set where the student number changed"),
    key=("district_id", "snapshot_date", "student_id"),
)

releases = table(
    "releases",
    "Held snapshots that a person has published",
    district(),
    integer("held_snapshot_id", "The held attempt in snapshots", nullable=False),
    integer("published_snapshot_id", "The row of snapshots that its release wrote", nullable=False),
    day("snapshot_date", "The night; the release is for this night only", nullable=False),
    text("released_by", "Who released it, as configured", nullable=False),
    text("reason", "Why, in that person's words", nullable=False),
    now("released_at", "When"),
    key=("held_snapshot_id",),
)

departures = table(
    "departures",
    "One row per student and night on which the student left the published tables",
    district(),
    day("snapshot_date", "The first night without the student", nullable=False),
    integer("student_id", "Qmlativ's StudentID", nullable=False),
    text("student_number", "Qmlativ's StudentNumber, as it was last published"),
    text("last_status", "The status that was last published", nullable=False, values=STATUSES),
    text("why", "What the student's enrollments in Qmlativ showed that night", nullable=False),
    one_of("why", DEPARTURES),  # no `values`, which the data contract would promise: the list may grow
    key=("district_id", "snapshot_date", "student_id"),
)

erasures = table(
    "erasures",
    "Which districts were erased, when, and how many rows and files; no personal data",
    order("erasure_id", "Order of the erasures"),
    sa.Column(
        "district_id", sa.Text, nullable=False, index=True, comment="The district, as it was registered"
    ),
    now("erased_at", "When its rows were erased"),
    text("erased_by", "Who erased it, as configured", nullable=False),
    json("rows_erased", "Rows erased, by table"),
    integer(
        "files_erased",
        "Landed files erased by the last attempt, without those of interrupted ones. Null: files are still "
        "to be erased",
    ),
    key=("erasure_id",),
)

student_erasures = table(
    "student_erasures",
    "Marks erased students, whom later nights drop right after reading; only the pipeline reads it",
    district(),
    encoded("key", "The district's key for the hashes", nullable=False),
    encoded("student_hash", "Keyed hash of StudentID", nullable=False),
    encoded("number_hash", "Keyed hash of the student number that was given", nullable=False),
    now("erased_at", "When the rows were erased"),
    text("erased_by", "Who erased them, as configured", nullable=False),
    count("files_rewritten", "Landed files rewritten or deleted; null: files are still to be rewritten"),
    key=("district_id", "student_hash"),
)

disclosures = table(
    "disclosures",
    "Who took data or a secret out of the warehouse with a command, and when; no personal data",
    order("disclosure_id", "Order of the disclosures"),
    district(),
    now("disclosed_at", "When"),
    text("disclosed_by", "Who took it, as configured", nullable=False),
    text(
        "what",
        "What was taken: an export of students and parents, or the client secret",
        nullable=False,
        values=("export", "client secret"),
    ),
    day("snapshot_date", "The published night of an export; null for a secret"),
    count("students", "Students in the export; null for a secret"),
    count("parents", "Parent rows in the export; null for a secret"),
    sa.Index("disclosures_district_id_idx", "district_id"),
    key=("disclosure_id",),
)

locks = table(
    "locks",
    "Rows to lock, so that one process at a time publishes a district or sends an alert; their "
    "content has no meaning",
    sa.Column("key", sa.BigInteger, autoincrement=False, nullable=False, comment="A hash of what is locked"),
    key=("key",),
)

# -- paused districts, and the alerts that were sent --

pauses = table(
    "pauses",
    "Districts that the schedule skips for a while, such as over the summer",
    district(),
    day("paused_from", "First night to skip, by the district's calendar", nullable=False),
    day("paused_to", "Last night to skip, by the district's calendar", nullable=False),
    text("reason", "Why, as entered by the person who paused it"),
    text("set_by", "Who paused it, as configured", nullable=False),
    now("set_at", "When it was paused"),
    sa.ForeignKeyConstraint(["district_id"], [districts.c.district_id], ondelete="CASCADE"),
    sa.CheckConstraint("paused_to >= paused_from", name="paused_to"),
)

alerts_sent = table(
    "alerts_sent",
    "The alerts sent to each address, so that none is sent twice",
    day("night", "The night of the message, by the districts' calendar", nullable=False),
    moment("deadline", "When the snapshots of these districts were due", nullable=False),
    text("channel", "Address by its service and position, such as slack 2", nullable=False),
    count("part", "1 is the check at the deadline; higher numbers are later trouble", nullable=False),
    moment("sent_at", "When it was sent", nullable=False),
    count("districts", "Number of districts it named; 0: nothing was sent", nullable=False),
    text("digest", "District, state and kind of failure on each line of the message", nullable=False),
    key=("night", "deadline", "channel", "part"),
)

# -- what a registrar should look at --

registrar_worklist = table(
    "registrar_worklist",
    f"{REGISTRAR_WORKLIST.description}; as of the last night published or held",
    district(),
    day("snapshot_date", "The night that found it", nullable=False),
    *map(sql_column, REGISTRAR_WORKLIST.columns),
    count("line", "Order of the list: by school, problem and student", nullable=False),
    sa.Index(
        "registrar_worklist_problem_key",
        "district_id",
        *REGISTRAR_WORKLIST.key,
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
    key=("district_id", "line"),
)
