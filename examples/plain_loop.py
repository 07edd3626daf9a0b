"""A loop of one's own: a network learns handwritten digits.

    pip install bifurk torch scikit-learn
    BIFURK_URL=http://127.0.0.1:8700 python examples/plain_loop.py

Without BIFURK_URL it writes to ./bifurk/, and `bifurk open bifurk` shows it.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import bifurk

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=1000)
steps = parser.parse_args().steps

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.data, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)
held_out = 300

model = nn.Sequential(
    nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 10)
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)

with bifurk.watch(model, optimizer, project="examples", every=20) as monitor:
    for step in range(1, steps + 1):
        batch = torch.randint(held_out, len(images), (64,))
        loss = functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        monitor.log(loss=loss)
        if step % 100 == 0 or step == steps:
            with torch.no_grad():
                right = model(images[:held_out]).argmax(dim=1) == labels[:held_out]
            accuracy = right.float().mean().item()
            monitor.mark("evaluation", accuracy=accuracy)
            print(f"step {step}: loss {loss.item():.3f}, accuracy {accuracy:.3f}")
