"""The district's date of each attempt, which tells rehearsals from nights."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "v0008"
down_revision = "v0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    sql = (Path(__file__).parent / "v0008_local_date.sql").read_text()
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
