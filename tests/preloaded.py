"""What commands have imported when they start; the garbage collector looks through none of it."""

from __future__ import annotations

import gc
import importlib

gc.disable()
for _name in ("pytest", "bifurk_service.cli", "bifurk_service.server"):
    importlib.import_module(_name)
gc.freeze()
gc.enable()
