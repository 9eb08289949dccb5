"""What SameGoal's role may read: current rows, and no history."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "v0009"
down_revision = "v0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give the views their owner's rights, and take the tables behind them from the reader."""
    sql = (Path(__file__).parent / "v0009_reader.sql").read_text()
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
