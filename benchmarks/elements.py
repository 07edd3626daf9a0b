"""What it costs to know every weight's distribution, beside the peers, all in one run.

A GPT of 162 million parameters in 148 tensors (GPT-2 small with an untied head and no positions:
50 matrices, 98 vectors), random weights, in float32 and in bfloat16, one thread for everything. In
every round each contender goes once through all weights, in turn:

- reading them: the sum of all values, the least that anything which reads every weight could cost;
- bifurk's client: counts of the large tensors, their samples, small tensors exactly, encoded;
- bifurk's service: from these counts and values to every stored element statistic, dip included;
- TensorBoard: ``add_histogram`` of every parameter, to a real event file;
- ``wandb.watch(log="parameters")``: its own hook, the logging behind it stubbed.

Then one tensor of 4 million values is counted: Gaussian, constant, and with 90 % zeros.

Quick: ``--rounds 1`` (half a minute).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from claims import Claim, options, report
from models import gpt_162m, parameter_count
from peers import add_histogram, wandb_watch
from torch import nn

from bifurk import sketch_torch
from bifurk.exact import Exact
from bifurk.sketch import SMALL_TENSOR_ELEMENTS, sample_positions
from bifurk.wire import Manifest, Part, TensorPart, encode
from bifurk_service.stats.distributions.distribution import Distribution, from_counts, from_values
from bifurk_service.stats.elements.element_table import element_table

ROUNDS = 5
STATISTICS_REPEATS = 5
"""Of the statistics in each round; they are a hundredth of the peers."""
ODD_ELEMENTS = 4_000_000
DTYPES = (torch.float32, torch.bfloat16)

Times = dict[str, list[float]]


def main() -> int:
    """Measures and reports; 0 when every target is met."""
    asked = options(__doc__ or "")
    rounds = asked.rounds or ROUNDS
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found: list[Claim] = []
    with tempfile.TemporaryDirectory() as folder:
        for dtype in DTYPES:
            model = random_model(dtype)
            if dtype is DTYPES[0]:
                found += size_of(model)
            times = measure(model, Path(folder) / str(dtype), rounds)
            found += claims(str(dtype).removeprefix("torch."), times)
            found += odd_tensors(dtype, rounds)
    return report(found, as_json=asked.json)


def random_model(dtype: torch.dtype) -> nn.Module:
    """Weights of a fresh initialisation's size; gains near 1. Nothing is trained."""
    with torch.device("meta"):
        model = gpt_162m()
        model.wpe = nn.Identity()
    model = model.to(dtype).to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.02)
            if "ln" in name and name.endswith("weight"):
                parameter.add_(1)
    return model


def measure(model: nn.Module, folder: Path, rounds: int) -> Times:
    """Seconds of every contender in every round, taken in turn after one look each."""
    client = Client(model)
    parts = client.look()
    contenders: dict[str, Callable[[], object]] = {
        "reading": lambda: [parameter.detach().sum() for parameter in model.parameters()],
        "bifurk client": lambda: encode(part_of(client.look())),
        "bifurk sketch": client.look,
        "bifurk statistics": lambda: element_table(distributions(parts)),
        "bifurk full": lambda: element_table(distributions(client.look())),
        "tensorboard": add_histogram(model, folder).look,
        "wandb": wandb_watch(model).look,
    }
    times: Times = {name: [] for name in contenders}
    for name, look in contenders.items():
        if name not in {"tensorboard", "wandb"}:
            look()
    for _ in range(rounds):
        for name, look in contenders.items():
            repeats = STATISTICS_REPEATS if name == "bifurk statistics" else 1
            times[name].append(min(seconds(look) for _ in range(repeats)))
    return times


def seconds(look: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    look()
    return time.perf_counter() - started


class Client:
    """Does to every parameter what the client's encoder does in the background."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = [(n, p.detach()) for n, p in model.named_parameters()]
        self._counter = sketch_torch.Counter()
        self._positions = {
            p.numel(): torch.from_numpy(sample_positions(p.numel()))
            for _, p in self._parameters
            if p.numel() > SMALL_TENSOR_ELEMENTS
        }

    def look(self) -> list[TensorPart]:
        """What is sent of every tensor, none in full."""
        return [self._carried(name, parameter) for name, parameter in self._parameters]

    def _carried(self, name: str, parameter: torch.Tensor) -> TensorPart:
        dtype = str(parameter.dtype).removeprefix("torch.")
        shape = tuple(parameter.shape)
        if parameter.numel() <= SMALL_TENSOR_ELEMENTS:
            return TensorPart(name=name, shape=shape, dtype=dtype, values=exact(parameter.ravel()))
        return TensorPart(
            name=name,
            shape=shape,
            dtype=dtype,
            counts=sketch_torch.sketch(parameter, counter=self._counter),
            sample=exact(parameter.view(-1)[self._positions[parameter.numel()]]),
        )


def exact(values: torch.Tensor) -> Exact:
    """The values as they travel; bfloat16 as bit patterns."""
    dtype = str(values.dtype).removeprefix("torch.")
    if values.dtype == torch.bfloat16:
        return Exact(dtype=dtype, data=values.view(torch.int16).numpy().view(np.uint16))
    return Exact(dtype=dtype, data=values.numpy())


def part_of(tensors: Sequence[TensorPart]) -> Part:
    """A part with these tensors."""
    manifest = Manifest(project="benchmarks", run="elements", attempt="0" * 32, step=0, sequence=0)
    return Part(manifest=manifest, tensors=tuple(tensors))


def distributions(tensors: Sequence[TensorPart]) -> list[Distribution]:
    """As the service makes them from what came."""
    return [
        from_values(tensor.values)
        if tensor.values is not None
        else from_counts(tensor.counts, dtype=tensor.dtype)
        for tensor in tensors
    ]


def odd_tensors(dtype: torch.dtype, rounds: int) -> list[Claim]:
    """Counting a constant tensor and one of zeros, over counting a Gaussian one of the same size.

    Many equal values in a row write one place of memory again and again, each waiting for the last.
    """
    gaussian = (0.02 * torch.randn(ODD_ELEMENTS)).to(dtype)
    tensors = {
        "Gaussian": gaussian,
        "constant": torch.full_like(gaussian, 0.1),
        "90 % zeros": torch.where(torch.rand(ODD_ELEMENTS) < 0.9, 0, gaussian),
    }
    counter = sketch_torch.Counter()
    times: Times = {name: [] for name in tensors}
    for _ in range(max(7, 3 * rounds)):
        for name, tensor in tensors.items():
            look = seconds(lambda tensor=tensor: sketch_torch.sketch(tensor, counter=counter))
            times[name].append(look)
    name = str(dtype).removeprefix("torch.")
    return [
        Claim(
            claim=f"{name}: counting {odd} / Gaussian",
            value=ratio(times, odd, "Gaussian"),
            unit="x",
            target=2,
        )
        for odd in ("constant", "90 % zeros")
    ]


def ratio(times: Times, one: str, other: str) -> float:
    """Median of the ratios of times taken in turn."""
    return statistics.median(a / b for a, b in zip(times[one], times[other], strict=True))


def size_of(model: nn.Module) -> list[Claim]:
    tensors = list(model.parameters())
    large = sum(tensor.numel() > SMALL_TENSOR_ELEMENTS for tensor in tensors)
    return [
        Claim(claim="parameters", value=parameter_count(model) / 1e6, unit="million"),
        Claim(claim="tensors", value=len(tensors), unit=""),
        Claim(claim="of these counted", value=large, unit=""),
    ]


def claims(dtype: str, times: Times) -> list[Claim]:
    """Medians, and ratios of rounds taken in turn."""
    middle = {name: statistics.median(taken) * 1e3 for name, taken in times.items()}
    limits = {"bifurk statistics": 60.0, "bifurk full": 300.0}
    return [
        *(
            Claim(claim=f"{dtype}: {name}", value=value, unit="ms", target=limits.get(name))
            for name, value in middle.items()
        ),
        Claim(
            claim=f"{dtype}: tensorboard / bifurk client",
            value=ratio(times, "tensorboard", "bifurk client"),
            unit="x",
            target=15,
            better="higher",
        ),
        Claim(
            claim=f"{dtype}: wandb / bifurk client",
            value=ratio(times, "wandb", "bifurk client"),
            unit="x",
            target=8,
            better="higher",
        ),
        Claim(
            claim=f"{dtype}: bifurk sketch / reading the same bytes",
            value=ratio(times, "bifurk sketch", "reading"),
            unit="x",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
