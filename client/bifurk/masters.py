"""Copies in higher precision that an optimizer trains in the place of a model's own weights.

Where a loop keeps the model in bfloat16 and steps float32 copies, which it writes back into the
model afterwards, the copies are the weights: the model's are rounded, and at the optimizer's step
those of the step before.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import torch
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from bifurk.by_identity import ByIdentity
from bifurk.held import Held
from bifurk.shards import is_distributed, local

Masters: TypeAlias = ByIdentity[torch.Tensor, "weakref.ref[torch.Tensor]"]
"""By a model's parameter the copy that is trained for it; neither is kept alive."""


def masters_of(held: Iterable[Held], optimizers: Sequence[Optimizer]) -> Masters:
    """The copies, told by order, shape, sharding and value; empty where anything does not fit.

    Compares values, those in this process: to be asked before training.

    Args:
        held: the model's parameters, in its order. optimizers: of which each trains any of them.
    """
    masters: Masters = ByIdentity()
    stepped = [p for one in optimizers for group in one.param_groups for p in group["params"]]
    known = {id(parameter) for parameter in stepped}
    own = [one for one in held if one.parameter.requires_grad]
    names = {id(one.parameter) for one in own}
    unstepped = [one.parameter for one in own if id(one.parameter) not in known]
    copies = [parameter for parameter in stepped if id(parameter) not in names]
    if len(copies) != len(unstepped):
        return masters
    pairs = list(zip(unstepped, copies, strict=True))
    if all(_is_copy(copy, parameter) for parameter, copy in pairs):
        for parameter, copy in pairs:
            masters[parameter] = weakref.ref(copy)
    return masters


def _is_copy(copy: torch.Tensor, parameter: torch.Tensor) -> bool:
    if not (_has_values(copy) and _has_values(parameter)):
        return False
    if copy.shape != parameter.shape or copy.dtype.itemsize <= parameter.dtype.itemsize:
        return False
    if is_distributed(copy) != is_distributed(parameter):
        return False
    ours, theirs = local(copy).detach(), local(parameter).detach()
    return ours.shape == theirs.shape and torch.equal(ours.to(theirs), theirs)


def _has_values(tensor: torch.Tensor) -> bool:
    return not is_lazy(tensor) and not tensor.is_meta and tensor.layout is torch.strided
