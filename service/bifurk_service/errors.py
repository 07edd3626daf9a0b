"""The tree of errors that callers see, each with its HTTP status; one JSON shape for all."""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar, Final

REASONS: Final = (
    "parts_busy",
    "pages_busy",
    "storage",
    "connections",
    "not_ready",
    "requests_limit",
    "bytes_limit",
    "token_missing",
    "token_unknown",
    "scope",
    "project",
    "host",
    "foreign_site",
    "timeout",
    "too_large",
    "unsupported",
    "invalid",
    "conflict",
)
"""Why requests are turned away, in a word each; what is merely not there has none."""


class BifurkError(Exception):
    """Something that a caller did or met; ``detail`` says what was expected, came, and helps.

    Attributes:
        status: the HTTP status it is answered with.
        title: the same for every error of the class.
        where: the part of the request it concerns, or None.
        retry_after_seconds: when trying again may help, or None.
        reason: a word of ``REASONS`` for logs and metrics, the class's own where none is given.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    title: ClassVar[str] = "Internal error"
    usual_reason: ClassVar[str | None] = None

    def __init__(
        self,
        detail: str,
        *,
        where: str | None = None,
        retry_after_seconds: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.where = where
        self.retry_after_seconds = retry_after_seconds
        self.reason = reason or self.usual_reason


class NotFoundError(BifurkError):
    """Nothing of that name or number is stored."""

    status = HTTPStatus.NOT_FOUND
    title = "Not found"


class ConflictError(BifurkError):
    """It contradicts something that is stored already."""

    status = HTTPStatus.CONFLICT
    title = "Conflicts with what is stored"
    usual_reason = "conflict"


class RequestTimeoutError(BifurkError):
    """The body took longer to arrive than this server waits; nothing was stored."""

    status = HTTPStatus.REQUEST_TIMEOUT
    title = "Request timeout"
    usual_reason = "timeout"


class CutOffError(BifurkError):
    """The connection ended before the body did; nobody is there to hear this, but the log."""

    status = HTTPStatus.BAD_REQUEST
    title = "Cut off"


class TooLargeError(BifurkError):
    """Beyond a limit of this server."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    title = "Too large"
    usual_reason = "too_large"


class UnsupportedMediaError(BifurkError):
    """A body of a kind or encoding that this endpoint does not read."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    title = "Unsupported encoding"
    usual_reason = "unsupported"


class InvalidError(BifurkError):
    """The request is understood and wrong."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Invalid"
    usual_reason = "invalid"


class UnknownHostError(BifurkError):
    """Addressed by a name that this server does not go by."""

    status = HTTPStatus.BAD_REQUEST
    title = "Unknown host"
    usual_reason = "host"


class UnauthenticatedError(BifurkError):
    """No token, or one that is not known, expired or revoked."""

    status = HTTPStatus.UNAUTHORIZED
    title = "Token needed"
    usual_reason = "token_unknown"


class ForbiddenError(BifurkError):
    """A token whose scope or project does not reach this far."""

    status = HTTPStatus.FORBIDDEN
    title = "Not allowed"
    usual_reason = "scope"


class TooManyError(BifurkError):
    """A token that has used up what it may do in a minute; nothing was stored."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many requests"
    usual_reason = "requests_limit"


class BusyError(BifurkError):
    """More is under way than this server takes at once; nothing was stored."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Busy"
    usual_reason = "parts_busy"


class StorageError(BifurkError):
    """The disk or the database would not take it; nothing was stored."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Storage unavailable"
    usual_reason = "storage"


class NotReadyError(BifurkError):
    """The server runs and cannot do its work now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Not ready"
    usual_reason = "not_ready"


class SetupError(BifurkError):
    """The service cannot start as it is set up."""

    title = "Cannot start"
