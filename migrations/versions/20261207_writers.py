"""writer: which job an attempt belongs to

Revision: 20261207_writers, after 20261206_growth
"""

import sqlalchemy as sa
from alembic import op

revision = '20261207_writers'
down_revision = '20261206_growth'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('attempts', sa.Column('writer', sa.String(64), nullable=True))


def downgrade() -> None:
    op.drop_column('attempts', 'writer')
