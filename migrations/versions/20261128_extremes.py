"""extremes: least and greatest values of stretches of snapshots, from which long runs are drawn

Revision: 20261128_extremes, after 20261127_views

What is stored already is condensed in the background, some blocks at a time.
"""

import sqlalchemy as sa
from alembic import op

revision = '20261128_extremes'
down_revision = '20261127_views'
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'extremes',
        sa.Column('attempt_id', WHOLE, nullable=False),
        sa.Column('level', WHOLE, nullable=False),
        sa.Column('statistic', sa.String(64), nullable=False),
        sa.Column('block', WHOLE, nullable=False),
        sa.Column('data', sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint('attempt_id', 'level', 'statistic', 'block', name='pk_extremes'),
        sa.ForeignKeyConstraint(
            ['attempt_id'],
            ['attempts.id'],
            name='fk_extremes_attempt_id',
            ondelete='CASCADE',
        ),
    )
    op.add_column('attempts', sa.Column('condensed', WHOLE, nullable=False, server_default='0'))


def downgrade() -> None:
    op.drop_column('attempts', 'condensed')
    op.drop_table('extremes')
