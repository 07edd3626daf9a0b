"""One name for an attempt that several processes post to, found without waiting for any of them.

The processes of a job share a small store of keys, from which torch built their group. Whoever
comes first puts the names there, and all others read them: no collective, no barrier, and it does
not matter whether the others ever come.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Final

from bifurk.config import WatchSettings
from bifurk.configure import given
from bifurk.identity import Rank, choose_attempt, fresh_run, fresh_writer

KEY: Final = "bifurk/attempt"

_watches = itertools.count()
"""Numbers the watches of this process, so that a second one is a second attempt."""
_writers = itertools.count()
"""Numbers the writers of this process, which a watch has under given names as well."""


class NoSharedStoreError(ValueError):
    """The processes share no store; the message says what to do instead."""


def shared_names(
    settings: WatchSettings, *, environ: Mapping[str, str], rank: Rank
) -> WatchSettings:
    """The settings with names that all processes of the job come to.

    What the arguments or the environment decide stays; it has to be the same in all of them.

    Args:
        settings: as ``watch`` received them. environ: the process's own. rank: among how many.

    Raises:
        NoSharedStoreError: nothing decides the names, and the processes share no store.
    """
    number = next(_watches)
    decided = given(settings, environ=environ)
    if {"run", "attempt"} <= decided:
        return settings
    mine = {"run": fresh_run(), "attempt": choose_attempt(environ=environ, rank=rank)}
    agreed = _first_comers(f"{KEY}/{number}", mine)
    chosen = settings.copy()
    if "run" not in decided:
        chosen["run"] = agreed["run"]
    if "attempt" not in decided:
        chosen["attempt"] = agreed["attempt"]
    return chosen


def shared_writer(rank: Rank) -> str | None:
    """What tells this job from others under its names, the same in all of its processes.

    None where they share no store: the server then cannot tell them from another job's.
    """
    if rank.ranks == 1:
        return fresh_writer()
    try:
        key = f"{KEY}/writer/{next(_writers)}"
        return _first_comers(key, {"writer": fresh_writer()})["writer"]
    except NoSharedStoreError:
        return None


def _first_comers(key: str, mine: dict[str, str]) -> dict[str, str]:
    import torch.distributed.distributed_c10d as c10d  # noqa: PLC0415  torch only when watching

    try:
        store = c10d._get_default_store()  # noqa: SLF001 - torch has no public way to it
        stored = store.compare_set(key, "", json.dumps(mine))
        names = json.loads(stored)
        return {name: str(names[name]) for name in mine}
    except Exception as error:
        raise NoSharedStoreError(
            "each process sends its shards, and they have no store to agree on a name in "
            f"({type(error).__name__}: {error}): pass run= and attempt=, the same in all of them, "
            "another attempt for every start"
        ) from error
