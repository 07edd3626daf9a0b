"""The process of one demo training: trains through the hook and tells its progress line by line.

Run as ``python -m bifurk_service.demo.worker RUN URL``; each line of its output is one JSON
object with ``step`` and ``loss``, and now and then ``test_accuracy``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

import bifurk
from bifurk_service.demo import modular_addition, tiny_gpt
from bifurk_service.demo.runs import BY_NAME, PROJECT, DemoRun, ModularAddition
from bifurk_service.demo.watching import ScalarLog, Watch

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def main(arguments: Sequence[str]) -> int:
    """Trains the named run against the server at the URL; 0 when it came to its end."""
    name, url = arguments
    torch.set_num_threads(1)
    run = BY_NAME[name]
    for progress in steps(run, watch=_watching(run, url)):
        sys.stdout.write(json.dumps(progress) + "\n")
        sys.stdout.flush()
    return 0


def steps(run: DemoRun, *, watch: Watch) -> Iterator[Mapping[str, float | None]]:
    """Trains one run under a monitor, yielding its progress after every optimizer step."""
    training = run.training
    if isinstance(training, ModularAddition):
        yield from map(asdict, modular_addition.train(training, watch=watch))
    else:
        yield from map(asdict, tiny_gpt.train(training, watch=watch))


def _watching(run: DemoRun, url: str) -> Watch:
    def watch(model: nn.Module, optimizer: Optimizer) -> AbstractContextManager[ScalarLog]:
        return bifurk.watch(
            model,
            optimizer,
            project=PROJECT,
            run=run.name,
            every=run.every,
            url=url,
            # The run's own folder and cadence: nothing is left elsewhere, no snapshot is skipped.
            spool_dir="spool",
            overhead_budget=None,
        )

    return watch


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
