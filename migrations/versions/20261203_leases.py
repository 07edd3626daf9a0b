"""pipelines, leases: several processes measure and judge, each attempt by one of them at a time

Revision: 20261203_leases, after 20261202_audit
"""

import sqlalchemy as sa
from alembic import op

revision = '20261203_leases'
down_revision = '20261202_audit'
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'pipelines',
        sa.Column('id', WHOLE, nullable=False),
        sa.Column('name', sa.String(length=512), nullable=False),
        sa.Column('capacity', WHOLE, nullable=False),
        sa.Column('until', sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint('id', name='pk_pipelines'),
        sqlite_autoincrement=True,
    )
    op.create_table(
        'leases',
        sa.Column('attempt_id', WHOLE, nullable=False),
        sa.Column('holder', WHOLE, nullable=True),
        sa.Column('fence', WHOLE, nullable=False),
        sa.ForeignKeyConstraint(
            ['attempt_id'], ['attempts.id'], name='fk_leases_attempt_id', ondelete='CASCADE'
        ),
        sa.PrimaryKeyConstraint('attempt_id', name='pk_leases'),
    )


def downgrade() -> None:
    op.drop_table('leases')
    op.drop_table('pipelines')
