"""A pretrained speaker encoder learns to tell the contours of synthetic sweeps apart."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from .families import FINE_TUNE, Training
from .gpt import Watch

PACKAGE: Final = "resemblyzer"
WEIGHTS: Final = "resemblyzer/pretrained.pt"
"""Three LSTM layers 256 wide and a projection, 1.4 million parameters."""
CHANNELS: Final = 40
WIDTH: Final = 256
FRAMES: Final = 16
BATCH: Final = 8
CONTOURS: Final = 6
NOISE: Final = 1.0
"""Standard deviation of the noise over a ridge of height 1: some sweeps cannot be told apart."""
LEARNING_RATE: Final = 3e-4


class SpeakerEncoder(nn.Module):
    """The encoder's own modules under its own names, and a head for the new task."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(CHANNELS, WIDTH, num_layers=3, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, CONTOURS)

    def forward(self, frames: Tensor) -> Tensor:
        """Logits [N, CONTOURS] of spectrograms [N, FRAMES, CHANNELS]."""
        _, (hidden, _) = self.lstm(frames)
        logits: Tensor = self.head(functional.relu(self.linear(hidden[-1])))
        return logits


def train_encoder(training: Training, *, watch: Watch) -> list[float]:
    """Trains every parameter under a monitor; the loss before each step, nats a sweep."""
    torch.manual_seed(training.seed)
    model = SpeakerEncoder()
    if training.family == FINE_TUNE:
        path = Path(str(distribution(PACKAGE).locate_file(WEIGHTS)))
        stored = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        known = {name: value for name, value in stored.items() if name in model.state_dict()}
        model.load_state_dict({**model.state_dict(), **known})
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    random = torch.Generator().manual_seed(training.seed)
    losses: list[float] = []
    with watch(model, optimizer) as monitor:
        for _ in range(training.family.steps):
            frames, contours = sweeps(random)
            loss = functional.cross_entropy(model(frames), contours)
            optimizer.zero_grad()
            loss.backward()
            losses.append(loss.item())
            monitor.log(loss=losses[-1])
            optimizer.step()
    return losses


def sweeps(random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noisy ridges float32 [BATCH, FRAMES, CHANNELS] and the contour of each, int64 [BATCH].

    Contours: steady, rising, falling, up and down, down and up, a jump in the middle.
    """
    kinds = torch.randint(CONTOURS, (BATCH,), generator=random)
    start = 10 + 20 * torch.rand(BATCH, 1, generator=random)
    time = torch.linspace(0, 1, FRAMES)
    arch = 1 - (2 * time - 1).abs()
    shapes = torch.stack(
        [torch.zeros_like(time), time, -time, arch, -arch, (time > 0.5).to(time.dtype)]
    )
    centre = start + 8 * shapes[kinds]
    ridge = torch.exp(-((torch.arange(CHANNELS) - centre[..., None]) ** 2) / 4)
    noise = torch.randn(BATCH, FRAMES, CHANNELS, generator=random)
    return ridge + NOISE * noise, kinds
