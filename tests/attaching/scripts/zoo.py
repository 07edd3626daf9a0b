"""Two networks against each other, modules of all kinds, an average copy, and a frozen part."""

import copy
import hashlib

import torch
from torch import nn

torch.manual_seed(0)


class Gate(nn.Module):
    """Parameters of its own beside modules, one of them used twice, and an equality of its own."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(size))
        self.steps = nn.ParameterList([nn.Parameter(torch.zeros(size)) for _ in range(2)])
        self.first = nn.Linear(size, size)
        self.again = self.first
        self.register_buffer("seen", torch.zeros(1))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Gate)

    def __hash__(self) -> int:
        return 7

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        return self.again(torch.tanh(self.first(x) * self.scale + self.steps[0] - self.steps[1]))


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict({"in": nn.Linear(8, 64), "gate": Gate(64)})
        self.out = nn.utils.parametrizations.weight_norm(nn.Linear(64, 32))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.out(self.blocks["gate"](self.blocks["in"](z)))


class Critic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(32, 64), nn.GELU())
        self.features.requires_grad_(False)
        self.head = nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


generator, critic = Generator(), Critic()
average = copy.deepcopy(generator)
of_generator = torch.optim.Adam(generator.parameters(), lr=1e-3)
of_critic = torch.optim.SGD([p for p in critic.parameters() if p.requires_grad], lr=1e-2)
for _ in range(30):
    made = generator(torch.randn(16, 8))
    loss = critic(torch.randn(16, 32)).mean() - critic(made.detach()).mean()
    of_critic.zero_grad()
    loss.backward()
    of_critic.step()
    of_generator.zero_grad()
    loss = critic(generator(torch.randn(16, 8))).mean()
    loss.backward()
    of_generator.step()
    with torch.no_grad():
        for kept, new in zip(average.parameters(), generator.parameters(), strict=True):
            kept.lerp_(new, 0.1)
for one in (generator, critic):
    print(*(name for name, _ in one.named_parameters()))
weights = [p for one in (generator, critic, average) for p in one.parameters()]
print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in weights)).hexdigest())
