"""What the gate, withholding, departures, releases and erasures write down; the tables as of a past night."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "v0002"
down_revision = "v0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns, tables and functions; no row changes."""
    sql = (Path(__file__).parent / "v0002_gate_and_ledgers.sql").read_text()
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
