"""The page: server-rendered, its figures built in Python; it reads what REST reads."""

from bifurk_service.pages import (
    alert,
    alert_evidence,
    alerts,
    assets,
    branches,
    compare,
    compare_figures,
    interface,
    overview,
    report,
    run,
    runs,
    sign_in,
    tagging,
    tensor,
    tensor_data,
    tensor_step,
)

PAGES = (
    runs.router,
    run.router,
    overview.router,
    tagging.router,
    report.router,
    tensor.router,
    tensor_step.router,
    tensor_data.router,
    alerts.router,
    alert.router,
    alert_evidence.router,
    branches.router,
    compare.router,
    compare_figures.router,
    interface.router,
)
"""Routers, in the order of their paths; a few of their requests are answered at a time."""
SIGNING = (sign_in.router, assets.router)
"""What costs next to nothing, and waits for nobody."""
