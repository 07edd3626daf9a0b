"""Modular addition, learned long after it was fitted, and the control that learns nothing.

    pip install bifurk torch
    python examples/grokking.py --run true
    python examples/grokking.py --run shuffled --shuffled
    bifurk open bifurk

A network sees 45 % of the pairs a + b mod 59 (Power et al. 2022, Grokking). With shuffled labels
there is nothing to learn, and what both runs show is the optimizer's doing: the embedding's
distribution splits in both; the output layer's stable rank falls only where the rule is found.
"""

import argparse

import torch
from torch import nn
from torch.nn import functional

import bifurk

MODULUS = 59

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--run")
parser.add_argument("--shuffled", action="store_true", help="the control: labels without a rule")
arguments = parser.parse_args()

torch.manual_seed(0)
numbers = torch.arange(MODULUS)
pairs = torch.cartesian_prod(numbers, numbers)[torch.randperm(MODULUS**2)]
sums = pairs.sum(dim=1) % MODULUS
seen = int(0.45 * len(pairs))
shuffled = sums[:seen][torch.randperm(seen)]  # drawn in both runs: they begin alike
taught = shuffled if arguments.shuffled else sums[:seen]


class Adder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(MODULUS, 64)
        self.hidden = nn.Linear(128, 256)
        self.output = nn.Linear(256, MODULUS)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        return self.output(functional.relu(self.hidden(self.embedding(pairs).flatten(1))))


model = Adder()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=1.0)
with bifurk.watch(
    model,
    optimizer,
    project="examples",
    run=arguments.run,
    every=10,
    overhead_budget=None,  # a step takes milliseconds; a budget of 1 % would thin the snapshots
) as monitor:
    for step in range(1, arguments.steps + 1):
        loss = functional.cross_entropy(model(pairs[:seen]), taught)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        monitor.log(loss=loss)
        if step % 100 == 0 or step == arguments.steps:
            with torch.no_grad():
                right = model(pairs[seen:]).argmax(dim=1) == sums[seen:]
            accuracy = right.float().mean()
            monitor.log(test_accuracy=accuracy)
            print(f"step {step}: loss {loss.item():.4f}, accuracy on unseen pairs {accuracy:.3f}")
