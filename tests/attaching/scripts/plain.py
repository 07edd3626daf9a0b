"""A loop as people write it, with everything in one place."""

import hashlib
import random
import sys

import torch
from torch import nn

random.seed(0)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for step in range(40):
    loss = model(torch.randn(16, 64)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        print(step, loss.item().hex())
weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
print(hashlib.sha256(weights).hexdigest(), random.random(), torch.rand(1).item())
print(__name__, *sys.argv[1:], sorted(path for path in sys.path if "attaching" in path))
if "--fail" in sys.argv:
    raise RuntimeError("as asked")
sys.exit(3 if "--three" in sys.argv else 0)
