"""pieces: the detectors' memory of an attempt in many values instead of one

Revision: 20261210_pieces, after 20261209_sums

Memories that are stored stay as they are, in ``state``: they are taken up from there, and written in pieces
when the attempt's next is saved. After a downgrade, attempts whose memory is in pieces begin theirs afresh.
"""

import sqlalchemy as sa
from alembic import op

revision = '20261210_pieces'
down_revision = '20261209_sums'
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
NOT_PACKED_AGAIN = 'ALTER TABLE detector_pieces ALTER COLUMN data SET STORAGE EXTERNAL'


def upgrade() -> None:
    op.create_table(
        'detector_pieces',
        sa.Column('attempt_id', WHOLE, nullable=False),
        sa.Column('sequence', WHOLE, autoincrement=False, nullable=False),
        sa.Column('number', WHOLE, autoincrement=False, nullable=False),
        sa.Column('digest', sa.String(length=64), nullable=False),
        sa.Column('data', sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ['attempt_id'],
            ['attempts.id'],
            name=op.f('fk_detector_pieces_attempt_id'),
            ondelete='CASCADE',
        ),
        sa.PrimaryKeyConstraint(
            'attempt_id', 'sequence', 'number', name=op.f('pk_detector_pieces')
        ),
    )
    if op.get_bind().dialect.name == 'postgresql':
        op.execute(NOT_PACKED_AGAIN)
    op.add_column('detector_states', sa.Column('pieces', sa.JSON(), nullable=True))
    op.add_column('thinnings', sa.Column('pieces', sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column('thinnings', 'pieces')
    op.drop_column('detector_states', 'pieces')
    op.drop_table('detector_pieces')
