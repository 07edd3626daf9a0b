"""The tensors of a checkpoint, one after the other, in their own dtype; never unpickled code."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, deserialize

from bifurk.exact import STORAGE, Exact
from bifurk.layout import strip_wrappers
from bifurk_service.checkpoints.finding import SAFETENSORS, Checkpoint
from bifurk_service.errors import InvalidError, SetupError

DTYPES: Final = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
"""Of safetensors; tensors of others (integers, 8-bit floats) are passed over."""
SAFE_TORCH: Final = (2, 6)
STATE_DICT_KEYS: Final = ("state_dict", "model_state_dict", "model", "module")
"""Under which trainers put the weights beside other things."""

_DIGITS: Final = re.compile(r"(\d+)")
_NUMBERS: Final = re.compile(r"\d+")


def tensors_of(checkpoint: Checkpoint) -> dict[str, Exact]:
    """Every floating-point tensor by name, wrappers stripped; empty ones are left out.

    Raises:
        InvalidError: a file cannot be read, or holds other objects than tensors and numbers.
        SetupError: it is torch's, and torch is not installed.
    """
    found: dict[str, Exact] = {}
    for path in checkpoint.files:
        read = _safetensors if path.suffix == SAFETENSORS else _torch
        for name, values in read(path):
            short = strip_wrappers(name)
            found[name if short in found else short] = values
    if not found:
        raise InvalidError(f"{checkpoint.path} holds no floating-point tensor")
    return found


def _safetensors(path: Path) -> Iterator[tuple[str, Exact]]:
    try:
        entries = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except (SafetensorError, OSError) as error:
        raise InvalidError(f"{path} is no readable safetensors file: {error}") from error
    # The library gives them in no order that two readings would share.
    for name, entry in sorted(entries, key=lambda one: _natural(one[0])):
        dtype, shape = DTYPES.get(entry["dtype"]), tuple(entry["shape"])
        if dtype is not None and math.prod(shape):
            data = np.frombuffer(entry["data"], dtype=STORAGE[dtype]).reshape(shape)
            yield name, Exact(dtype=dtype, data=data)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which layer 10 comes after layer 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name)]


def _torch(path: Path) -> Iterator[tuple[str, Exact]]:
    try:
        import torch  # noqa: PLC0415 - an extra
    except ImportError:
        raise SetupError(f"{path.name} is torch's own format: pip install torch") from None
    if tuple(map(int, _NUMBERS.findall(torch.__version__)[:2])) < SAFE_TORCH:
        raise SetupError(
            f"torch {torch.__version__} may run code from a checkpoint even so (CVE-2025-32434); "
            f"reading {path.name} needs torch {SAFE_TORCH[0]}.{SAFE_TORCH[1]} or later"
        )
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidError(
            f"{path} holds other objects than tensors, and loading those would run their code; "
            f"save the state_dict alone ({str(error)[:200]})"
        ) from error
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        raise InvalidError(f"{path} is no readable checkpoint of torch's: {error!r}") from error
    for name, tensor in _state_dict(document).items():
        dtype = str(getattr(tensor, "dtype", "")).removeprefix("torch.")
        dense = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
        if dense and dtype in STORAGE and tensor.numel():
            plain = tensor.detach().contiguous()
            bits = plain.view(torch.int16) if dtype == "bfloat16" else plain
            yield str(name), Exact(dtype=dtype, data=bits.numpy().view(STORAGE[dtype]))


def _state_dict(document: Any) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise InvalidError(f"a checkpoint is a mapping of names, got a {type(document).__name__}")
    found: Mapping[str, Any] = document
    for _ in STATE_DICT_KEYS:
        inside = [found[key] for key in STATE_DICT_KEYS if isinstance(found.get(key), Mapping)]
        found = inside[0] if inside else found
    return found
