"""The text of a token, and what of its secret is kept: a digest, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from bifurk_service.store.models import Token

PREFIX: Final = "bifurk"
SECRET_BYTES: Final = 32
MOST_DIGITS: Final = 18
"""Of a token's number; more would fit no column."""
NOBODYS: Final = "0" * 64
"""Compared with where there is no digest; no secret is known whose digest this is."""


def fresh_secret() -> str:
    """A secret that nobody has had before."""
    return secrets.token_urlsafe(SECRET_BYTES)


def written(token_id: int, secret: str) -> str:
    """The token as it is given out, once."""
    return f"{PREFIX}_{token_id}_{secret}"


def parted(presented: str) -> tuple[int, str] | None:
    """The number and the secret of what is presented as a token; None: it is none."""
    prefix, _, rest = presented.partition("_")
    number, _, secret = rest.partition("_")
    return (int(number), secret) if prefix == PREFIX and is_number(number) else None


def is_number(text: str) -> bool:
    """Whether a text may be a token's number."""
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def digest_of(secret: str) -> str:
    """What is kept of a secret: SHA-256 in hex. It is random, and too long to be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_secret_of(token: Token | None, secret: str, *, now: float) -> bool:
    """Compares with both secrets that a token may have, in the same time whatever it has.

    Args:
        token: None compares too, and is never it. now: seconds since 1970 UTC.
    """
    given = digest_of(secret)
    current = NOBODYS if token is None else token.digest
    previous = (None if token is None else token.previous_digest) or NOBODYS
    is_current = hmac.compare_digest(current, given)
    is_previous = hmac.compare_digest(previous, given)
    until = None if token is None else token.previous_until
    return is_current or (is_previous and until is not None and now < until)
