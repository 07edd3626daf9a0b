"""The memory that lies beside saved weights, and whether it was written with them.

Folders are used again: whoever saves into one without bifurk leaves the older memory there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import torch

from bifurk.integrations.memory import Memory, remembered

MEMORY_FILE: Final = "bifurk.json"
MEMORY_BYTES: Final = 4_096
"""A longer file is none of ours."""
WEIGHTS: Final = "weights"
SAMPLED: Final = 16
"""Weights of each parameter that the digest is made of: a step changes all that have a gradient."""


def write_memory(folder: Path, memory: Memory, models: Iterable[torch.nn.Module]) -> None:
    """Writes the file, with a digest of the models' weights as they are now.

    Raises:
        OSError: the folder cannot be written to.
    """
    document = memory.as_json() | {WEIGHTS: digest_of(models)}
    (folder / MEMORY_FILE).write_text(json.dumps(document), encoding="utf-8")


def read_memory(folder: Path) -> tuple[Memory, str] | None:
    """The memory and its digest; None where the file is missing or none of ours."""
    with (
        contextlib.suppress(OSError, ValueError, RecursionError),
        (folder / MEMORY_FILE).open("rb") as file,
    ):
        document = json.loads(file.read(MEMORY_BYTES))
        memory = remembered(document)
        digest = document.get(WEIGHTS) if isinstance(document, Mapping) else None
        if memory is not None and isinstance(digest, str):
            return memory, digest
    return None


@torch.no_grad()
def digest_of(models: Iterable[torch.nn.Module]) -> str:
    """A digest of evenly spaced weights of every parameter; the same on any device.

    Waits for the device, as saving does anyway.
    """
    digest = hashlib.sha256()
    for model in models:
        for parameter in model.parameters():
            flat = parameter.detach().reshape(-1)
            few = flat[:: max(1, flat.numel() // SAMPLED)][:SAMPLED]
            digest.update(few.to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()[:32]
