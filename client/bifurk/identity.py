"""Who posts: project, run, attempt, and this process's rank among the others.

An attempt is one try at a run. Among several ranks the launcher's job and restart ids name it,
so that its log and bifurk's pages can be told to belong together; a single process draws a fresh
name.
"""

from __future__ import annotations

import re
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import bifurk
from bifurk.wire.slug import MAX_SLUG_CHARACTERS, to_slug

NO_JOB: Final = "none"
"""What torchrun calls its job when nobody named it: no name that two attempts could share."""

TRAINERS: Final = ("transformers", "lightning", "pytorch_lightning", "accelerate", "peft")
"""Packages whose versions a run depends on as much as on torch's."""

WRITER_HEADER: Final = "Bifurk-Writer"
"""The same of all processes of one job, and of no others: an attempt is its first writer's."""
WRITER_BYTES: Final = 8
WORD_BYTES: Final = 4
"""Of chance in a fresh name, which carries the time or a job's id as well."""

_NOT_SLUG: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """This process among those that train together: ``0 <= rank < ranks``."""

    rank: int = 0
    ranks: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What every request of one attempt has in common.

    Attributes:
        parts: how many ranks send a part of each snapshot.
        writer: what tells this job from others under the same names; None where its processes
            could not agree on it.
    """

    project: str
    run: str
    attempt: str
    display_name: str | None = None
    tags: tuple[str, ...] = ()
    rank: Rank = Rank()
    parts: int = 1
    writer: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What every request says of whoever sends it."""
        return {} if self.writer is None else {WRITER_HEADER: self.writer}

    @property
    def speaks(self) -> bool:
        """Whether this process tells of the attempt, and hears of it, for all that send parts."""
        return self.rank.rank == 0

    @property
    def attempt_path(self) -> str:
        """The attempt's resource, from the server's root."""
        return f"/api/v1/projects/{self.project}/runs/{self.run}/attempts/{self.attempt}"

    def owns(self, path: str) -> bool:
        """Whether a request's path is the attempt's, or lies below it."""
        return f"{path}/".startswith(f"{self.attempt_path}/")

    def part_path(self, step: int) -> str:
        """The resource of this rank's part of the snapshot at ``step``."""
        return f"{self.attempt_path}/snapshots/{step}/parts/{self.rank.rank}"


def current_rank() -> Rank:
    """The rank that torch.distributed gave this process; 0 of 1 when it is not up."""
    import torch.distributed as dist  # noqa: PLC0415  torch only when watching

    if not (dist.is_available() and dist.is_initialized()):
        return Rank()
    return Rank(rank=dist.get_rank(), ranks=dist.get_world_size())


def choose_attempt(*, environ: Mapping[str, str], rank: Rank) -> str:
    """The attempt's name when the user gave none: the launcher's where there are several ranks."""
    if rank.ranks > 1:
        launched = launcher_attempt(environ)
        if launched is not None:
            return launched
    return fresh_attempt()


def launcher_attempt(environ: Mapping[str, str]) -> str | None:
    """A slug from the job and restart ids of torchrun or Slurm; None under neither.

    Slurm's step id is part of it, so that two ``srun`` in one allocation are two attempts.
    torchrun's job id is whatever the user writes, often the same for every job: a fresh word
    makes it a new attempt. Ranks draw different ones, of which only the first one's is posted.
    """
    job = environ.get("TORCHELASTIC_RUN_ID")
    if job and job != NO_JOB:
        name = _slug("torchelastic", job, environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
        word = f"-{secrets.token_hex(WORD_BYTES)}"
        return name[: MAX_SLUG_CHARACTERS - len(word)] + word
    if environ.get("SLURM_JOB_ID"):
        step = environ.get("SLURM_STEP_ID", "batch")
        restart = environ.get("SLURM_RESTART_COUNT", "0")
        return _slug("slurm", environ["SLURM_JOB_ID"], step, restart)
    return None


def fresh_attempt() -> str:
    """A name no other attempt has; sorts by time. The random states of the user stay untouched."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(WORD_BYTES)}"


def fresh_writer() -> str:
    """A word that no other job has."""
    return secrets.token_hex(WRITER_BYTES)


def fresh_run(stem: str = "run") -> str:
    """A name for a run that was given none; begins with what can be kept of the stem."""
    word = f"-{fresh_attempt()}"
    return to_slug(stem, "run")[: MAX_SLUG_CHARACTERS - len(word)] + word


def client_versions() -> dict[str, str]:
    """What made the parts, for the manifest; of the trainers, those the process has imported."""
    import torch  # noqa: PLC0415  torch only when watching

    trainers = {name: getattr(sys.modules.get(name), "__version__", None) for name in TRAINERS}
    return {
        "bifurk": bifurk.__version__,
        "torch": str(torch.__version__),
        **{name: str(version) for name, version in trainers.items() if version is not None},
    }


def _slug(*parts: str) -> str:
    return _NOT_SLUG.sub("-", "-".join(parts))[:MAX_SLUG_CHARACTERS]
