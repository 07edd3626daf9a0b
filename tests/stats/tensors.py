"""Tensors to measure, as the client would send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import STORAGE, Exact
from bifurk.sketch import Sketch, bfloat16_bits, sketch, sketch_bits
from bifurk_service.stats.distributions.distribution import Distribution, from_counts, from_values
from bifurk_service.stats.measure import TensorInput, measure_tensors
from bifurk_service.stats.registry import STATISTICS
from bifurk_service.stats.value import NoValue, Value

DTYPES = ("bfloat16", "float16", "float32", "float64")


def exact(values: Any, dtype: str = "float32") -> Exact:
    """Values in a dtype of torch's; bfloat16 rounded to nearest even."""
    array = np.asarray(values)
    if dtype == "bfloat16":
        return Exact(dtype=dtype, data=bfloat16_bits(array.astype(np.float64)).reshape(array.shape))
    with np.errstate(over="ignore"):
        return Exact(dtype=dtype, data=array.astype(STORAGE[dtype]))


def counted(values: Exact) -> Sketch:
    """The counts a client sends of these values."""
    if values.dtype == "bfloat16":
        return sketch_bits(values.data.astype(np.uint16), "bf16")
    return sketch(values.float32_or_wider() if values.dtype != "float16" else values.data)  # type: ignore[arg-type]


def small(tensor: Exact, /, **others: Any) -> TensorInput:
    """A tensor that travels as exact values."""
    flat = Exact(dtype=tensor.dtype, data=tensor.data.reshape(-1))
    known: dict[str, Any] = {
        "shape": tensor.data.shape,
        "dtype": tensor.dtype,
        "counts": None,
        "values": flat,
        "full": None,
        "trace": flat,
        "previous_trace": None,
        "first_trace": None,
        "steps_since_previous": None,
    }
    return TensorInput(**known | others)


def large(tensor: Exact, /, **others: Any) -> TensorInput:
    """A tensor that travels as counts."""
    return small(tensor, **({"counts": counted(tensor), "values": None, "trace": None} | others))


def measure_tensor(tensor: TensorInput) -> dict[str, Value]:
    """All registered statistics of one tensor, each a finite float64 or ``NoValue``."""
    table = measure_tensors({"": tensor}).tensors
    reasons = table.reasons[0]
    return {
        s.name: NoValue(reasons[s.name]) if s.name in reasons else float(value)
        for s, value in zip(STATISTICS, table.values[0], strict=True)
    }


def distribution_of(values: Exact, *, carried: str) -> Distribution:
    """What the service makes of the values when they are carried as ``values`` or as ``counts``."""
    if carried == "values":
        return from_values(values)
    return from_counts(counted(values), dtype=values.dtype)


def number(value: Value) -> float:
    """The value as a number, which it must be."""
    assert not isinstance(value, NoValue), value
    return value


def weights(kind: str, size: int, *, seed: int = 0) -> NDArray[np.float64]:
    """Float64 weights of a named law, about the size of a real layer's."""
    rng = np.random.default_rng(seed)
    laws: dict[str, Callable[[], NDArray[np.float64]]] = {
        "gaussian": lambda: rng.normal(size=size),
        "laplace": lambda: rng.laplace(size=size),
        "uniform": lambda: rng.uniform(-1, 1, size),
        "student3": lambda: rng.standard_t(3, size),
        "student2": lambda: rng.standard_t(2, size),
        "logistic": lambda: rng.logistic(size=size),
        "triangular": lambda: rng.triangular(-1, 0, 1, size),
        "lognormal": lambda: rng.lognormal(0, 0.5, size),
        "half normal": lambda: np.abs(rng.normal(size=size)),
        "far from zero": lambda: 12 + rng.normal(size=size),
        "scale mixture": lambda: (
            rng.normal(size=size) * np.where(rng.uniform(size=size) < 0.03, 3, 0.2)
        ),
        "mostly zero": lambda: np.where(rng.uniform(size=size) < 0.9, 0, rng.normal(size=size)),
    }
    return 0.02 * laws[kind]()


LAWS = (
    "gaussian",
    "laplace",
    "uniform",
    "student3",
    "student2",
    "logistic",
    "triangular",
    "lognormal",
    "half normal",
    "far from zero",
    "scale mixture",
    "mostly zero",
)
