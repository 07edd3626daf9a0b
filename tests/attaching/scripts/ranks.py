"""Data parallel over the processes that torchrun starts."""

import torch
import torch.distributed as dist
from torch import nn

dist.init_process_group("gloo")
torch.manual_seed(0)
model = nn.parallel.DistributedDataParallel(nn.Linear(32, 32))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for _ in range(10):
    optimizer.zero_grad()
    model(torch.randn(4, 32)).square().mean().backward()
    optimizer.step()
if dist.get_rank() == 0:
    print(dist.get_world_size(), model.module.weight.sum().item())
dist.barrier()
dist.destroy_process_group()
