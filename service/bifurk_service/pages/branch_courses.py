"""What the page of branches shows: which layers, which statistic, which fork."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import Request

from bifurk_service.api.grants import visible_run
from bifurk_service.detect.branch_split import BranchSplit
from bifurk_service.figures.lines import ValueScale
from bifurk_service.pages.forks import (
    FORKS,
    LayerGroup,
    concerns,
    forks_of,
    group_of,
    layer_groups,
)
from bifurk_service.pages.statistic_courses import statistic_named, title_of
from bifurk_service.pages.views import BranchesView
from bifurk_service.services import services
from bifurk_service.stats.statistic import Statistic
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.series import find_tensors
from bifurk_service.store.tokens import Grant

DEFAULT_STATISTIC: Final = "std"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """A group of layers, the statistic's name, and the fork looked at, if there is one."""

    group: LayerGroup
    statistic: str
    fork: StoredAlert | None

    @property
    def coloring(self) -> StoredAlert | None:
        """The fork, where it parted these layers and no others."""
        is_theirs = self.fork is not None and concerns(self.fork, self.group)
        return self.fork if is_theirs else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChosenLayers:
    """What a view asks for of a run, and all its forks; nothing of their courses is read yet."""

    run_id: int
    run: str
    chosen: Chosen
    statistic: Statistic
    forks: Sequence[StoredAlert]

    @property
    def branches(self) -> tuple[str, ...]:
        """What the branches are called; none where nothing parted these layers."""
        fork = self.chosen.coloring
        return () if fork is None else FORKS[fork.kind]


def choose(
    groups: Sequence[LayerGroup], forks: Sequence[StoredAlert], view: BranchesView
) -> Chosen | None:
    """What a view asks for; None where no role has two layers.

    Where it leaves the choice: the newest fork, its layers and its statistic.

    Raises:
        NotFoundError: no group is of the role asked for.
    """
    if not groups:
        return None
    asked = next((fork for fork in forks if str(fork.id) == view.alert), None)
    group = group_of(groups, view.role, asked or _newest(forks, view))
    if asked is None and view.alert != "none":
        asked = _newest([fork for fork in forks if concerns(fork, group)], view)
    name = view.stat or (DEFAULT_STATISTIC if asked is None else asked.statistic)
    return Chosen(group=group, statistic=name, fork=asked)


def chosen_layers(
    request: Request, grant: Grant, run_id: int, view: BranchesView
) -> ChosenLayers | None:
    """What a view asks for; None where no role has two layers."""
    with services(request).database.read() as session:
        run = visible_run(session, run_id, grant)
        forks = forks_of(session, run_id, view.alert)
        chosen = choose(layer_groups(find_tensors(session, run_id)), forks, view)
        if chosen is None:
            return None
        statistic = statistic_named(session, run_id, chosen.statistic)
    return ChosenLayers(run_id=run_id, run=run.run, chosen=chosen, statistic=statistic, forks=forks)


def title_of_layers(shown: ChosenLayers, view: BranchesView) -> str:
    """Statistic and layers, as both figures say it."""
    if view.values == "relative":
        return f"{shown.statistic.name} over its first, {shown.chosen.group.name}"
    return f"{title_of(shown.statistic)}, {shown.chosen.group.name}"


def value_scale_of(view: BranchesView) -> ValueScale:
    """Of the axis of values."""
    return "log" if view.values == "log" else "linear"


def _newest(forks: Sequence[StoredAlert], view: BranchesView) -> StoredAlert | None:
    """Of forks, newest first, the one that says most: not superseded, of the statistic, a split."""

    def rank(fork: StoredAlert) -> tuple[bool, bool, bool]:
        is_asked = bool(view.stat) and view.stat != fork.statistic
        return fork.superseded, is_asked, fork.kind != BranchSplit.kind

    return min(forks, key=rank, default=None) if view.alert != "none" else None
