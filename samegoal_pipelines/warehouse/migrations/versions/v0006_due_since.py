"""Since when a district's nights are waited for, where that is not since it was registered."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "v0006"
down_revision = "v0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    sql = (Path(__file__).parent / "v0006_due_since.sql").read_text()
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
