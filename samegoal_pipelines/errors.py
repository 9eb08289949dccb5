"""The base of every error that the pipeline foresees. Each package defines its own subclasses.

A subclass is named after what happened and declares `kind`, `next_step` and `transient`. An instance may
override them. The run's failure, the row in `snapshots`, alerts and terminal output are made from these
fields, never from a parsed message.
"""

import re
from enum import StrEnum


class Kind(StrEnum):
    """The kind of an error. Alerts report a district again when its kind changes."""

    ADDRESS = "address"
    ANOTHER_NIGHT = "another night"
    ANSWER = "answer"
    CERTIFICATE = "certificate"
    CREDENTIALS = "credentials"
    DATABASE = "database"
    DATABASE_SETTING = "database setting"
    DATE = "date"
    DEFECT = "defect"
    ERASED = "erased"
    FIREWALL = "firewall"
    GRANTS = "grants"
    IDENTITY = "identity"
    KEY_FILE = "key file"
    LANDED_ROWS = "landed rows"
    LANDING = "landing"
    OLDER_NIGHT = "older night"
    OTHER = "other"
    OUTDATED = "outdated"
    OVERTAKEN = "overtaken"
    REGISTRATION = "registration"
    RELEASE = "release"
    SCHOOL_YEAR = "school year"
    SECRET_KEY = "secret key"  # noqa: S105  # pragma: allowlist secret - a name
    SOURCE = "source"
    STOPPED = "stopped"


SYNC = "samegoal-pipelines sync ID"
REPORT = "this is a defect of the pipeline; report it, with the run RUN"


class PipelineError(Exception):
    """An error that the pipeline foresees.

    Args:
        detail: what happened, on one line, without a row's value or a secret.
        object: what it happened to: a Qmlativ object and page, a table.
        step: what the pipeline was doing.
        district_id: the district, if known.
        kind, next_step, transient: override the class's.
    """

    kind: Kind = Kind.OTHER
    next_step: str = ""
    """What a person can do. `ID` stands for the district, `RUN` for the run."""
    transient: bool = False
    """Whether the same call may succeed later without any action."""
    rerun: bool = True
    """Whether running the night again follows the next step."""

    def __init__(
        self,
        detail: str,
        object: str = "",
        *,
        step: str = "",
        district_id: str = "",
        kind: Kind | None = None,
        next_step: str | None = None,
        transient: bool | None = None,
    ) -> None:
        super().__init__(detail, object)
        self.detail = detail
        self.object = object
        self.step = step
        self.district_id = district_id
        override = {"kind": kind, "next_step": next_step, "transient": transient}
        vars(self).update({name: value for name, value in override.items() if value is not None})

    @property
    def reason(self) -> str:
        """What happened, without the district and the next step."""
        return ": ".join(filter(None, [self.step, self.object, self.detail]))

    @property
    def next_step_of_night(self) -> str:
        """The next step after this error ended a night."""
        if not self.rerun or self.kind is Kind.DEFECT:  # a defect fails again
            return self.next_step
        if not self.next_step:
            return f"run the night again: {SYNC}"
        return f"{self.next_step}; to run the night again: {SYNC}"

    def __str__(self) -> str:
        said = ": ".join(filter(None, [self.district_id, self.reason]))
        return "; ".join(filter(None, [said, fill_in(self.next_step, self.district_id)]))


def fill_in(next_step: str, district_id: str | None, run_id: str | None = None) -> str:
    """Fill in the district and the run in a next step. An unknown one keeps its placeholder."""
    values = {"ID": district_id, "RUN": run_id}
    return re.sub(r"\b(ID|RUN)\b", lambda found: values[found[0]] or found[0], next_step)
