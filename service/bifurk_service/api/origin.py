"""Whether a request that changes something comes from a page of another server."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from bifurk_service.access import COOKIE

FOREIGN_SITES: Final = frozenset({"cross-site", "same-site"})
"""What browsers say in Sec-Fetch-Site; a page on another port of this machine is same-site."""


def comes_from_elsewhere(headers: Headers, *, public_url: str | None) -> bool:
    """Whether a page of another server sent it, or a browser with our cookie does not say which.

    Browsers name the site over https and on loopback (``Sec-Fetch-Site``), and with every form
    the origin of its page. What is no browser says neither and has no cookie.

    Args:
        public_url: where people reach this server, if it is told; else what ``Host`` says.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in FOREIGN_SITES
    origin = headers.get("origin")
    if origin is None:
        return _has_cookie(headers.get("cookie", ""))
    return _place(origin) not in {headers.get("host", "").lower(), _place(public_url or "")} - {""}


def _place(url: str) -> str:
    """Host and port of an origin; "" for ``null`` and for what is no address."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _has_cookie(header: str) -> bool:
    try:
        return COOKIE in SimpleCookie(header)
    except CookieError:
        return True
