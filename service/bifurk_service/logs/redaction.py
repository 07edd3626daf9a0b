"""Takes secrets out of lines, should one ever get into an error's text.

No line is meant to hold one: what is logged is chosen so. This is the second wall.
"""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "[hidden]"
SECRETS: Final = (
    (re.compile(r"\bbifurk_(\d{1,18})_[\w-]{8,}"), rf"bifurk_\1_{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+@"), rf"\1{HIDDEN}@"),
    (
        re.compile(
            r"(?i)\b(bifurk_token|authorization|set-cookie|cookie|password)([=:]\s*)[^\s;,]+"
        ),
        rf"\1\2{HIDDEN}",
    ),
)
"""Tokens of the service, credentials of headers, passwords in addresses, and named ones."""


def redacted(text: str) -> str:
    """The text with what looks like a secret replaced.

    >>> redacted("no answer from postgresql://bifurk:wachtwoord@db/x")
    'no answer from postgresql://bifurk:[hidden]@db/x'
    """
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text
