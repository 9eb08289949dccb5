"""The table of sent alerts under its new name."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "v0010"
down_revision = "v0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename the table."""
    sql = (Path(__file__).parent / "v0010_alerts.sql").read_text()
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
