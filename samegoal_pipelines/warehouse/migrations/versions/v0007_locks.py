"""A table whose rows are locked by whoever publishes a district."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "v0007"
down_revision = "v0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    sql = (Path(__file__).parent / "v0007_locks.sql").read_text()
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
