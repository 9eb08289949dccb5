"""The data dictionary and the data contract are up to date, and a version says what a change means."""

import copy
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from samegoal_pipelines.tables import contract
from samegoal_pipelines.tables.__main__ import PAGE, dictionary, write_contract
from samegoal_pipelines.tables.contract import Contract, breaking_changes, next_version, read
from samegoal_pipelines_tests.warehouse.role_fixtures import FOR_READERS


def test_the_data_dictionary_is_up_to_date_and_has_no_empty_description():
    assert PAGE.read_text(encoding="utf-8") == dictionary(), (
        "docs/tables.md is stale: run .venv/bin/python -m samegoal_pipelines.tables"
    )
    rows = [line.split(" | ") for line in dictionary().splitlines() if line.startswith("| ")]
    assert len(rows) > 300
    assert all(row[3].strip(" |") for row in rows)


def test_the_contract_is_up_to_date_and_breaks_nothing_within_a_major_version():
    recorded = read()
    today = contract.contract(recorded)
    assert breaking_changes(recorded, today) == [], (
        "readers of the published tables would break: undo this, or raise the contract's major version with "
        "python -m samegoal_pipelines.tables --new-major"
    )
    assert contract.FILE.read_text(encoding="utf-8") == contract.as_yaml(today), (
        "contract.yaml is stale: run .venv/bin/python -m samegoal_pipelines.tables"
    )


def test_the_contract_fulfills_the_open_data_contract_standard():
    schema = json.loads(resources.files("open_data_contract_standard").joinpath("schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert list(validator.iter_errors(read())) == []
    assert not validator.is_valid(read() | {"kind": "Letter"})


def test_the_contract_describes_what_the_reader_may_read():
    objects = {each["name"]: each for each in read()["schema"]}
    assert set(objects) == FOR_READERS
    for name, key in {
        "student_details": ["district_id", "student_id"],
        "parent_demographics": ["district_id", "student_id", "parent_id"],
        "student_changes": ["district_id", "snapshot_date", "student_id"],
        "snapshots": ["snapshot_id"],
    }.items():
        assert [each["name"] for each in objects[name]["properties"] if each.get("primaryKey")] == key


def column(document: Contract, path: str) -> Contract:
    table, name = path.split(".")
    (described,) = [each for each in document["schema"] if each["name"] == table]
    return next(each for each in described["properties"] if each["name"] == name)


def properties(document: Contract) -> list[Contract]:
    """The columns of student_status, the first of its tables."""
    found: list[Contract] = document["schema"][0]["properties"]
    return found


STATUS = "student_status.status"
BREAKING: dict[str, Callable[[Contract], object]] = {
    "student_status.building is gone": lambda new: column(new, "student_status.building").update(name="it"),
    "student_status.district_id is gone": lambda new: properties(new).pop(0),
    "snapshots is gone": lambda new: new["schema"].pop(),
    "student_status.student_id: physicalType was bigint and is text": (
        lambda new: column(new, "student_status.student_id").update(physicalType="text")
    ),
    f"{STATUS} may be null now": lambda new: column(new, STATUS).update(required=False),
    f"{STATUS} may hold MOVED now": lambda new: column(new, STATUS)["enum"].append({"value": "MOVED"}),
    f"{STATUS} may hold any value now": lambda new: column(new, STATUS).pop("enum"),
    "parent_demographics.parent_id: primaryKeyPosition was 3 and is None": (
        lambda new: column(new, "parent_demographics.parent_id").pop("primaryKeyPosition")
    ),
    "student_details.parents.email is gone": (
        lambda new: column(new, "student_details.parents")["items"]["properties"].pop()
    ),
    "student_status: the reference to student_demographics.district_id, student_demographics.student_id is "
    "gone": lambda new: new["schema"][0].pop("relationships"),
}


@pytest.mark.parametrize("sentence", BREAKING)
def test_a_breaking_change_is_named_and_needs_a_new_major_version(sentence: str):
    old, new = read(), copy.deepcopy(read())
    BREAKING[sentence](new)
    assert breaking_changes(old, new) == [sentence]
    major = int(old["version"].partition(".")[0])
    assert next_version(old, new) == f"{major + 1}.0.0"


HOMEROOM = {"name": "homeroom", "logicalType": "string"}


@pytest.mark.parametrize(
    ("change", "version"),
    [
        (lambda new: properties(new).append(HOMEROOM), "1.5.0"),
        (lambda new: column(new, "student_status.student_number").update(required=True), "1.5.0"),
        (lambda new: column(new, "student_status.status").update(description="What it is"), "1.4.3"),
    ],
)
def test_other_changes_raise_the_minor_version_or_the_patch(change: Callable[[Contract], None], version: str):
    old = read() | {"version": "1.4.2"}
    new = copy.deepcopy(old)
    change(new)
    assert breaking_changes(old, new) == []
    assert next_version(old, new) == version


def test_the_file_is_not_rewritten_with_a_breaking_change_unless_asked_for(tmp_path: Path):
    """Before, the table had a column more."""
    file = tmp_path / "contract.yaml"
    before = read() | {"version": "1.4.2"}
    properties(before).append(HOMEROOM)
    file.write_text(contract.as_yaml(before))
    with pytest.raises(SystemExit, match=r"student_status\.homeroom is gone.*--new-major"):
        write_contract(file, new_major=False)
    assert read(file) == before
    write_contract(file, new_major=True)
    assert read(file) == contract.contract(read() | {"version": "2.0.0"})


def test_the_file_is_left_alone_if_nothing_changed(tmp_path: Path):
    file = tmp_path / "contract.yaml"
    file.write_bytes(contract.FILE.read_bytes())
    write_contract(file, new_major=True)
    assert file.read_bytes() == contract.FILE.read_bytes()
