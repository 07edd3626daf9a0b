"""A loop of one's own under Accelerate.

    pip install bifurk torch accelerate scikit-learn
    BIFURK_URL=http://127.0.0.1:8700 python examples/accelerate_digits.py

The line of bifurk's is `log_with=BifurkTracker(...)`.
"""

import argparse

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from bifurk.integrations.accelerate import BifurkTracker

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=500)
steps = parser.parse_args().steps

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.data, dtype=torch.float32) / 16
data = TensorDataset(images, torch.tensor(digits.target))

accelerator = Accelerator(
    cpu=True,
    gradient_accumulation_steps=2,
    log_with=BifurkTracker(project="examples", every=20),
)
model = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
model, optimizer, loader = accelerator.prepare(
    model, optimizer, DataLoader(data, batch_size=32, shuffle=True)
)
accelerator.init_trackers("digits", config={"learning_rate": 1e-3})

step = 0
while step < steps:
    for batch, labels in loader:
        with accelerator.accumulate(model):
            loss = functional.cross_entropy(model(batch), labels)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        if not accelerator.sync_gradients:
            continue
        step += 1
        accelerator.log({"loss": loss.item()}, step=step)
        if step % 100 == 0 or step == steps:
            accelerator.print(f"step {step}: loss {loss.item():.3f}")
        if step == steps:
            break
accelerator.end_training()
