"""On a real CUDA device: the same counts, the same training, and nothing that waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pytest
import torch
from torch import nn

import bifurk
from bifurk import sketch as sketches
from bifurk.capture import Capture
from bifurk.config import WatchConfig
from bifurk.sketch_torch import sketch
from bifurk.testing import InMemoryTransport

pytestmark = pytest.mark.cuda

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
SPECIAL = (0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-40, -1e-40, 3.4e38)
WIDTH = 256
EVERY = 2

Payload: TypeAlias = Literal["sketch", "full"]


class Net(nn.Module):
    """A large matrix that is transposed, one that is not, and small tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(512, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.output = nn.Linear(WIDTH, 512)
        self.output.weight = nn.Parameter(self.output.weight.detach().t().contiguous().t())

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.embedding(tokens).mean(dim=1))
        output: torch.Tensor = self.output(nn.functional.dropout(hidden, p=0.2))
        return output


def new_training() -> tuple[Net, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = Net().cuda()
    return model, torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, *, steps: int) -> list[torch.Tensor]:
    """Random tokens made on the device; the losses stay there."""
    losses = []
    for _ in range(steps):
        tokens = torch.randint(0, 512, (64, 16), device="cuda")
        loss = nn.functional.cross_entropy(model(tokens), tokens[:, 0])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.detach())
    return losses


@contextmanager
def watched(
    model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path, *, payload: Payload = "sketch"
) -> Iterator[tuple[bifurk.Monitor, InMemoryTransport]]:
    transport = InMemoryTransport()
    with bifurk.watch(
        model,
        optimizer,
        run="cuda",
        every=EVERY,
        payload=payload,
        overhead_budget=None,
        transport=transport,
        spool_dir=folder,
    ) as monitor:
        yield monitor, transport


def specimen(dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(300, 257, generator=generator, dtype=torch.float64)
    values.view(-1)[: len(SPECIAL)] = torch.tensor(SPECIAL, dtype=torch.float64)
    return values.to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("constant", [False, True])
def test_the_device_counts_as_the_host_does(dtype: torch.dtype, constant: bool) -> None:
    values = torch.full((300, 257), 0.1, dtype=dtype) if constant else specimen(dtype)
    on_host, on_device = sketch(values), sketch(values.cuda())
    assert on_device.format == on_host.format
    np.testing.assert_array_equal(on_device.keys, on_host.keys)
    np.testing.assert_array_equal(on_device.counts, on_host.counts)


def test_a_snapshot_holds_its_own_step_s_values_while_training_goes_on() -> None:
    model, optimizer = new_training()
    capture = Capture(model, config=WatchConfig(mode="online", payload="sketch"))
    for _ in range(6):
        train(model, optimizer, steps=1)
        snapshot = capture.take(full=False)
        assert snapshot is not None
        then = {name: value.detach().clone() for name, value in model.named_parameters()}
        train(model, optimizer, steps=20)
        for staged in snapshot.tensors():
            expected = then[staged.watched.name].reshape(-1).cpu()
            if staged.values is not None:
                assert torch.equal(staged.values, expected)
                continue
            assert staged.table is not None
            got = sketches.from_table(staged.table.numpy().astype(np.int64), "bf16")
            np.testing.assert_array_equal(got.counts, sketch(expected).counts)
            positions = torch.from_numpy(sketches.sample_positions(expected.numel()))
            assert staged.sample is not None
            assert torch.equal(staged.sample, expected[positions])
        snapshot.release()


@pytest.mark.parametrize("payload", ["sketch", "full"])
def test_a_step_that_is_watched_never_waits_for_the_device(
    payload: Payload, tmp_path: Path
) -> None:
    model, optimizer = new_training()
    with watched(model, optimizer, tmp_path, payload=payload) as (monitor, transport):
        # Buffers are made at first, which waits; as many stages as there may be must exist.
        for _ in range(12):
            train(model, optimizer, steps=EVERY)
        assert monitor.flush(60)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for loss in train(model, optimizer, steps=4 * EVERY):
                monitor.log(loss=loss)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert monitor.flush(60)
    assert [part.manifest.step for part in transport.parts()][-4:] == [26, 28, 30, 32]


@pytest.mark.parametrize("deterministic", [False, True])
def test_the_same_losses_bit_for_bit(deterministic: bool, tmp_path: Path) -> None:
    torch.use_deterministic_algorithms(deterministic, warn_only=False)
    try:
        plain = torch.stack(train(*new_training(), steps=30)).cpu()
        model, optimizer = new_training()
        with watched(model, optimizer, tmp_path) as (monitor, transport):
            seen = torch.stack(train(model, optimizer, steps=30)).cpu()
            assert monitor.flush(60)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(plain, seen)
    assert len(transport.parts()) == 17


def test_memory_on_the_device_does_not_grow_with_snapshots_or_with_the_model(
    tmp_path: Path,
) -> None:
    model, optimizer = new_training()
    train(model, optimizer, steps=3)
    before = torch.cuda.memory_allocated()
    with watched(model, optimizer, tmp_path) as (monitor, _):
        train(model, optimizer, steps=8)
        assert monitor.flush(60)
        early = torch.cuda.memory_allocated()
        train(model, optimizer, steps=40)
        assert monitor.flush(60)
        late = torch.cuda.memory_allocated()
    tables, scratch = 2 * 65536 * 4, (8 + 4 + 2) * (1 << 22)
    assert late <= early + 65536
    assert early - before <= tables + scratch + (4 << 20)


def test_a_step_recorded_as_a_cuda_graph_is_replayed_unharmed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(WIDTH, WIDTH).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, capturable=True)
    batch = torch.randn(64, WIDTH, device="cuda")

    def step() -> None:
        optimizer.zero_grad(set_to_none=False)
        model(batch).square().mean().backward()
        optimizer.step()

    with watched(model, optimizer, tmp_path) as (monitor, transport):
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(4):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        before = model.weight.detach().clone()
        graph.replay()
        assert monitor.flush(60)
    assert not torch.equal(before, model.weight)
    assert [part.manifest.step for part in transport.parts()] == [0, 1, 2, 4]


def test_a_model_that_moves_to_the_device_is_followed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    with watched(model, optimizer, tmp_path) as (monitor, transport):
        model.cuda()
        train(model, optimizer, steps=4)
        assert monitor.flush(60)
    assert [part.manifest.step for part in transport.parts()] == [0, 1, 2, 4]
