"""reasons: why statistics have no value, once a run instead of as text in every row

Revision: 20261208_reasons, after 20261207_writers

What is stored stays as it is, so that nobody waits for the table while all of it is written anew:
the service moves it, a few rows at a time. The old column stays too, for a process of the version
before that still writes.
"""

import sqlalchemy as sa
from alembic import op

revision = '20261208_reasons'
down_revision = '20261207_writers'
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')

TO_MOVE = 'INSERT INTO reasons_to_move (tensor_id) SELECT id FROM tensors'
BACK_INTO_ROWS = """
UPDATE tensor_stats
SET no_value = (SELECT document FROM reasons WHERE reasons.id = tensor_stats.reasons_id)
WHERE reasons_id IS NOT NULL
"""


def upgrade() -> None:
    op.create_table(
        'reasons',
        sa.Column('id', WHOLE, nullable=False),
        sa.Column('run_id', WHOLE, nullable=False),
        sa.Column('digest', sa.String(length=64), nullable=False),
        sa.Column('document', sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ['run_id'], ['runs.id'], name=op.f('fk_reasons_run_id'), ondelete='CASCADE'
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_reasons')),
        sa.UniqueConstraint('run_id', 'digest', name=op.f('uq_reasons_run_id_digest')),
        sqlite_autoincrement=True,
    )
    op.create_table(
        'reasons_to_move',
        sa.Column('tensor_id', WHOLE, autoincrement=False, nullable=False),
        sa.Column('attempt_id', WHOLE, server_default='0', nullable=False),
        sa.Column('step', WHOLE, server_default='-1', nullable=False),
        sa.ForeignKeyConstraint(
            ['tensor_id'],
            ['tensors.id'],
            name=op.f('fk_reasons_to_move_tensor_id'),
            ondelete='CASCADE',
        ),
        sa.PrimaryKeyConstraint('tensor_id', name=op.f('pk_reasons_to_move')),
    )
    op.add_column('tensor_stats', sa.Column('reasons_id', WHOLE, nullable=True))
    op.execute(TO_MOVE)


def downgrade() -> None:
    op.execute(BACK_INTO_ROWS)
    op.drop_column('tensor_stats', 'reasons_id')
    op.drop_table('reasons_to_move')
    op.drop_table('reasons')
