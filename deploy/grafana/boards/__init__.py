"""The Grafana dashboards as code: `python -m deploy.grafana.boards` writes their JSON anew.

Every expression names metrics of the service's one table, or what the recording rules make of them;
every SQL text reads the versioned views alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.boards import alerts, overview, run, service, spectra

__all__ = ["BOARDS", "FOLDER", "text"]

FOLDER: Final = Path(__file__).parents[1] / "dashboards"
BOARDS: Final[Mapping[str, Callable[[], builders.Dashboard]]] = {
    "bifurk": overview.board,
    "bifurk-run": run.board,
    "bifurk-spectra": spectra.board,
    "bifurk-alerts": alerts.board,
    "bifurk-service": service.board,
}
"""By uid, which is the file's name too."""


def text(uid: str) -> str:
    """One dashboard as Grafana's JSON, with a newline at the end."""
    board = _without_intervals(_numbered(BOARDS[uid]().uid(uid).build()))
    return JSONEncoder(sort_keys=True, indent=2).encode(board) + "\n"


def _numbered(board: models.Dashboard) -> models.Dashboard:
    """Panels with ids of their own, so that links to one panel survive a new build."""
    for number, panel in enumerate(board.panels or [], start=1):
        panel.id_val = number
    return board


def _without_intervals(board: models.Dashboard) -> models.Dashboard:
    """The SDK gives every variable what only those of intervals have."""
    for variable in (board.templating.list_val if board.templating else None) or []:
        variable.auto = variable.auto_count = variable.auto_min = None
    return board
