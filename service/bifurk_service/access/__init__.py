"""Who may do what, how much of it, and who did it."""

from bifurk_service.access.acting import note_act, who
from bifurk_service.access.allowances import Allowances
from bifurk_service.access.requiring import (
    ANYONE,
    COOKIE,
    check_project,
    note_upload,
    require,
)

__all__ = [
    "ANYONE",
    "COOKIE",
    "Allowances",
    "check_project",
    "note_act",
    "note_upload",
    "require",
    "who",
]
