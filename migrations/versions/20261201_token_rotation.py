"""previous_digest, previous_until, used_at: a token's secret before its rotation, and its last use

Revision: 20261201_token_rotation, after 20261130_attempts_tagged
"""

import sqlalchemy as sa
from alembic import op

revision = '20261201_token_rotation'
down_revision = '20261130_attempts_tagged'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('tokens', sa.Column('previous_digest', sa.String(length=64), nullable=True))
    op.add_column('tokens', sa.Column('previous_until', sa.Double(), nullable=True))
    op.add_column('tokens', sa.Column('used_at', sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column('tokens', 'used_at')
    op.drop_column('tokens', 'previous_until')
    op.drop_column('tokens', 'previous_digest')
