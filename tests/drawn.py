"""How many examples a property is tried with: few in the suite, many under ``make fuzz``."""

from __future__ import annotations

import os
from typing import Final

DRAWN: Final = int(os.environ.get("FUZZ_EXAMPLES", "4"))
"""Tests multiply it by what one of their examples costs little enough for."""
