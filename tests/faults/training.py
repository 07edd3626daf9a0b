"""A tiny GPT on real bytes: the training that no fault of bifurk's may change by one bit."""

from __future__ import annotations

import inspect
import pickle
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import bifurk
from bifurk.monitor import Monitor
from bifurk.session import Session
from tests.server import DEADLINE_SECONDS

PROJECT = "faults"
EVERY = 8
STEPS = 24
SNAPSHOTS = 7
"""At the steps 0, 1, 2, 4, 8, 16, 24: so few that none is left out because others are encoded."""

WATCHED = ("embedding.weight", "position", "block.linear1.*")
"""Of every kind one: what travels as counts, what exactly, a matrix and a vector."""

VOCABULARY = 256
WIDTH = 65
"""Times the vocabulary it is just above what travels as exact values: counts are on the way too."""
CONTEXT = 16
BATCH = 4


class TinyGpt(nn.Module):
    """One causal block with dropout, its unembedding tied to its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.position = nn.Parameter(torch.zeros(CONTEXT, WIDTH))
        self.block = nn.TransformerEncoderLayer(
            WIDTH, nhead=5, dim_feedforward=WIDTH, dropout=0.1, batch_first=True
        )
        self.unembedding = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.unembedding.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        length = tokens.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        hidden = self.embedding(tokens) + self.position[:length]
        logits: torch.Tensor = self.unembedding(self.block(hidden, src_mask=mask, is_causal=True))
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a training leaves behind, bit for bit; equal or not."""

    losses: tuple[float, ...]
    weights: bytes
    torch_state: bytes
    numpy_state: bytes
    python_state: bytes


class Training:
    """A training from fixed seeds that draws from every global random state there is."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        np.random.seed(2)  # noqa: NPY002 - the global state is what the hook must leave alone
        random.seed(3)
        self.model = TinyGpt()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.losses: list[float] = []

    def watch(self, run: str, **settings: Any) -> Monitor:
        """Watches at the steps above, without giving up any of them for speed."""
        chosen = {"project": PROJECT, "every": EVERY, "overhead_budget": None, "include": WATCHED}
        return bifurk.watch(self.model, self.optimizer, run=run, **{**chosen, **settings})

    def run(
        self,
        monitor: Monitor | None = None,
        *,
        steps: int = STEPS,
        batches: Iterable[torch.Tensor] | None = None,
        each_step: Callable[[int], object] = lambda step: None,
    ) -> None:
        """Goes on training; ``each_step`` gets 1, 2, ... after each."""
        source = iter(batches) if batches is not None else iter(batch, None)
        for step in range(1, steps + 1):
            loss = self._step(next(source))
            if monitor is not None:
                monitor.log(loss=loss)
            self.losses.append(loss.item())
            each_step(step)

    def _step(self, tokens: torch.Tensor) -> torch.Tensor:
        logits = self.model(tokens[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss

    def outcome(self) -> Outcome:
        """As it is now."""
        weights = [parameter.detach().numpy() for parameter in self.model.parameters()]
        return Outcome(
            losses=tuple(self.losses),
            weights=b"".join(values.tobytes() for values in weights),
            torch_state=torch.get_rng_state().numpy().tobytes(),
            numpy_state=pickle.dumps(np.random.get_state()),  # noqa: NPY002 - see above
            python_state=pickle.dumps(random.getstate()),
        )


def encoded(monitor: Monitor) -> None:
    """Waits until every snapshot so far has come to the outbox, or found no room there."""
    assert isinstance(monitor, Session)
    assert monitor._encoder.drain(DEADLINE_SECONDS)


@cache
def unwatched(steps: int = STEPS) -> Outcome:
    """What the same training leaves behind when bifurk has no part in it."""
    training = Training()
    training.run(steps=steps)
    return training.outcome()


def batch() -> torch.Tensor:
    """Random stretches of the text, of a random length: int64 [BATCH, at most CONTEXT + 1]."""
    length = random.randint(CONTEXT // 2, CONTEXT) + 1
    starts = np.random.randint(0, len(text()) - length, size=BATCH)  # noqa: NPY002 - see above
    rows = np.stack([text()[start : start + length] for start in starts])
    return torch.from_numpy(rows.astype(np.int64))


@cache
def text() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The bytes of a module of the standard library."""
    return np.frombuffer(Path(inspect.__file__).read_bytes(), dtype=np.uint8)
