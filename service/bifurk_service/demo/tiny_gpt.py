"""A small byte-level GPT on the standard library's sources, sound or with a fault nobody announced.

The fault multiplies the matrices of one block by 3 in place, between two steps. At this stage
of the training the loss does not show it.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from bifurk_service.demo.runs import FAULT_BLOCK, FAULT_FACTOR, TinyGpt
from bifurk_service.demo.watching import Watch

BYTES: Final = 256
WIDTH: Final = 128
HEADS: Final = 4
BLOCKS: Final = 6
CONTEXT: Final = 64
BATCH: Final = 8
LEARNING_RATE: Final = 1e-3
INITIAL_STD: Final = 0.02
CORPUS_BYTES: Final = 4 << 20
"""Enough for far more than one epoch of the steps; the top level of the library has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GptStep:
    """What one optimizer step gave: cross-entropy of its batch before the step, nats a byte."""

    step: int
    loss: float


class Gpt(nn.Module):
    """A pre-norm transformer over bytes, 77 parameter tensors, about 1.3 million parameters.

    Args:
        width: of the residual stream, a multiple of ``HEADS``; parameters grow with its square.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(BYTES, width)
        self.position_embedding = nn.Embedding(CONTEXT, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, BYTES, bias=False)
        self.apply(_initialise)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [N, T, 256] of the next byte for int64 bytes [N, T], T at most the context."""
        positions = torch.arange(tokens.shape[1])
        x = self.token_embedding(tokens) + self.position_embedding(positions)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


def train(training: TinyGpt, *, watch: Watch) -> Iterator[GptStep]:
    """Trains under a monitor, yielding after every optimizer step.

    Args:
        training: what to train. Equal values give equal weights on one machine and one thread.
        watch: attaches the monitor; it gets ``loss``, and never a word about the fault.
    """
    model = _gpt(training.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    corpus = standard_library()
    random = torch.Generator().manual_seed(training.seed)
    with watch(model, optimizer) as monitor:
        for step in range(1, training.steps + 1):
            if step == training.fault_step:
                _multiply_matrices(model.blocks[FAULT_BLOCK], FAULT_FACTOR)
            inputs, targets = _batch(corpus, random)
            loss = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
            monitor.log(loss=loss.item())
            optimizer.step()
            yield GptStep(step=step, loss=loss.item())


def standard_library() -> Tensor:
    """Bytes of the running Python's own top-level modules in the order of their names, uint8 [N].

    Raises:
        FileNotFoundError: this Python comes without the sources of its library.
    """
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))[:CORPUS_BYTES]
    if len(text) <= CONTEXT:
        raise FileNotFoundError(f"no sources of the standard library in {folder}")
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return output


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.down(functional.gelu(self.up(x)))
        return output


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = _Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = _Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        output: Tensor = x + self.mlp(self.norm2(x))
        return output


def _gpt(seed: int) -> Gpt:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Gpt()


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def _batch(corpus: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    starts = torch.randint(len(corpus) - CONTEXT, (BATCH, 1), generator=random)
    text = corpus[starts + torch.arange(CONTEXT + 1)].long()
    return text[:, :-1], text[:, 1:]


@torch.no_grad()
def _multiply_matrices(module: nn.Module, factor: float) -> None:
    for parameter in module.parameters():
        if parameter.ndim == 2:
            parameter.mul_(factor)
