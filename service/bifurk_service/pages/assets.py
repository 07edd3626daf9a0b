"""Scripts, styles and the icon: our own, and Bokeh's from its installed wheel; nothing else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Annotated, Final

import bokeh
from fastapi import APIRouter, Path, Response

from bifurk_service.errors import NotFoundError

router = APIRouter(prefix="/assets", include_in_schema=False)

TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
OWN: Final = (
    "page.css",
    "page.js",
    "figures.js",
    "live.js",
    "tensor.js",
    "compare.js",
    "report.js",
    "icon.svg",
)
BOKEH: Final = ("bokeh.min.js",)
A_DAY: Final = "public, max-age=86400"
"""Links name the version, so that a new version is asked for at once."""


@router.get("/{name}")
def get_asset(name: Annotated[str, Path(max_length=64)]) -> Response:
    """One of the known files; none other is read from any disk."""
    if name not in OWN and name not in BOKEH:
        raise NotFoundError(f"no asset {name!r}")
    return Response(
        asset(name),
        media_type=TYPES[FilePath(name).suffix],
        headers={"Cache-Control": A_DAY, "X-Content-Type-Options": "nosniff"},
    )


@cache
def asset(name: str) -> bytes:
    """The bytes of a known file."""
    if name in BOKEH:
        return (FilePath(bokeh.__file__).parent / "server/static/js" / name).read_bytes()
    return files("bifurk_service.pages").joinpath("static", name).read_bytes()
