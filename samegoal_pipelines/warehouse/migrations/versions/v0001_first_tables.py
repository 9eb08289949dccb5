"""Registry, snapshots, type-2 history, and the views that SameGoal reads."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make everything."""
    for name in ("v0001_tables.sql", "v0001_views.sql"):
        sql = (Path(__file__).parent / name).read_text()
        op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
