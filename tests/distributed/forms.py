"""The forms in which several processes hold and train one small model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    FullyShardedDataParallel,
    MixedPrecision,
    MixedPrecisionPolicy,
    ShardingStrategy,
    fully_shard,
)
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.nn.parallel import DistributedDataParallel

from tests.distributed.training import Net

STEPS = 2
SNAPSHOTS = 3
"""At the steps 0, 1 and 2."""
CPU = torch.device("cpu")
OVERFLOWS_AT = 1
"""The round whose gradients overflow where a scaler is used: it is no step."""


class Adapted(nn.Module):
    """A frozen matrix with low-rank factors, named and scaled as peft does it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.base_layer = nn.Linear(inputs, outputs).requires_grad_(requires_grad=False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(inputs, 3, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(3, outputs, bias=False)})
        self.scaling = {"default": 2.0}

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        update = self.lora_B["default"](self.lora_A["default"](hidden))
        out: torch.Tensor = self.base_layer(hidden) + self.scaling["default"] * update
        return out


class AdaptedNet(Net):
    """The same model with an adapter in the place of one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.up = Adapted(129, 134)


@dataclass(kw_only=True)
class Trial:
    """One training as it stands, and how it takes a round."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: Any = None
    rounds: int = STEPS
    micro_batches: int = 1
    same_tokens: bool = False
    masters: list[torch.Tensor] = field(default_factory=list)
    evaluates: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-2)


def layers(model: Any) -> tuple[nn.Module, ...]:
    return model.embedding, model.up, model.head, model


def dressed(_mesh: DeviceMesh | None) -> Trial:
    """fully_shard with everything that wraps: checkpoints, a compiler, mixed precision."""
    net: Any = Net()
    net.up = checkpoint_wrapper(net.up)
    precision = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for layer in layers(net):
        fully_shard(layer, mp_policy=precision)
    model: Any = torch.compile(net, backend="eager")
    return Trial(model=model, optimizer=adam(model), micro_batches=2)


def looked_at(_mesh: DeviceMesh | None) -> Trial:
    """Between the gradients and the step it is evaluated, and stands there gathered."""
    model: Any = Net()
    fully_shard(model.up)
    fully_shard(model)
    return Trial(model=model, optimizer=adam(model), evaluates=True)


def mastered(_mesh: DeviceMesh | None) -> Trial:
    """The model in bfloat16, the optimizer with float32 copies."""
    model = Net().to(torch.bfloat16)
    for layer in layers(model):
        fully_shard(layer)
    masters = [
        p.detach().to(torch.float32).clone().requires_grad_(requires_grad=True)
        for p in model.parameters()
    ]
    optimizer = torch.optim.AdamW(masters, lr=1e-2)
    return Trial(model=model, optimizer=optimizer, masters=masters)


def adapted(_mesh: DeviceMesh | None) -> Trial:
    model: Any = AdaptedNet()
    for layer in (model.up.lora_A["default"], model.up, model):
        fully_shard(layer)
    trained = [p for p in model.parameters() if p.requires_grad]
    return Trial(model=model, optimizer=torch.optim.AdamW(trained, lr=1e-2))


def flat(
    strategy: ShardingStrategy, *, originals: bool, mesh: DeviceMesh | None = None, **options: Any
) -> nn.Module:
    def wrap(module: nn.Module) -> nn.Module:
        return FullyShardedDataParallel(
            module, sharding_strategy=strategy, use_orig_params=originals, device_id=CPU,
            device_mesh=mesh, **options,
        )  # fmt: skip

    net: Any = Net()
    net.up = wrap(checkpoint_wrapper(net.up))
    return wrap(net)


def flat_originals(_mesh: DeviceMesh | None) -> Trial:
    """FSDP1 with a scaler, of which one round overflows."""
    model = flat(ShardingStrategy.FULL_SHARD, originals=True)
    scaler: Any = ShardedGradScaler(device="cpu", init_scale=2.0**10)
    return Trial(model=model, optimizer=adam(model), scaler=scaler, rounds=STEPS + 1)


def flat_whole(_mesh: DeviceMesh | None) -> Trial:
    """FSDP1 in mixed precision, gradients gathered over two batches."""
    precision = MixedPrecision(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    model = flat(ShardingStrategy.SHARD_GRAD_OP, originals=False, mixed_precision=precision)
    return Trial(model=model, optimizer=adam(model), micro_batches=2, evaluates=True)


def flat_replicated(_mesh: DeviceMesh | None) -> Trial:
    model = flat(ShardingStrategy.NO_SHARD, originals=False)
    return Trial(model=model, optimizer=adam(model))


def flat_hybrid(mesh: DeviceMesh | None) -> Trial:
    model = flat(ShardingStrategy.HYBRID_SHARD, originals=True, mesh=mesh)
    return Trial(model=model, optimizer=adam(model))


def both_ways(mesh: DeviceMesh | None) -> Trial:
    """fully_shard over tensor parallel, on the same dimension and on others."""
    assert mesh is not None
    model: Any = Net()
    plan = {"up": ColwiseParallel(), "head": RowwiseParallel()}
    parallelize_module(model, mesh["inner"], plan)
    for layer in layers(model):
        fully_shard(layer, mesh=mesh["outer"])
    return Trial(model=model, optimizer=adam(model), same_tokens=True)


def hybrid(mesh: DeviceMesh | None) -> Trial:
    model = Net()
    for layer in layers(model):
        fully_shard(layer, mesh=mesh)
    return Trial(model=model, optimizer=adam(model))


def split(_mesh: DeviceMesh | None) -> Trial:
    model = DistributedDataParallel(Net())
    return Trial(model=model, optimizer=adam(model), settings={"split": True})


Maker = Callable[[DeviceMesh | None], Trial]

FORMS: dict[int, dict[str, Maker]] = {
    2: {
        "dressed": dressed,
        "looked_at": looked_at,
        "mastered": mastered,
        "adapted": adapted,
        "flat_originals": flat_originals,
        "flat_whole": flat_whole,
        "flat_replicated": flat_replicated,
    },
    4: {
        "both_ways": both_ways,
        "hybrid": hybrid,
        "flat_hybrid": flat_hybrid,
        "split": split,
    },
}
"""By number of processes; those of four lie on a mesh of two by two."""


def mesh_of(ranks: int) -> DeviceMesh | None:
    if ranks < 4:
        return None
    return init_device_mesh("cpu", (2, 2), mesh_dim_names=("outer", "inner"))


def take_round(trial: Trial, number: int) -> float:
    """Gradients of one or more batches, and the optimizer's step; the loss."""
    total = 0.0
    for batch in range(trial.micro_batches):
        is_last = batch == trial.micro_batches - 1
        with _unsynchronised(trial.model, apart=not is_last):
            loss = _loss(trial.model)
            total += loss.item()
            if trial.scaler is not None and number == OVERFLOWS_AT:
                loss = loss * float("inf")
            (loss if trial.scaler is None else trial.scaler.scale(loss)).backward()
    if trial.evaluates:
        with torch.no_grad():
            total += _loss(trial.model).item()
    _step(trial)
    return total


def _loss(model: nn.Module) -> torch.Tensor:
    tokens = torch.randint(0, 151, (8, 16))
    return nn.functional.mse_loss(model(tokens)[:, 0].float(), tokens[:, 0] / 151)


@contextmanager
def _unsynchronised(model: Any, *, apart: bool) -> Iterator[None]:
    """Gradients stay in the process until the last batch."""
    inner = getattr(model, "_orig_mod", model)
    if isinstance(inner, FSDPModule):
        inner.set_requires_gradient_sync(not apart)
        yield
        return
    with model.no_sync() if apart else nullcontext():
        yield


def _step(trial: Trial) -> None:
    parameters = list(trial.model.parameters())
    if trial.masters:
        for master, parameter in zip(trial.masters, parameters, strict=True):
            master.grad = None if parameter.grad is None else parameter.grad.to(torch.float32)
            parameter.grad = None
    if trial.scaler is None:
        trial.optimizer.step()
    else:
        trial.scaler.step(trial.optimizer)
        trial.scaler.update()
    trial.optimizer.zero_grad()
    with torch.no_grad():
        for master, parameter in zip(trial.masters, parameters, strict=False):
            parameter.copy_(master)


def whole_weights(trial: Trial) -> dict[str, torch.Tensor]:
    """Every trained tensor in one piece, by torch's own gathering: by name in the bare model."""
    model = trial.model
    named = [(bare(name), p) for name, p in model.named_parameters() if p.requires_grad]
    if isinstance(model, FullyShardedDataParallel):
        with FullyShardedDataParallel.summon_full_params(model, writeback=False):
            return {bare(name): p.detach().clone() for name, p in model.named_parameters()}
    # What the model shows may be gathered, and older than what was stepped.
    stepped = trial.optimizer.param_groups[0]["params"]
    return {
        name: (one.full_tensor() if isinstance(one, DTensor) else one).detach().clone()
        for (name, _), one in zip(named, stepped, strict=True)
    }


def bare(name: str) -> str:
    """Its name in the model that nothing wraps."""
    wrappers = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
    return ".".join(word for word in name.split(".") if word not in wrappers)


def collectives() -> int:
    """How many collectives this process's groups have begun."""
    groups = dist.distributed_c10d._world.pg_map
    return sum(group._get_sequence_number_for_group() for group in groups)
