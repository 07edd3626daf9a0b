"""What the service writes about itself: one line an event, as text or JSON, without secrets."""

from bifurk_service.logs.context import bind, bound, fields
from bifurk_service.logs.request import RequestRecord, begin_request, current_request
from bifurk_service.logs.setup import configure

__all__ = [
    "RequestRecord",
    "begin_request",
    "bind",
    "bound",
    "configure",
    "current_request",
    "fields",
]
