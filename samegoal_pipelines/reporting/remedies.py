"""What to do about a district's night, by the kind of trouble: the line that a person at 7 a.m. can act on.

The reason itself often says what to check; here is which command to type. Kinds are told apart by the words
of our own errors, which a test holds against the errors themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Kind:
    """A kind of failure: how its reason reads, and what to do; `{id}` and `{run}` are filled in."""

    name: str
    words: re.Pattern[str]
    remedy: str


_SYNC = "samegoal-pipelines sync {id}"
_VERIFY = "samegoal-pipelines districts verify {id}"


def _kind(name: str, words: str, remedy: str) -> Kind:
    return Kind(name, re.compile(words, re.IGNORECASE), remedy)


# The first that matches counts: where several are spoken of, the one to look at first stands first.
KINDS = (
    _kind("defect", r"unforeseen|defect of the pipeline|report this", "report it, with the run {run}"),
    _kind(
        "another night",
        r"answers only for now",
        f"that night cannot be read any more; tonight's runs by itself, or now: {_SYNC}",
    ),
    _kind(
        "clock",
        r"check this machine's clock",
        "set the clock or the time zone right; if that is the date there, and what is published comes of a "
        "wrong clock, take it back by naming the date: samegoal-pipelines sync {id} --today …",
    ),
    _kind(
        "older night",
        r"is older than .*, which is published",
        f"nothing for that night, which is over; tonight's runs by itself, or now: {_SYNC}",
    ),
    _kind(
        "overtaken",
        r"which began later, has published the night|withhold since it was made",
        "nothing: what the later run has read of that night is published",
    ),
    _kind("outdated", r"materialize nightly_snapshot anew", f"run the night anew: {_SYNC}"),
    _kind("stopped", r"stopped by hand or by the machine", f"run it again: {_SYNC}"),
    _kind(
        "database setting",
        r"SAMEGOAL_DATABASE_URL|Postgres has no connection left",
        f"do what the reason says about the database (docs/production.md), then: {_SYNC}",
    ),
    _kind(
        "key file",
        r"it must belong to the account that runs this",
        "run daemon and commands as the account that owns the key file, or give it the file by chown; then: "
        "samegoal-pipelines sync {id}",
    ),
    _kind(
        "secret key",
        r"sealed with a key|contains an invalid key|can be read by others",
        "bring back the key in SAMEGOAL_SECRET_KEY, or give the secret again: "
        "samegoal-pipelines districts rotate-secret {id}",
    ),
    _kind(
        "identity",
        r"belong to another district|is registered as|the answer names no district",
        f"compare the registration with Qmlativ: {_VERIFY}",
    ),
    _kind(
        "address",
        r"correct the API Base URL|Token URL|HTTP 404|API Base URL (is|must)",
        "correct the address: samegoal-pipelines districts set {id} --base-url … (where tokens come from: "
        "--token-url …, or '' for the usual place)",
    ),
    _kind(
        "certificate",
        r"certificate",
        f"ask whoever runs the district's Qmlativ server to mend its certificate, then: {_SYNC}",
    ),
    _kind(
        "firewall",
        r"a firewall in front of Qmlativ",
        "ask the district, or Skyward if it hosts Qmlativ, to let this machine's address through; then: "
        f"{_SYNC}",
    ),
    _kind(
        "credentials",
        r"credentials|Client Key|Client Secret|refuses a token|refuses the token",
        "renew the Integration Access in Qmlativ if it has expired, and give its secret: "
        f"samegoal-pipelines districts rotate-secret {{id}}; then: {_SYNC}",
    ),
    _kind(
        "grants",
        r"not granted|grant it|not available to this Integration Access|is missing from every row",
        f"grant in Qmlativ what the reason names, look with: {_VERIFY}; then: {_SYNC}",
    ),
    _kind(
        "school year",
        r"school year is flagged",
        f"let the district set its current school year in Qmlativ, then: {_SYNC}",
    ),
    _kind(
        "landed rows",
        r"nothing has landed as|landed file |no longer in the landing",
        f"run the night again, which reads and lands it: {_SYNC}",
    ),
    _kind(
        "database",
        r"Postgres|SQLSTATE|database|the warehouse|another run (is|has)",
        f"see that Postgres is up and has space (docs/production.md), then: {_SYNC}",
    ),
    _kind(
        "landing",
        r"landing|landed|storage|folder",
        f"see that SAMEGOAL_LANDING_URL can be written and has space, then: {_SYNC}",
    ),
    _kind(
        "source",
        r"(try|run) again later|HTTP (429|5\d\d)|unavailable|in time|cut short|connection|maintenance page"
        r"|data changed|something else failed",
        f"wait until the district's Qmlativ answers again, then: {_SYNC}; if it stays so, ask the district",
    ),
    _kind(
        "answer",
        r"the answer|Paging|Qmlativ refuses the request|page \d",
        f"run it again: {_SYNC}; if it stays so, ask Skyward's support with the reason as it stands here",
    ),
)

_OTHERWISE = _kind("other", r"", "open the run {run} in the Dagster UI")


def kind_of(reason: str | None) -> Kind:
    """Which kind of failure a reason tells of."""
    return next((kind for kind in KINDS if kind.words.search(reason or "")), _OTHERWISE)


def of_failure(district_id: str, reason: str | None, run_id: str | None) -> str:
    """What to do about a night that failed."""
    return kind_of(reason).remedy.format(id=district_id, run=run_id or "of this night")


def of_hold(district_id: str, night: date, local_date: date) -> str:
    """What to do about a night that the gate holds; it is named where it is not the district's date."""
    then = "" if night == local_date else f" --today {night}"
    return (
        "look at the numbers in the Dagster UI, and at the students with: samegoal-pipelines changes "
        f"{district_id} --students; mend it in Qmlativ and run the night again, or, if the "
        "change is meant, publish what is held: "
        f"samegoal-pipelines sync {district_id} --release{then} --why REASON"
    )


def of_lateness(district_id: str) -> str:
    """What to do about a night that did not happen."""
    return (
        "check in the Dagster UI that the daemon is running, nightly_by_district is on and runs are not "
        f"stuck in the queue; or: {_SYNC.format(id=district_id)}"
    )
