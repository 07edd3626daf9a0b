"""Layers that do the same work, and how alerts have parted them into branches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bifurk_service.detect.branch_split import BranchSplit
from bifurk_service.detect.layer_departure import LayerDeparture
from bifurk_service.errors import NotFoundError
from bifurk_service.pipeline.group_courses import layers_alike
from bifurk_service.store.alert_lists import AlertFilter, newest_alerts
from bifurk_service.store.engine import Session
from bifurk_service.store.models import StoredAlert, Tensor

FORKS: Final[Mapping[str, tuple[str, str]]] = {
    BranchSplit.kind: ("lower branch", "upper branch"),
    LayerDeparture.kind: ("the others", "left the others"),
}
"""Kinds that part layers, and what their branches are called."""
MOST_FORKS: Final = 200
"""Of one page, the newest of a run's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerGroup:
    """One tensor a layer, by depth: ``name`` has ``*`` for the layer; ``key`` is its address.

    The key is the role where the role has no other group, else the name.
    """

    key: str
    role: str
    name: str
    tensors: Sequence[Tensor]

    @property
    def label(self) -> str:
        """What a person chooses it by."""
        return self.role if self.key == self.role else f"{self.role}: {self.name}"


def layer_groups(tensors: Sequence[Tensor]) -> list[LayerGroup]:
    """The groups of several layers, those of matrices first, in the order of the model."""
    works = layers_alike(tensors)
    several = Counter(work.role for work in works)
    groups = [
        LayerGroup(
            key=work.role if several[work.role] == 1 else work.name,
            role=work.role,
            name=work.name,
            tensors=work.tensors,
        )
        for work in works
    ]
    return sorted(groups, key=lambda group: len(group.tensors[0].shape) < 2)


def forks_of(session: Session, run_id: int, asked: str = "") -> list[StoredAlert]:
    """The alerts that parted layers of a run, newest first.

    Args:
        asked: the id of one that must be among them; anything else asks for none.

    Raises:
        NotFoundError: the alert asked for is none of them.
    """
    wanted = AlertFilter(run_id=run_id, kinds=tuple(FORKS))
    found = newest_alerts(session, wanted, limit=MOST_FORKS)
    if not asked.isdigit() or any(str(fork.id) == asked for fork in found):
        return found
    older = newest_alerts(session, replace(wanted, before_id=int(asked) + 1), limit=1)
    if not older or str(older[0].id) != asked:
        raise NotFoundError(
            f"no alert {asked} parted layers of this run; without it, the newest that did is shown",
            where="alert",
        )
    return [*found, *older]


def concerns(fork: StoredAlert, group: LayerGroup) -> bool:
    """Whether a fork names a layer of a group."""
    named = {one["id"] for one in fork.tensors}
    return any(tensor.id in named for tensor in group.tensors)


def group_of(groups: Sequence[LayerGroup], asked: str, fork: StoredAlert | None) -> LayerGroup:
    """The group asked for by role or name; else that of a fork; else the first.

    Of a role's several groups the one that the fork concerns comes first.

    Raises:
        NotFoundError: no group is of the role asked for.
    """
    named = [group for group in groups if asked in (group.key, group.role, group.name)]
    if asked and not named:
        roles = ", ".join(dict.fromkeys(group.role for group in groups))
        raise NotFoundError(
            f"no two layers of this run have a tensor of role {asked!r}; those of {roles} do",
            where="role",
        )
    if fork is not None:
        for group in named or groups:
            if concerns(fork, group):
                return group
    return (named or groups)[0]


def branch_of(fork: StoredAlert, group: LayerGroup) -> dict[int, int | None]:
    """By tensor of a group, the branch that a fork has put it into; None of those in none."""
    named = {one["id"]: branch_in(fork, one) for one in fork.tensors}
    rest = 0 if fork.kind == LayerDeparture.kind else None
    return {tensor.id: named.get(tensor.id, rest) for tensor in group.tensors}


def branch_in(fork: StoredAlert, one: Mapping[str, Any]) -> int | None:
    """The branch of a tensor that a fork names; who is named as departing is in the second."""
    branch = one.get("branch")
    if branch is None:
        return 1 if fork.kind == LayerDeparture.kind else None
    return int(branch)


def branch_name(fork: StoredAlert, branch: int | None) -> str:
    """What a branch of a fork is called."""
    return "in no branch" if branch is None else FORKS[fork.kind][branch]


def onset_of(fork: StoredAlert) -> dict[int, tuple[int, int]]:
    """By tensor, the interval in which it began."""
    return {one["id"]: (one["onset_first_step"], one["onset_last_step"]) for one in fork.tensors}
