"""Which checkpoints a folder holds, and of which steps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from bifurk_service.domain import LARGEST
from bifurk_service.errors import InvalidError

SAFETENSORS: Final = ".safetensors"
TORCH: Final = (".pt", ".pth", ".bin", ".ckpt")
INDEX: Final = ".index.json"
TRAINER_STATE: Final = "trainer_state.json"
"""What Hugging Face's trainer leaves beside the weights: step, losses, learning rates."""
NOT_WEIGHTS: Final = ("optimizer", "scheduler", "rng_state", "scaler", "training_args")

_SHARD: Final = re.compile(r"-\d+-of-\d+$")
_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The weights at one step.

    Attributes:
        path: folder or file, for messages. files: that hold the weights.
        learning_rate, loss: last logged at or before the step, where that is told.
    """

    step: int
    path: Path
    files: tuple[Path, ...]
    learning_rate: float | None = None
    loss: float | None = None


def find_checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints in a folder by step: a file or a subfolder each.

    A subfolder's step is what its ``trainer_state.json`` says; else, as for a file, the last number
    in its name. Weights without either are passed over where others have one.

    Raises:
        InvalidError: there are none, two have one step, or an index names a file that is not there.
    """
    found = [*_in_subfolders(folder), *_in_files(folder)]
    if not found:
        raise InvalidError(
            f"no checkpoint with a step in {folder}: expected files like step-100.safetensors or "
            f"folders like checkpoint-100 with weights ({SAFETENSORS}, {', '.join(TORCH)})"
        )
    for checkpoint in found:
        if not 0 <= checkpoint.step <= LARGEST:
            raise InvalidError(
                f"a step is at least 0 and below 2^63, that of {checkpoint.path.name} is "
                f"{checkpoint.step}"
            )
    found.sort(key=lambda checkpoint: checkpoint.step)
    for one, other in pairwise(found):
        if one.step == other.step:
            raise InvalidError(f"{one.path.name} and {other.path.name} are both of step {one.step}")
    return found


def _in_subfolders(folder: Path) -> Iterator[Checkpoint]:
    for inside in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = _weights(inside)
        state = _trainer_state(inside)
        told = state.get("global_step")
        step = told if isinstance(told, int) else _last_number(inside.name)
        if files and step is not None:
            yield Checkpoint(
                step=step,
                path=inside,
                files=files,
                learning_rate=_logged(state, "learning_rate", step),
                loss=_logged(state, "loss", step),
            )


def _in_files(folder: Path) -> Iterator[Checkpoint]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and _is_weights(path) and not _SHARD.search(path.stem):
            step = _last_number(path.stem)
            if step is not None:
                yield Checkpoint(step=step, path=path, files=(path,))


def _weights(folder: Path) -> tuple[Path, ...]:
    """The files of one checkpoint: what an index lists, else safetensors, else torch's."""
    for index in sorted(folder.glob(f"*{INDEX}"), key=lambda path: SAFETENSORS not in path.name):
        return _indexed(index)
    files = sorted(path for path in folder.iterdir() if path.is_file() and _is_weights(path))
    safe = tuple(path for path in files if path.suffix == SAFETENSORS)
    return safe or tuple(files)


def _indexed(index: Path) -> tuple[Path, ...]:
    try:
        names = {str(name) for name in _json(index)["weight_map"].values()}
    except (KeyError, AttributeError, TypeError) as error:
        raise InvalidError(f"{index} is no index of weights: no weight_map") from error
    for name in names:
        if Path(name).name != name or not (index.parent / name).is_file():
            raise InvalidError(f"{index} names {name!r}, which is no file beside it")
    return tuple(index.parent / name for name in sorted(names))


def _is_weights(path: Path) -> bool:
    known = path.suffix == SAFETENSORS or path.suffix in TORCH
    return known and not path.name.startswith(NOT_WEIGHTS)


def _trainer_state(folder: Path) -> Mapping[str, Any]:
    path = folder / TRAINER_STATE
    return _json(path) if path.is_file() else {}


def _logged(state: Mapping[str, Any], name: str, step: int) -> float | None:
    entries: Iterable[Any] = state.get("log_history") or ()
    values = [
        entry[name]
        for entry in entries
        if isinstance(entry, Mapping)
        and isinstance(entry.get(name), int | float)
        and isinstance(entry.get("step"), int)
        and entry["step"] <= step
    ]
    return float(values[-1]) if values else None


def _json(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise InvalidError(f"{path} holds no JSON object")
    return document


def _last_number(name: str) -> int | None:
    numbers = _NUMBER.findall(name)
    return int(numbers[-1]) if numbers else None
