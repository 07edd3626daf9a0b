"""tagged: whether an attempt's own tags were taken over

Revision: 20261130_attempts_tagged, after 20261129_alert_news
"""

import sqlalchemy as sa
from alembic import op

revision = '20261130_attempts_tagged'
down_revision = '20261129_alert_news'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        'attempts', sa.Column('tagged', sa.Boolean(), nullable=False, server_default='0')
    )


def downgrade() -> None:
    op.drop_column('attempts', 'tagged')
