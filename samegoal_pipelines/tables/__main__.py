"""Write `docs/tables.md`: `python -m samegoal_pipelines.tables`."""

from __future__ import annotations

from pathlib import Path

from samegoal_pipelines.tables.dictionary import dictionary

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"

if __name__ == "__main__":
    PAGE.write_text(dictionary(), encoding="utf-8")
