"""audit: who did what to what, when and from where

Revision: 20261202_audit, after 20261201_token_rotation
"""

import sqlalchemy as sa
from alembic import op

revision = '20261202_audit'
down_revision = '20261201_token_rotation'
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'audit',
        sa.Column('id', WHOLE, nullable=False),
        sa.Column('at', sa.Double(), nullable=False),
        sa.Column('action', sa.String(length=64), nullable=False),
        sa.Column('who', sa.Text(), nullable=False),
        sa.Column('token_id', WHOLE, nullable=True),
        sa.Column('address', sa.String(length=64), nullable=True),
        sa.Column('target', sa.Text(), nullable=False),
        sa.Column('detail', sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint('id', name='pk_audit'),
        sqlite_autoincrement=True,
    )
    op.create_index('ix_audit_at', 'audit', ['at'])


def downgrade() -> None:
    op.drop_index('ix_audit_at', table_name='audit')
    op.drop_table('audit')
