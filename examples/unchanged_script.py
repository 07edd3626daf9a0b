"""A script that knows nothing of bifurk: a recurrent network learns to spell.

pip install bifurk torch
python -m bifurk run --every 20 -- python examples/unchanged_script.py
"""

import argparse
from pydoc_data.topics import topics

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=500)
steps = parser.parse_args().steps

torch.manual_seed(0)
text = "".join(topics.values())  # the reference of Python itself, half a million characters
letters = sorted(set(text))
codes = torch.tensor([letters.index(letter) for letter in text])


class Speller(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(letters), 64)
        self.recurrent = nn.GRU(64, 128, batch_first=True)
        self.output = nn.Linear(128, len(letters))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return self.output(self.recurrent(self.embedding(codes))[0])


model = Speller()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for step in range(1, steps + 1):
    starts = torch.randint(len(codes) - 65, (16,))
    rows = torch.stack([codes[start : start + 65] for start in starts])
    logits = model(rows[:, :-1])
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0 or step == steps:
        print(f"step {step}: loss {loss.item():.3f}")
