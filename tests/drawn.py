"""How many examples a property is tried with: few in the suite, many under ``make fuzz``."""

from __future__ import annotations

import os
from typing import Final

MANY: Final = "FUZZ_EXAMPLES" in os.environ
"""Whether it is ``make fuzz`` that asks."""

DRAWN: Final = int(os.environ.get("FUZZ_EXAMPLES", "4"))
"""Tests multiply it by what one of their examples costs little enough for."""
