"""retention: what a run may take, how far it is thinned, what is kept of thinned stretches, pins

Revision: 20261206_retention, after 20261203_leases
"""

import sqlalchemy as sa
from alembic import op

revision = '20261206_retention'
down_revision = '20261203_leases'
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.add_column('runs', sa.Column('keep_bytes', WHOLE, nullable=True))
    op.add_column('snapshots', sa.Column('thinned', WHOLE, server_default='0', nullable=False))
    op.add_column('parts', sa.Column('stale_bytes', WHOLE, nullable=True))
    op.create_table(
        'kept_extremes',
        sa.Column('attempt_id', WHOLE, nullable=False),
        sa.Column('statistic', sa.String(length=64), nullable=False),
        sa.Column('stage', WHOLE, nullable=False),
        sa.Column('block', WHOLE, nullable=False),
        sa.Column('data', sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ['attempt_id'],
            ['attempts.id'],
            name='fk_kept_extremes_attempt_id',
            ondelete='CASCADE',
        ),
        sa.PrimaryKeyConstraint(
            'attempt_id', 'statistic', 'stage', 'block', name='pk_kept_extremes'
        ),
    )
    op.create_table(
        'thinnings',
        sa.Column('attempt_id', WHOLE, nullable=False),
        sa.Column('reached', sa.JSON(), nullable=False),
        sa.Column('stage', WHOLE, nullable=True),
        sa.Column('block', WHOLE, nullable=True),
        sa.Column('definition', sa.Text(), nullable=False),
        sa.Column('sequence', WHOLE, nullable=False),
        sa.Column('state', sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ['attempt_id'], ['attempts.id'], name='fk_thinnings_attempt_id', ondelete='CASCADE'
        ),
        sa.PrimaryKeyConstraint('attempt_id', name='pk_thinnings'),
    )
    op.create_table(
        'pins',
        sa.Column('id', WHOLE, nullable=False),
        sa.Column('run_id', WHOLE, nullable=False),
        sa.Column('first_step', WHOLE, nullable=False),
        sa.Column('last_step', WHOLE, nullable=False),
        sa.Column('created_at', sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ['run_id'], ['runs.id'], name='fk_pins_run_id', ondelete='CASCADE'
        ),
        sa.PrimaryKeyConstraint('id', name='pk_pins'),
        sqlite_autoincrement=True,
    )
    op.create_index('ix_pins_run_id', 'pins', ['run_id'])


def downgrade() -> None:
    op.drop_index('ix_pins_run_id', table_name='pins')
    for table in ('pins', 'thinnings', 'kept_extremes'):
        op.drop_table(table)
    op.drop_column('parts', 'stale_bytes')
    op.drop_column('snapshots', 'thinned')
    op.drop_column('runs', 'keep_bytes')
