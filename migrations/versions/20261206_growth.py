"""growth: indexes that keep queries as short as their answers, however long a run is

Revision: 20261206_growth, after 20261206_retention
"""

import sqlalchemy as sa
from alembic import op

revision = '20261206_growth'
down_revision = '20261206_retention'
branch_labels = None
depends_on = None

STALE = sa.text('stale_key IS NOT NULL')


def upgrade() -> None:
    op.create_index('ix_snapshots_attempt_id_id', 'snapshots', ['attempt_id', 'id'])
    op.create_index(
        'ix_parts_stale', 'parts', ['snapshot_id'], sqlite_where=STALE, postgresql_where=STALE
    )


def downgrade() -> None:
    op.drop_index('ix_parts_stale', 'parts')
    op.drop_index('ix_snapshots_attempt_id_id', 'snapshots')
