"""What Prometheus is told: one table, this process's own counts, and the stored state."""

from bifurk_service.metrics.now import UnderWay
from bifurk_service.metrics.service import CONTENT_TYPE, ServiceMetrics
from bifurk_service.metrics.table import METRICS, MetricRow

__all__ = ["CONTENT_TYPE", "METRICS", "MetricRow", "ServiceMetrics", "UnderWay"]
