"""The roles, and row-level security: who sees and writes which district."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "v0003"
down_revision = "v0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the roles, hand everything to the owner, and guard every table that has a district."""
    sql = (Path(__file__).parent / "v0003_isolation.sql").read_text()
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
