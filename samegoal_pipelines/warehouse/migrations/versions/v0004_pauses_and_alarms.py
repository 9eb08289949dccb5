"""Pauses of districts, the alarms that were sent, and an index for the reports of a night."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "v0004"
down_revision = "v0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables and the index."""
    sql = (Path(__file__).parent / "v0004_pauses_and_alarms.sql").read_text()
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
