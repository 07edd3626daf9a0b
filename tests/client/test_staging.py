"""The staging buffers: what is worked out once and not for every snapshot."""

from __future__ import annotations

import weakref
from unittest.mock import Mock

import pytest
import torch

from bifurk import staging
from bifurk.selection import Watched
from bifurk.sketch import sample_positions
from bifurk.staging import Stage


def watched(parameter: torch.Tensor) -> Watched:
    return Watched(
        name="weight",
        parameter=weakref.ref(parameter),
        shape=tuple(parameter.shape),
        dtype="float32",
        layer=None,
        role="other",
        device=parameter.device,
    )


def test_where_the_sample_of_a_transposed_weight_lies_is_worked_out_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    working_out = Mock(wraps=sample_positions)
    monkeypatch.setattr(staging, "sample_positions", working_out)
    # No other test has this shape, so that no earlier one has worked it out already.
    weight = torch.randn(131, 257).T
    stage = Stage([watched(weight)], pool_bytes=0)
    for factor in (1.0, 2.0):
        present = weight * factor
        assert not present.is_contiguous()
        stage.read([present])
        [tensor] = stage.staged
        assert tensor.sample is not None
        expected = present.reshape(-1)[torch.from_numpy(sample_positions(131 * 257))]
        assert torch.equal(tensor.sample, expected)
    assert working_out.call_count == 1
