"""Every reason that the pipeline itself can give leads to the command that helps."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import samegoal_pipelines
from samegoal_pipelines.postgres.errors import _MEANINGS, from_database
from samegoal_pipelines.qmlativ import errors as qmlativ_errors
from samegoal_pipelines.qmlativ.auth import FIREWALL, REMEDY
from samegoal_pipelines.qmlativ.errors import GRANT
from samegoal_pipelines.reporting.remedies import kind_of, of_failure

ROOT = Path(samegoal_pipelines.__file__).parent
CONSTANTS = {"REMEDY": REMEDY, "GRANT": GRANT}
KINDS = {
    "InvalidCredentialsError": {"credentials"},
    "WrongDistrictError": {"identity"},
    "AccessRefusedError": {"grants"},
    "EntityNotGrantedError": {"grants"},
    "FieldNotGrantedError": {"grants"},
    "MissingFieldError": {"grants"},
    "CertificateRefusedError": {"certificate"},
    "NoSchoolYearError": {"school year"},
    "SourceUnavailableError": {"source"},
    "RateLimitedError": {"source"},
    "ReadCancelledError": {"source"},
    "UnexpectedContentError": {"source"},
    "DataChangedError": {"source"},
    "MalformedAnswerError": {"answer", "address", "defect", "identity"},
    "RequestRefusedError": {"answer", "address"},
    "DecryptionError": {"secret key", "key file"},
    "SnapshotInProgressError": {"database"},
    "LandingError": {"landing", "landed rows"},
    "OlderSnapshotError": {"older night", "clock"},
    "SupersededRunError": {"overtaken"},
}
"""What each error of ours is, as far as it can end a night."""

TRANSPORT_ADDS = {"SourceUnavailableError": "gave up after 5 attempts"}


def messages() -> Iterator[tuple[str, str]]:
    """Every error that the code makes: its class, and its text with N for what is filled in."""
    for room in ("qmlativ", "landing", "warehouse", "districts"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                    text = _text(node.args[0])
                    if node.func.id in KINDS and text:
                        remedy = getattr(getattr(qmlativ_errors, node.func.id, None), "remedy", "")
                        more = TRANSPORT_ADDS.get(node.func.id, "")
                        yield node.func.id, "; ".join(filter(None, [f"N page 3: {text}", more, remedy]))


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "N" for part in node.values)
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name):
        return CONSTANTS.get(node.value.id)
    return None


@pytest.mark.parametrize(("error", "reason"), sorted(set(messages())))
def test_every_error_that_can_end_a_night_is_told_by_its_kind(error: str, reason: str) -> None:
    assert kind_of(f"reading Qmlativ: {reason}").name in KINDS[error], reason


@pytest.mark.parametrize(
    "reason",
    [
        "student_status: nothing has landed as raw_enrollments for alpha on 2026-10-12: materialize it",
        "release: landed file status of held_snapshot for alpha on 2026-10-12 is damaged or was replaced",
        "release: what was held on 2026-10-12 is no longer in the landing, or is damaged",
    ],
)
def test_rows_that_are_gone_or_damaged_are_read_again_and_no_disk_is_looked_at(reason: str) -> None:
    remedy = of_failure("alpha", reason, None)
    assert remedy.endswith("samegoal-pipelines sync alpha")
    assert "space" not in remedy


def test_the_errors_of_the_code_were_found() -> None:
    assert {error for error, _ in messages()} >= {*KINDS} - {"AccessRefusedError"}


@pytest.mark.parametrize("state", sorted(_MEANINGS))
def test_whatever_postgres_says_leads_to_the_database_or_to_a_report(state: str) -> None:
    class Driver(Exception):
        pgcode = f"{state:0<5}"

    reason = str(from_database(Driver(), "publishing"))
    assert kind_of(reason).name in {"database", "database setting", "defect"}, reason


def test_a_night_that_is_over_is_told_with_the_command_for_the_current_one() -> None:
    reason = "the night 2026-10-11 is older than 2026-10-12, which is published; run the current night"
    assert of_failure("grand-bend", f"publishing: {reason}", "0a1b") == (
        "nothing for that night, which is over; tonight's runs by itself, or now: "
        "samegoal-pipelines sync grand-bend"
    )


def test_a_firewall_is_no_matter_of_secrets_or_grants() -> None:
    remedy = of_failure("grand-bend", f"reading Qmlativ: Student/Student, page 1: {FIREWALL}", "0a1b")
    assert "let this machine's address through" in remedy
    assert "rotate-secret" not in remedy
    assert "grant" not in remedy.removesuffix("grand-bend")


def test_a_reason_that_nobody_foresaw_leads_to_the_run() -> None:
    assert of_failure("grand-bend", "something else", "0a1b") == "open the run 0a1b in the Dagster UI"
    assert of_failure("grand-bend", None, None) == "open the run of this night in the Dagster UI"


def test_a_remedy_names_the_district_in_its_command() -> None:
    reason = f"reading Qmlativ: token: Qmlativ does not accept the credentials (HTTP 400): {REMEDY}"
    remedy = of_failure("grand-bend", reason, "0a1b")
    assert "samegoal-pipelines districts rotate-secret grand-bend; then:" in remedy
    assert remedy.endswith("samegoal-pipelines sync grand-bend")
