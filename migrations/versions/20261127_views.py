"""versioned views: what Grafana and other readers may rely on

Revision: 20261127_views, after 20261126_bifurcations

A view's columns do not change within its version. A migration that changes what one reads from drops
it first and creates it anew after.
"""

from alembic import op

revision = '20261127_views'
down_revision = '20261126_bifurcations'
branch_labels = None
depends_on = None

STATISTICS = (
    'count',
    'nonfinite_count',
    'zero_share',
    'near_zero_mass_0_01',
    'near_zero_mass_0_1',
    'mean',
    'std',
    'skewness',
    'excess_kurtosis',
    'min',
    'max',
    'l1_norm',
    'l2_norm',
    'rms',
    'quantile_p0_1',
    'quantile_p1',
    'quantile_p5',
    'quantile_p25',
    'quantile_p50',
    'quantile_p75',
    'quantile_p95',
    'quantile_p99',
    'quantile_p99_9',
    'abs_quantile_p50',
    'abs_quantile_p99',
    'gaussian_ks_distance',
    'dip',
    'dip_ratio',
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
    'update_ratio',
    'update_ratio_raw',
    'distance_to_first',
    'cosine_to_first',
    'std_ratio_to_first',
    'unmoved_share',
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
    'path_dip_ratio',
    'spectral_norm',
    'stable_rank',
    'effective_rank',
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

STRETCHES = """
    SELECT attempt_id, run_id, attempt, min(first_step) OVER (
        PARTITION BY run_id ORDER BY attempt_id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS end_step
    FROM (
        SELECT a.id AS attempt_id, a.run_id, a.slug AS attempt,
            (SELECT min(s.step) FROM snapshots s WHERE s.attempt_id = a.id) AS first_step
        FROM attempts a
    ) AS firsts
"""
# The steps of each attempt that count: until a later attempt of the run went over them again.

SERIES = f"""
CREATE VIEW bifurk_v1_series AS
SELECT p.slug AS project, r.slug AS run, r.id AS run_id, c.attempt, t.name AS tensor,
    t.id AS tensor_id, t.layer, t.role, v.step, s.received_at,
    {', '.join(f'v."{name}"' for name in STATISTICS)}
FROM tensor_stats v
JOIN ({STRETCHES}) AS c ON c.attempt_id = v.attempt_id
JOIN snapshots s ON s.attempt_id = v.attempt_id AND s.step = v.step
JOIN tensors t ON t.id = v.tensor_id
JOIN runs r ON r.id = c.run_id
JOIN projects p ON p.id = r.project_id
WHERE c.end_step IS NULL OR v.step < c.end_step
"""

TENSORS = """
CREATE VIEW bifurk_v1_tensors AS
SELECT p.slug AS project, r.slug AS run, r.id AS run_id, t.name AS tensor, t.id AS tensor_id,
    t.layer, t.role
FROM tensors t
JOIN runs r ON r.id = t.run_id
JOIN projects p ON p.id = r.project_id
"""

SCALARS = f"""
CREATE VIEW bifurk_v1_scalars AS
SELECT p.slug AS project, r.slug AS run, r.id AS run_id, c.attempt, n.name, v.step,
    v."last", v."mean", v."min", v."max", v."count"
FROM series_points v
JOIN ({STRETCHES}) AS c ON c.attempt_id = v.attempt_id
JOIN series n ON n.id = v.series_id
JOIN runs r ON r.id = c.run_id
JOIN projects p ON p.id = r.project_id
WHERE c.end_step IS NULL OR v.step < c.end_step
"""

ALERTS = """
CREATE VIEW bifurk_v1_alerts AS
SELECT p.slug AS project, r.slug AS run, r.id AS run_id, a.id, a.kind, a.severity, a.state,
    a.statistic, a.detected_step, a.onset_first_step, a.onset_last_step, a.sentence, a.created_at,
    a.updated_at, a.resolved_at, a.silenced_by IS NOT NULL AS silenced, a.superseded
FROM alerts a
JOIN runs r ON r.id = a.run_id
JOIN projects p ON p.id = r.project_id
"""

RUNS = """
CREATE VIEW bifurk_v1_runs AS
SELECT p.slug AS project, r.slug AS run, r.id AS run_id, r.display_name,
    coalesce(a.state, 'running') AS state, a.last_step, a.overhead_ratio, r.created_at, r.updated_at
FROM runs r
JOIN projects p ON p.id = r.project_id
LEFT JOIN attempts a ON a.id = (SELECT max(n.id) FROM attempts n WHERE n.run_id = r.id)
"""
# State, last step and overhead are those of the newest attempt, as in REST.


def upgrade() -> None:
    for statement in (SERIES, TENSORS, SCALARS, ALERTS, RUNS):
        op.execute(statement)


def downgrade() -> None:
    for view in ('runs', 'alerts', 'scalars', 'tensors', 'series'):
        op.execute(f'DROP VIEW bifurk_v1_{view}')
