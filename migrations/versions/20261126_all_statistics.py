"""all element, motion and spectrum statistics; spectra, profiles, pieces of fused tensors

Revision: 20261126_all_statistics, after 20261122_first_schema

Columns are added and dropped in place, never by copying a table: a copy would lose SQLite's
AUTOINCREMENT and WITHOUT ROWID.
"""

import sqlalchemy as sa
from alembic import op

revision = '20261126_all_statistics'
down_revision = '20261122_first_schema'
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')

STATISTICS = (
    'mean_to_std',
    'asymmetry',
    'hoyer_sparsity',
    'gaussian_js_divergence',
    'outlier_share',
    'truncation_ratio',
    'body_std',
    'weibull_shape',
    'weibull_scale',
    'shape_class',
    'shape_margin',
    'update_ratio_stderr',
    'distance_to_first_stderr',
    'cosine_to_first_stderr',
    'std_ratio_to_first_stderr',
    'displacement_std',
    'sign_flip_share',
    'sign_flip_share_to_first',
    'dying_share',
    'growing_share',
    'path_flow',
    'condition_number',
    'mp_soft_rank',
    'mp_sigma',
    'mp_ks_distance',
    'mp_ks_ratio',
    'spectrum_outliers_raw',
    'spectrum_outliers',
    'spectrum_outliers_below',
    'outlier_strength',
    'outlier_participation',
    'outlier_constant_overlap',
    'power_law_alpha',
    'power_law_xmin',
    'power_law_ks_distance',
    'power_law_tail_count',
    'top_vector_normality',
    'bottom_vector_normality',
    'subspace_overlap_to_first',
)


def upgrade() -> None:
    for name in STATISTICS:
        op.add_column('tensor_stats', sa.Column(name, sa.Double(), nullable=True))
    op.add_column('tensors', sa.Column('piece_of', WHOLE, nullable=True))
    op.add_column('parts', sa.Column('stale_encoding', sa.String(length=64), nullable=True))
    op.add_column(
        'snapshots', sa.Column('spectra_skipped', WHOLE, server_default='0', nullable=False)
    )
    op.create_table(
        'spectra',
        *_of_a_tensor('spectra'),
        sa.Column('step', WHOLE, nullable=False),
        sa.Column('rows', WHOLE, nullable=False),
        sa.Column('columns', WHOLE, nullable=False),
        sa.Column('singular_values', sa.LargeBinary(), nullable=False),
        sa.Column('document', sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint('tensor_id', 'attempt_id', 'step', name=op.f('pk_spectra')),
    )
    op.create_table(
        'spectrum_progress',
        *_of_a_tensor('spectrum_progress'),
        sa.Column('last_sequence', WHOLE, nullable=False),
        sa.Column('first_sequence', WHOLE, nullable=True),
        sa.Column('first_rank', WHOLE, nullable=True),
        sa.Column('first_vectors', sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint('tensor_id', 'attempt_id', name=op.f('pk_spectrum_progress')),
    )
    for table in ('spectra', 'spectrum_progress'):
        op.create_index(f'ix_{table}_attempt_id', table, ['attempt_id'])
    op.create_table(
        'profiles',
        sa.Column('attempt_id', WHOLE, nullable=False),
        sa.Column('name', sa.String(length=64), nullable=False),
        sa.Column('role', sa.String(length=64), nullable=False),
        sa.Column('step', WHOLE, nullable=False),
        sa.Column('value', sa.Double(), nullable=True),
        sa.Column('no_value', sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ['attempt_id'], ['attempts.id'], name=op.f('fk_profiles_attempt_id'), ondelete='CASCADE'
        ),
        sa.PrimaryKeyConstraint('attempt_id', 'name', 'role', 'step', name=op.f('pk_profiles')),
    )


def downgrade() -> None:
    for table in ('profiles', 'spectrum_progress', 'spectra'):
        op.drop_table(table)
    op.drop_column('snapshots', 'spectra_skipped')
    op.drop_column('parts', 'stale_encoding')
    op.drop_column('tensors', 'piece_of')
    for name in STATISTICS:
        op.drop_column('tensor_stats', name)


def _of_a_tensor(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column('tensor_id', WHOLE, nullable=False),
        sa.Column('attempt_id', WHOLE, nullable=False),
        sa.ForeignKeyConstraint(
            ['tensor_id'], ['tensors.id'], name=op.f(f'fk_{table}_tensor_id'), ondelete='CASCADE'
        ),
        sa.ForeignKeyConstraint(
            ['attempt_id'], ['attempts.id'], name=op.f(f'fk_{table}_attempt_id'), ondelete='CASCADE'
        ),
    ]
