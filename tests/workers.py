"""Which tests stay together where several workers run them, and who begins with what."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from xdist.scheduler import LoadScopeScheduling

SHARING = ("browser", "deploy", "api", "pages", "faults", "cli", "e2e", "demo", "distributed")
"""Areas whose files share servers or trainings, the longest first; one worker has all of one."""


def unit_of(node: str) -> str:
    """What goes to one worker as a whole: an area that shares, else the file."""
    file = node.partition("::")[0]
    area = PurePosixPath(file).parts[1]
    return area if area in SHARING else file


def longest_first(items: list[pytest.Item]) -> None:
    """Brings what takes longest to the front, so that no worker is left with it at the end."""
    last = len(SHARING)
    rank = {area: place for place, area in enumerate(SHARING)}
    items.sort(key=lambda item: rank.get(unit_of(item.nodeid), last))


class ByUnit(LoadScopeScheduling):
    """Hands out units in the order of their tests, a next one to whoever is nearly done."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
