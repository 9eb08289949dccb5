"""All tables, as `samegoal_pipelines.tables` declares them."""

from alembic import op

from samegoal_pipelines.tables.warehouse import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of this program's version; `engine.migrate` skips the later steps on a new database."""
    metadata.create_all(op.get_bind())
