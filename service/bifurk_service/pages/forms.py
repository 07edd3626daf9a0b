"""What a browser posts from a form of ours."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias
from urllib.parse import parse_qs

from fastapi import Depends, Request

MOST_FORM_BYTES: Final = 32 << 10


async def posted(request: Request) -> dict[str, str]:
    """The fields of a form, each one's last value."""
    body = (await request.body())[:MOST_FORM_BYTES].decode("utf-8", "replace")
    return {name: values[-1] for name, values in parse_qs(body, keep_blank_values=True).items()}


Form: TypeAlias = Annotated[dict[str, str], Depends(posted)]
