"""The data dictionary is the one that the declarations make."""

from samegoal_pipelines.tables.__main__ import PAGE
from samegoal_pipelines.tables.dictionary import dictionary


def test_the_data_dictionary_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == dictionary(), (
        "docs/tables.md is stale: run .venv/bin/python -m samegoal_pipelines.tables"
    )


def test_the_data_dictionary_has_no_empty_description():
    rows = [line.split(" | ") for line in dictionary().splitlines() if line.startswith("| ")]
    assert len(rows) > 300
    assert all(row[3].strip(" |") for row in rows)
