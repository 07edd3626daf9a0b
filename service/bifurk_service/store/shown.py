"""Which runs people see: not those that are being brought in or removed."""

from __future__ import annotations

from sqlalchemy import ColumnElement

from bifurk_service.store.models import Run


def is_shown() -> ColumnElement[bool]:
    """For a query over runs; the slug of one that is hidden begins with a dot."""
    return Run.slug.not_like(".%")
