"""Modular addition by a small network: a fork that is the optimizer's, a collapse that is learning.

A network learns a + b mod 59 from 45 % of the pairs. With weight decay it first fits its
training pairs and much later, and rather suddenly, the others (Power et al. 2022, Grokking).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from bifurk_service.demo.runs import ModularAddition
from bifurk_service.demo.watching import Watch

MODULUS: Final = 59
EMBEDDING_WIDTH: Final = 64
HIDDEN_WIDTH: Final = 256
TRAINING_SHARE: Final = 0.45
LEARNING_RATE: Final = 3e-3
BETAS: Final = (0.9, 0.98)
EVALUATION_INTERVAL: Final = 10
"""Steps between two test accuracies: that of the snapshots, at a tenth of the cost of each step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModularStep:
    """What one optimizer step gave.

    Attributes:
        loss: cross-entropy of the training pairs before the step, nats.
        test_accuracy: share of the other pairs that are right after the step, 0 to 1; None
            between evaluations. Always against the true sums.
    """

    step: int
    loss: float
    test_accuracy: float | None


class ModularNetwork(nn.Module):
    """Both operands through one embedding, concatenated, one hidden layer of ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(MODULUS, EMBEDDING_WIDTH)
        self.hidden = nn.Linear(2 * EMBEDDING_WIDTH, HIDDEN_WIDTH)
        self.output = nn.Linear(HIDDEN_WIDTH, MODULUS)

    def forward(self, pairs: Tensor) -> Tensor:
        """Logits [N, 59] of the sums of int64 pairs [N, 2]."""
        operands = self.embedding(pairs).flatten(start_dim=1)
        logits: Tensor = self.output(functional.relu(self.hidden(operands)))
        return logits


def train(training: ModularAddition, *, watch: Watch) -> Iterator[ModularStep]:
    """Trains under a monitor, yielding after every optimizer step.

    Args:
        training: what to train. Equal values give equal weights on one machine and one thread.
        watch: attaches the monitor; it gets ``loss`` and ``test_accuracy``.
    """
    model = _network(training.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=training.weight_decay
    )
    data = _Data.of(training)
    with watch(model, optimizer) as monitor:
        for step in range(1, training.steps + 1):
            loss = functional.cross_entropy(model(data.training_pairs), data.training_sums)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
            monitor.log(loss=loss.item())
            optimizer.step()
            accuracy = _accuracy(model, data) if step % EVALUATION_INTERVAL == 0 else None
            if accuracy is not None:
                monitor.log(test_accuracy=accuracy)
            yield ModularStep(step=step, loss=loss.item(), test_accuracy=accuracy)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Data:
    training_pairs: Tensor
    training_sums: Tensor
    test_pairs: Tensor
    test_sums: Tensor

    @classmethod
    def of(cls, training: ModularAddition) -> _Data:
        random = torch.Generator().manual_seed(training.seed)
        pairs = torch.cartesian_prod(torch.arange(MODULUS), torch.arange(MODULUS))
        pairs = pairs[torch.randperm(len(pairs), generator=random)]
        sums = pairs.sum(dim=1) % MODULUS
        count = int(TRAINING_SHARE * len(pairs))
        training_sums = sums[:count]
        if training.shuffled_labels:
            training_sums = training_sums[torch.randperm(count, generator=random)]
        return cls(
            training_pairs=pairs[:count],
            training_sums=training_sums,
            test_pairs=pairs[count:],
            test_sums=sums[count:],
        )


def _network(seed: int) -> ModularNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ModularNetwork()


@torch.no_grad()
def _accuracy(model: ModularNetwork, data: _Data) -> float:
    right = model(data.test_pairs).argmax(dim=1) == data.test_sums
    return float(right.double().mean())
