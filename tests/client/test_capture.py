"""Values leave the parameters unchanged, into buffers that are kept, whatever their form."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bifurk import sketch as sketches
from bifurk.capture import Capture
from bifurk.config import WatchConfig
from bifurk.device_counts import DeviceCounts
from bifurk.selection import select
from bifurk.staging import Stage, StagedTensor

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
LARGE = 150 * 128
BYTES = LARGE * 4


class Matrices(nn.Module):
    """``count`` matrices, each larger than what travels as exact values."""

    w0: nn.Parameter
    w1: nn.Parameter

    def __init__(self, count: int = 1, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        for number in range(count):
            values = torch.randn(150, 128, generator=generator, dtype=torch.float64)
            self.register_parameter(f"w{number}", nn.Parameter(values.to(dtype)))


def config(**settings: Any) -> WatchConfig:
    return WatchConfig(**({"mode": "online"} | settings))


def taken(capture: Capture, *, full: bool = True) -> Iterator[StagedTensor]:
    snapshot = capture.take(full=full)
    assert snapshot is not None
    yield from snapshot.tensors()
    snapshot.release()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_large_tensor_leaves_its_16_bit_keys_and_an_exact_sample(dtype: torch.dtype) -> None:
    model = Matrices(dtype=dtype)
    capture = Capture(model, config=config(payload="sketch"))
    (staged,) = taken(capture)
    flat = model.w0.detach().view(-1)
    key_dtype = dtype if dtype.itemsize == 2 else torch.bfloat16
    assert staged.keys is not None
    torch.testing.assert_close(staged.keys, flat.to(key_dtype), rtol=0, atol=0)
    sampled = staged.sample if staged.sample is not None else staged.keys[positions()]
    torch.testing.assert_close(sampled, flat[positions()], rtol=0, atol=0)


def positions() -> torch.Tensor:
    return torch.from_numpy(sketches.sample_positions(LARGE))


@pytest.mark.parametrize(
    "lay_out",
    [lambda w: w.t(), lambda w: w[:, ::2], lambda w: w[:, :1].expand(-1, 128)],
    ids=["transposed", "strided", "expanded"],
)
def test_values_that_do_not_lie_in_order_are_read_in_order(lay_out: Any) -> None:
    model = Matrices()
    model.w0 = nn.Parameter(lay_out(torch.randn(300, 256)))
    assert not model.w0.is_contiguous()
    flat = model.w0.detach().reshape(-1)
    sample_at = torch.from_numpy(sketches.sample_positions(flat.numel()))
    (sketched,) = taken(Capture(model, config=config(payload="sketch")))
    assert sketched.keys is not None
    assert torch.equal(sketched.keys, flat.bfloat16())
    assert sketched.sample is not None
    assert torch.equal(sketched.sample, flat[sample_at])
    (full,) = taken(Capture(model, config=config(payload="full")))
    assert full.full is not None
    assert torch.equal(full.full, flat)


def test_small_tensors_are_exact_and_scalars_are_tensors_too() -> None:
    model = nn.Module()
    model.gain = nn.Parameter(torch.tensor(float("nan")))
    model.bias = nn.Parameter(torch.tensor([-0.0, float("inf"), 1e-42]))
    gain, bias = taken(Capture(model, config=config()))
    assert gain.values is not None
    assert bias.values is not None
    assert torch.isnan(gain.values).all()
    assert torch.equal(bias.values.view(torch.int32), model.bias.detach().view(torch.int32))


def test_buffers_are_kept_from_snapshot_to_snapshot() -> None:
    model = Matrices()
    capture = Capture(model, config=config(payload="sketch"))
    (first,) = taken(capture)
    (second,) = taken(capture)
    assert first.keys is not None
    assert second.keys is not None
    assert first.keys.data_ptr() == second.keys.data_ptr()


def test_a_snapshot_in_use_is_never_overwritten_and_buffers_run_out() -> None:
    model = Matrices()
    capture = Capture(model, config=config(payload="sketch"))
    held = []
    while (snapshot := capture.take(full=False)) is not None:
        held.append((snapshot, model.w0.detach().bfloat16().view(-1).clone()))
        with torch.no_grad():
            model.w0.add_(1)
    assert 2 <= len(held) <= 8
    for snapshot, expected in held:
        (staged,) = snapshot.tensors()
        assert staged.keys is not None
        assert torch.equal(staged.keys, expected)
    held[0][0].release()
    held[0][0].release()
    assert capture.take(full=False) is not None
    assert capture.take(full=False) is None


def test_reading_touches_neither_autograd_nor_random_states() -> None:
    model = Matrices()
    capture = Capture(model, config=config(payload="full"))
    loss = (model.w0**2).sum()
    version, random = model.w0._version, torch.random.get_rng_state()
    numpy_random = str(np.random.get_state())  # noqa: NPY002  the user's global state is the point
    (staged,) = taken(capture)
    assert model.w0._version == version
    assert torch.equal(torch.random.get_rng_state(), random)
    assert str(np.random.get_state()) == numpy_random  # noqa: NPY002
    assert staged.full is not None
    assert not staged.full.requires_grad
    loss.backward()  # type: ignore[no-untyped-call]


def test_full_values_take_turns_within_their_bytes() -> None:
    model = Matrices(5)
    capture = Capture(model, config=config(full_bytes=2 * BYTES))
    turns = [
        [index for index, staged in enumerate(taken(capture)) if staged.full is not None]
        for _ in range(4)
    ]
    assert turns == [[0, 1], [2, 3], [0, 4], [1, 2]]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"payload": "auto"}, 3),
        ({"payload": "full", "full_bytes": 0}, 3),
        ({"payload": "sketch"}, 0),
        ({"payload": "auto", "mode": "offline"}, 0),
        ({"payload": "full", "mode": "offline"}, 3),
        ({"payload": "auto", "full_bytes": BYTES - 1}, 0),
    ],
)
def test_the_payload_decides_what_travels_in_full(settings: dict[str, Any], expected: int) -> None:
    model = Matrices(3)
    capture = Capture(model, config=config(**settings))
    assert sum(staged.full is not None for staged in taken(capture, full=True)) == expected
    assert sum(staged.full is not None for staged in taken(capture, full=False)) == 0


def test_a_parameter_added_or_frozen_later_is_noticed() -> None:
    model = Matrices(2)
    capture = Capture(model, config=config())
    model.later = nn.Linear(3, 3)
    model.w1.requires_grad_(False)
    assert [s.watched.name for s in taken(capture)] == ["w0", "later.weight", "later.bias"]


def test_a_model_whose_dtype_changes_is_read_in_the_new_one() -> None:
    model = Matrices()
    capture = Capture(model, config=config(payload="sketch"))
    list(taken(capture))
    model.to(torch.float16)
    (staged,) = taken(capture)
    assert staged.watched.dtype == "float16"
    assert staged.keys is not None
    assert torch.equal(staged.keys, model.w0.detach().view(-1))


def test_one_warning_lists_what_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    model = Matrices()
    model.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    model.phases = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    with caplog.at_level(logging.WARNING, "bifurk"):
        capture = Capture(model, config=config())
        list(taken(capture))
        model.w0.requires_grad_(True)
        list(taken(capture))
    assert caplog.messages == ["not watched: complex: phases; frozen: frozen"]


def test_a_model_with_nothing_to_watch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no parameter to watch \(none at all\)"):
        Capture(nn.ReLU(), config=config())
    with pytest.raises(ValueError, match=r"no parameter to watch \(not watched: frozen: weight"):
        Capture(nn.Linear(2, 2).requires_grad_(False), config=config())


def test_a_failed_reading_gives_its_buffers_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Matrices()
    capture = Capture(model, config=config())

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Stage, "read", fail)
        for _ in range(20):
            with pytest.raises(MemoryError):
                capture.take(full=True)
    assert capture.take(full=True) is not None


def counts_on_the_host(values: torch.Tensor) -> sketches.Sketch:
    if values.dtype == torch.bfloat16:
        return sketches.sketch_bits(values.view(torch.int16).numpy().view(np.uint16), "bf16")
    return sketches.sketch(values.numpy())


def test_weights_that_are_gone_are_an_error_not_a_crash() -> None:
    model = Matrices()
    capture = Capture(model, config=config())
    del model
    with pytest.raises(ReferenceError, match="no longer exist"):
        capture.take(full=True)


def test_a_parameter_that_takes_over_another_s_id_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bifurk.capture.signature", lambda model, trained: ())
    model = Matrices()
    capture = Capture(model, config=config(payload="sketch"))
    model.w0 = nn.Parameter(torch.full((150, 128), 2.0))
    (staged,) = taken(capture)
    assert staged.keys is not None
    assert torch.equal(staged.keys, model.w0.detach().bfloat16().view(-1))


def test_buffers_that_could_not_be_had_are_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        raise MemoryError

    model = Matrices()
    capture = Capture(model, config=config())
    with monkeypatch.context() as patch:
        patch.setattr("bifurk.capture.Stage", exhausted)
        for _ in range(20):
            with pytest.raises(MemoryError):
                capture.take(full=True)
    assert capture.take(full=True) is not None


def test_tables_of_counts_are_in_the_memory_that_stages_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bifurk.capture.cuda_devices", lambda tensors: (torch.device("cpu"),))
    model = Matrices(60)
    capture = Capture(model, config=config(payload="sketch"))
    held = []
    while (snapshot := capture.take(full=False)) is not None:
        held.append(snapshot)
    # 60 tables of 256 KiB are 15 MiB: three such stages with their keys fit into 64 MiB.
    assert len(held) == 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_counting_on_the_device_gives_the_host_s_counts(dtype: torch.dtype) -> None:
    model = Matrices(2, dtype=dtype)
    tensors = select(model).tensors
    parameters = list(model.parameters())
    counts = DeviceCounts(tensors, device=torch.device("cpu"))
    stage = Stage(tensors, pool_bytes=2 * LARGE * 8, devices=[counts])
    for full in ((), (1,)):
        stage.read(parameters, full=full)
        stage.wait()
        for index, staged in enumerate(stage.staged):
            if index in full:
                assert staged.full is not None
                continue
            assert staged.table is not None
            expected = counts_on_the_host(parameters[index].detach())
            got = sketches.from_table(staged.table.numpy().astype(np.int64), expected.format)
            np.testing.assert_array_equal(got.keys, expected.keys)
            np.testing.assert_array_equal(got.counts, expected.counts)
            assert staged.sample is not None
            assert torch.equal(staged.sample, parameters[index].detach().view(-1)[positions()])


class Adapter(nn.Module):
    """As peft has it."""

    def __init__(self) -> None:
        super().__init__()
        self.lora_A = nn.ModuleDict({"default": nn.Linear(1_500, 16, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(16, 1_500, bias=False)})
        self.scaling = {"default": 1.0}


def test_factors_of_a_product_travel_in_full_together() -> None:
    layers = nn.ModuleList(Adapter() for _ in range(3))
    # Room for one pair, and half of another.
    capture = Capture(layers, config=config(full_bytes=3 * 1_500 * 16 * 4))
    turns = [sorted(s.watched.name for s in taken(capture) if s.full is not None) for _ in range(4)]
    pairs = [
        [f"{layer}.lora_A.default.weight", f"{layer}.lora_B.default.weight"] for layer in range(3)
    ]
    assert turns == [pairs[0], pairs[1], pairs[2], pairs[0]]
