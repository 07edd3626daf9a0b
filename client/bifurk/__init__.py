"""bifurk watches how a model's weights move while it trains.

``import bifurk`` is light: torch is imported by the first use of ``watch``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bifurk.alerts import Alert
    from bifurk.config import WatchConfig
    from bifurk.monitor import Monitor
    from bifurk.watching import watch

__version__ = "0.1.0"

__all__ = ["Alert", "Monitor", "WatchConfig", "__version__", "watch"]

# No module is called `watch`: importing it would put the module where the function belongs.
_HOMES = {
    "Alert": "bifurk.alerts",
    "Monitor": "bifurk.monitor",
    "WatchConfig": "bifurk.config",
    "watch": "bifurk.watching",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
