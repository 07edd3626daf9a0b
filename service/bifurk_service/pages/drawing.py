"""Figures as answers."""

from __future__ import annotations

from collections.abc import Sequence

from bokeh.plotting import figure
from fastapi import Response

from bifurk_service.api.freshness import CACHE_CONTROL
from bifurk_service.figures.document import document
from bifurk_service.figures.theme import ThemeName


def drawn(figures: Sequence[figure], *, theme: ThemeName) -> Response:
    """Figures one below the other as JSON for the browser; 204 where there is none."""
    if not figures:
        return Response(status_code=204)
    return Response(
        document(figures, theme=theme),
        media_type="application/json",
        headers={"Cache-Control": CACHE_CONTROL},
    )
