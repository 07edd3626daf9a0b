"""beside: what is condensed tells of profiles, imported series and the ranges of scalars as well

Revision: 20261211_beside, after 20261210_pieces

Of each attempt that is condensed one row forgets where its extremes stand: then the attempt's rows are made
anew, half a second at a time, as those of earlier versions are. Until then every value is read.
"""

import sqlalchemy as sa
from alembic import op

revision = '20261211_beside'
down_revision = '20261210_pieces'
branch_labels = None
depends_on = None

CONDENSED = 'SELECT id FROM attempts WHERE condensed > 0 ORDER BY id'
FORGET = (
    "UPDATE extremes SET places = NULL WHERE attempt_id = :attempt AND level = 1 "
    "AND statistic = 'steps' AND block = (SELECT MIN(block) FROM extremes WHERE attempt_id = :attempt "
    "AND level = 1 AND statistic = 'steps')"
)


def upgrade() -> None:
    connection = op.get_bind()
    for attempt in connection.scalars(sa.text(CONDENSED)).all():
        connection.execute(sa.text(FORGET), {'attempt': attempt})


def downgrade() -> None:
    """An earlier version reads none of the rows that are added."""
