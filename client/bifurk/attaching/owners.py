"""Which modules an optimizer's parameters belong to, of all that there are in the process."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

WRAPPERS = {
    nn.parallel.DistributedDataParallel: "module",
    nn.DataParallel: "module",
}
"""What holds a model and is none; a compiled module is told by its attribute."""
COMPILED = "_orig_mod"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Owners:
    """What an optimizer trains.

    Attributes:
        modules: outermost ones that hold its parameters, wrappers taken off. One as a rule; several
            where no single module holds all.
        rivals: further modules that hold all of them just as well.
        orphans: how many of its parameters no module holds.
    """

    modules: tuple[nn.Module, ...]
    rivals: tuple[nn.Module, ...] = ()
    orphans: int = 0


def owners_of(optimizer: Optimizer) -> Owners:
    """Looks through every module in the process: some milliseconds, once an optimizer."""
    wanted = _ids(optimizer)
    holders = [one for one in map(_Holder.of, _roots()) if one.parameters & wanted]
    complete = sorted(
        (one for one in holders if wanted <= one.parameters), key=lambda one: len(one.parameters)
    )
    if complete:
        size = len(complete[0].parameters)
        rivals = tuple(one.module for one in complete[1:] if len(one.parameters) == size)
        return Owners(modules=(complete[0].module,), rivals=rivals)
    return _together(holders, wanted)


def optimizers_within(modules: Sequence[nn.Module]) -> list[Optimizer]:
    """Every optimizer all of whose parameters the modules hold."""
    held = {one for module in modules for one in _parameter_ids(module)}
    return [one for one in _alive(Optimizer) if (ids := _ids(one)) and ids <= held]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Holder:
    """A module and the ids of its parameters: a module's own equality is the user's to define."""

    module: nn.Module
    parameters: set[int]

    @classmethod
    def of(cls, module: nn.Module) -> _Holder:
        return cls(module=module, parameters=_parameter_ids(module))


def _together(holders: Sequence[_Holder], wanted: set[int]) -> Owners:
    """The fewest modules, greedily, that hold what can be held."""
    left = set(wanted)
    chosen: list[nn.Module] = []
    while holders and left:
        best = max(holders, key=lambda one: len(one.parameters & left))
        if not best.parameters & left:
            break
        chosen.append(best.module)
        left -= best.parameters
    return Owners(modules=tuple(chosen), orphans=len(left))


def _roots() -> list[nn.Module]:
    """Modules that are part of no other, wrappers taken off; each once."""
    modules = _alive(nn.Module)
    parts = {id(child) for module in modules for child in _children(module)}
    bare = [_unwrapped(module) for module in modules if id(module) not in parts]
    return list({id(module): module for module in bare}.values())


def _alive(kind: type) -> list[Any]:
    # By type: asking an object for its class would wake whatever imports itself when touched.
    return [one for one in gc.get_objects() if issubclass(type(one), kind)]


def _parts(module: nn.Module, name: str) -> dict[str, Any]:
    """One of torch's own tables of a module; nothing of one that cannot be looked into."""
    try:
        return vars(module).get(name) or {}
    except Exception:  # noqa: BLE001 - a module of the user's may do anything
        return {}


def _children(module: nn.Module) -> Iterator[nn.Module]:
    return (child for child in _parts(module, "_modules").values() if child is not None)


def _unwrapped(module: nn.Module) -> nn.Module:
    while True:
        name = next((name for kind, name in WRAPPERS.items() if isinstance(module, kind)), COMPILED)
        inner = _parts(module, "_modules").get(name)
        if inner is None:
            return module
        module = inner


def _parameter_ids(module: nn.Module) -> set[int]:
    found: set[int] = set()
    left, seen = [module], set()
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            parameters = _parts(one, "_parameters").values()
            found.update(id(parameter) for parameter in parameters if parameter is not None)
            left.extend(_children(one))
    return found


def _ids(optimizer: Optimizer) -> set[int]:
    groups = vars(optimizer).get("param_groups") or ()
    return {id(one) for group in groups for one in group["params"] if isinstance(one, torch.Tensor)}
