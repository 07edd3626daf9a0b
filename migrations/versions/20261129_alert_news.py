"""alerts of an attempt by their last change: every answer to its client tells the newest

Revision: 20261129_alert_news, after 20261128_run_tags
"""

from alembic import op

revision = "20261129_alert_news"
down_revision = "20261128_run_tags"
branch_labels = None
depends_on = None

COLUMNS = ["attempt_id", "parent", "superseded", "silenced_by", "updated_at"]


def upgrade() -> None:
    op.create_index("ix_alerts_news", "alerts", COLUMNS)


def downgrade() -> None:
    op.drop_index("ix_alerts_news", table_name="alerts")
