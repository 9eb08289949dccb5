"""The registrar's worklist: what should be looked at in Qmlativ, as of the last night published or held."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "v0005"
down_revision = "v0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    sql = (Path(__file__).parent / "v0005_registrar_worklist.sql").read_text()
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
