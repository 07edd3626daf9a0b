"""Parts of a small training: an embedding, attention with a fused projection, a scalar."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from bifurk.wire import Part
from tests.parts import make_part, make_tensor

STEPS = 6
"""Singular vectors are looked at twice, and the second time compared with the first."""


@cache
def trained_parts() -> tuple[Part, ...]:
    """One part a step of SGD."""
    torch.manual_seed(7)
    block = torch.nn.TransformerEncoderLayer(160, 4, 320, dropout=0.0, batch_first=True)
    head = torch.nn.Linear(160, 96)
    model = torch.nn.ModuleDict({"block": block, "head": head})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    parts = []
    for sequence in range(STEPS):
        loss = head(block(torch.randn(8, 6, 160))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        parts.append(
            Part(
                manifest=make_part(sequence).manifest,
                tensors=tuple(
                    make_tensor(name, value.detach().numpy().astype(np.float32).copy())
                    for name, value in model.named_parameters()
                ),
            )
        )
    return tuple(parts)
