"""PostgreSQL's advisory locks, a number each, so that no two things share one."""

from __future__ import annotations

from typing import Final

WRITER_LOCK: Final = 0x626966_75726B
"""The one that every write holds."""
RUN_LOCKS: Final = 0x626966
"""The first half of those that are a run's each."""
UPGRADE_LOCK: Final = WRITER_LOCK + 1
"""The one that whoever upgrades the schema holds."""
LISTENING_LOCK: Final = WRITER_LOCK + 2
"""The one that servers share which take in."""
