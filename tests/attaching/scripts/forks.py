"""Two trainings at once, in processes forked from one that trains nothing."""

import multiprocessing
from multiprocessing.synchronize import Barrier

import torch


def train(together: Barrier) -> None:
    model = torch.nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(6):
        model(torch.ones(1, 4)).sum().backward()
        optimizer.step()
    together.wait()


fork = multiprocessing.get_context("fork")
barrier = fork.Barrier(2)
both = [fork.Process(target=train, args=(barrier,)) for _ in range(2)]
for one in both:
    one.start()
for one in both:
    one.join()
