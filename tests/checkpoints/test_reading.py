"""The tensors of checkpoints: bit for bit, and never any code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bifurk_service.checkpoints.finding import Checkpoint
from bifurk_service.checkpoints.reading import tensors_of
from bifurk_service.errors import InvalidError

DTYPES = ("bfloat16", "float16", "float32", "float64")
TENSORS = {
    f"module.blocks.0.{name}": torch.linspace(-1, 1, 12).reshape(3, 4).to(getattr(torch, name))
    for name in DTYPES
}
ASIDE = {"steps": torch.arange(3), "nothing": torch.empty(0, 4), "flags": torch.tensor([True])}


def _checkpoint(*files: Path) -> Checkpoint:
    return Checkpoint(step=1, path=files[0], files=files)


def _assert_read(checkpoint: Checkpoint) -> None:
    found = tensors_of(checkpoint)
    assert set(found) == {f"blocks.0.{name}" for name in DTYPES}
    for name, tensor in TENSORS.items():
        exact = found[name.removeprefix("module.")]
        assert exact.dtype == name.rsplit(".", 1)[1]
        np.testing.assert_array_equal(exact.float64(), tensor.double().numpy())


def test_safetensors_files_are_read_over_all_their_shards(tmp_path: Path) -> None:
    entries = list({**TENSORS, **ASIDE}.items())
    for number, some in enumerate((entries[:3], entries[3:])):
        save_file(dict(some), tmp_path / f"{number}.safetensors")
    _assert_read(_checkpoint(tmp_path / "0.safetensors", tmp_path / "1.safetensors"))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"model": weights, "step": 7},
        lambda weights: {"state_dict": weights, "optimizer": {"state": {}}},
        lambda weights: {"epoch": 1, "model": {"state_dict": weights}},
    ],
)
def test_torch_files_are_read_wherever_the_weights_stand(tmp_path: Path, wrap: Any) -> None:
    torch.save(wrap({**TENSORS, **ASIDE}), tmp_path / "one.pt")
    _assert_read(_checkpoint(tmp_path / "one.pt"))


def test_parameters_that_share_memory_or_need_gradients_are_read(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 3)
    torch.save({"a": layer.weight, "b": layer.weight.t()}, tmp_path / "one.pt")
    found = tensors_of(_checkpoint(tmp_path / "one.pt"))
    np.testing.assert_array_equal(found["a"].data.T, found["b"].data)


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harm"),))


def test_a_pickle_with_code_in_it_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": _Harmful()}, tmp_path / "one.pt")
    with pytest.raises(InvalidError, match="holds other objects than tensors"):
        tensors_of(_checkpoint(tmp_path / "one.pt"))
    assert not Path("harm").exists()


@pytest.mark.parametrize("name", ["one.pt", "one.safetensors"])
@pytest.mark.parametrize("body", [b"", b"hello", b"no weights at all", b"\xff" * 4_096])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, body: bytes) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(InvalidError, match=name):
        tensors_of(_checkpoint(tmp_path / name))


def test_a_file_cut_off_in_the_middle_is_named(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "one.safetensors")
    whole = (tmp_path / "one.safetensors").read_bytes()
    (tmp_path / "one.safetensors").write_bytes(whole[:-5])
    with pytest.raises(InvalidError, match=r"one.safetensors is no readable"):
        tensors_of(_checkpoint(tmp_path / "one.safetensors"))


def test_a_checkpoint_without_weights_is_none(tmp_path: Path) -> None:
    torch.save(ASIDE, tmp_path / "one.pt")
    with pytest.raises(InvalidError, match="no floating-point tensor"):
        tensors_of(_checkpoint(tmp_path / "one.pt"))
