"""alerts' lives, deliveries, imported statistics, directives

Revision: 20261126_bifurcations, after 20261126_all_statistics

Columns are added and dropped in place, never by copying a table: a copy would lose SQLite's
AUTOINCREMENT and WITHOUT ROWID.
"""

import sqlalchemy as sa
from alembic import op

revision = '20261126_bifurcations'
down_revision = '20261126_all_statistics'
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
NAME = sa.String(length=512)
WORD = sa.String(length=64)


def upgrade() -> None:
    op.add_column('tensor_stats', sa.Column('path_dip_ratio', sa.Double(), nullable=True))
    op.add_column('attempts', sa.Column('source', WORD, server_default='client', nullable=False))
    op.add_column('alerts', sa.Column('parent', NAME, server_default='', nullable=False))
    op.add_column('alerts', sa.Column('silenced_by', NAME, nullable=True))
    op.add_column(
        'alerts', sa.Column('superseded', sa.Boolean(), server_default='0', nullable=False)
    )
    op.add_column('alerts', sa.Column('resolved_at', sa.Double(), nullable=True))
    op.add_column('alerts', sa.Column('false_alarms_per_10000', sa.Double(), nullable=True))
    op.create_table(
        'alert_changes',
        sa.Column('id', WHOLE, nullable=False),
        sa.Column('alert_id', WHOLE, nullable=False),
        sa.Column('at', sa.Double(), nullable=False),
        sa.Column('change', WORD, nullable=False),
        sa.Column('state', WORD, nullable=False),
        sa.Column('severity', WORD, nullable=False),
        sa.Column('who', NAME, nullable=False),
        sa.Column('note', sa.Text(), nullable=True),
        _owned('alert_changes', 'alert_id', 'alerts'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_alert_changes')),
    )
    op.create_index('ix_alert_changes_alert_id', 'alert_changes', ['alert_id'])
    op.create_table(
        'deliveries',
        sa.Column('id', WHOLE, nullable=False),
        sa.Column('alert_id', WHOLE, nullable=False),
        sa.Column('channel', NAME, nullable=False),
        sa.Column('reason', WORD, nullable=False),
        sa.Column('state', WORD, nullable=False),
        sa.Column('tries', WHOLE, nullable=False),
        sa.Column('next_try_at', sa.Double(), nullable=False),
        sa.Column('created_at', sa.Double(), nullable=False),
        sa.Column('delivered_at', sa.Double(), nullable=True),
        sa.Column('status_code', WHOLE, nullable=True),
        sa.Column('error', sa.Text(), nullable=True),
        _owned('deliveries', 'alert_id', 'alerts'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_deliveries')),
        sqlite_autoincrement=True,
    )
    op.create_index('ix_deliveries_alert_id', 'deliveries', ['alert_id'])
    op.create_index('ix_deliveries_state_next_try_at', 'deliveries', ['state', 'next_try_at'])
    op.create_table(
        'imported_statistics',
        sa.Column('id', WHOLE, nullable=False),
        sa.Column('run_id', WHOLE, nullable=False),
        sa.Column('name', NAME, nullable=False),
        sa.Column('nature', WORD, nullable=False),
        sa.Column('log_scale', sa.Boolean(), nullable=False),
        _owned('imported_statistics', 'run_id', 'runs'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_imported_statistics')),
        sa.UniqueConstraint('run_id', 'name', name=op.f('uq_imported_statistics_run_id_name')),
    )
    op.create_table(
        'imported_values',
        sa.Column('statistic_id', WHOLE, nullable=False),
        sa.Column('tensor_id', WHOLE, nullable=False),
        sa.Column('attempt_id', WHOLE, nullable=False),
        sa.Column('step', WHOLE, nullable=False),
        sa.Column('value', sa.Double(), nullable=True),
        _owned('imported_values', 'statistic_id', 'imported_statistics'),
        _owned('imported_values', 'tensor_id', 'tensors'),
        _owned('imported_values', 'attempt_id', 'attempts'),
        sa.PrimaryKeyConstraint(
            'statistic_id', 'tensor_id', 'attempt_id', 'step', name=op.f('pk_imported_values')
        ),
    )
    op.create_index('ix_imported_values_attempt_id_step', 'imported_values', ['attempt_id', 'step'])
    op.create_table(
        'directives',
        sa.Column('id', WHOLE, nullable=False),
        sa.Column('attempt_id', WHOLE, nullable=False),
        sa.Column('alert_id', WHOLE, nullable=False),
        sa.Column('tensors', sa.JSON(), nullable=False),
        sa.Column('every', WHOLE, nullable=False),
        sa.Column('first_step', WHOLE, nullable=False),
        sa.Column('last_step', WHOLE, nullable=False),
        sa.Column('created_at', sa.Double(), nullable=False),
        _owned('directives', 'attempt_id', 'attempts'),
        _owned('directives', 'alert_id', 'alerts'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_directives')),
        sa.UniqueConstraint('alert_id', name=op.f('uq_directives_alert_id')),
        sqlite_autoincrement=True,
    )
    op.create_index('ix_directives_attempt_id', 'directives', ['attempt_id'])


def downgrade() -> None:
    for table in (
        'directives',
        'imported_values',
        'imported_statistics',
        'deliveries',
        'alert_changes',
    ):
        op.drop_table(table)
    for name in ('false_alarms_per_10000', 'resolved_at', 'superseded', 'silenced_by', 'parent'):
        op.drop_column('alerts', name)
    op.drop_column('attempts', 'source')
    op.drop_column('tensor_stats', 'path_dip_ratio')


def _owned(table: str, column: str, owner: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f'{owner}.id'], name=op.f(f'fk_{table}_{column}'), ondelete='CASCADE'
    )
