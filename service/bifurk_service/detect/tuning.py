"""The table of detectors with other parameters: what a replay tries out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

from bifurk_service.detect.base import AnyWatch

Wishes = Mapping[str, Mapping[str, Any]]
"""Parameters by kind and name, as JSON has them."""


def tuned(watches: Sequence[AnyWatch], wishes: Wishes) -> tuple[AnyWatch, ...]:
    """The same watches, those of the kinds named with other parameters.

    Args:
        watches: rows of the table of detectors.
        wishes: by kind, values of fields of its parameters; the others keep their defaults.

    Raises:
        ValueError: no such kind or parameter, or a value of another type; says what there is.
    """
    tunable = {watch.kind: watch.parameters for watch in watches if watch.parameters is not None}
    unknown = sorted(wishes.keys() - tunable.keys())
    if unknown:
        raise ValueError(
            f"no detector {unknown[0]!r} with parameters; there are {', '.join(sorted(tunable))}"
        )
    made = {kind: _parameters(kind, tunable[kind], wish) for kind, wish in wishes.items()}
    return tuple(
        replace(watch, make=partial(watch.make, parameters=made[watch.kind]))  # type: ignore[call-arg, arg-type]
        if watch.kind in made
        else watch
        for watch in watches
    )


def without(watches: Sequence[AnyWatch], kinds: Sequence[str]) -> tuple[AnyWatch, ...]:
    """The watches of all other kinds.

    Raises:
        ValueError: one of the kinds is none of theirs.
    """
    known = {watch.kind for watch in watches}
    for kind in kinds:
        if kind not in known:
            raise ValueError(f"no detector {kind!r}; there are {', '.join(sorted(known))}")
    return tuple(watch for watch in watches if watch.kind not in kinds)


def _parameters(kind: str, made_of: type[Any], wish: Mapping[str, Any]) -> Any:
    defaults = made_of()
    known = {field.name: getattr(defaults, field.name) for field in fields(made_of)}
    for name in wish:
        if name not in known:
            raise ValueError(f"{kind} has no parameter {name!r}; it has {', '.join(known)}")
    values = {name: _like(value, known[name], f"{kind}.{name}") for name, value in wish.items()}
    return replace(defaults, **values)


def _like(value: Any, default: Any, where: str) -> Any:
    """The value in the type of the default."""
    if isinstance(default, tuple):
        if not isinstance(value, list) or len(value) < 1:
            raise ValueError(f"{where} is a list like {list(default)}, got {value!r:.80}")
        return tuple(_like(one, default[0], where) for one in value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, bool):
        fits = isinstance(value, bool)
    elif isinstance(default, int):
        fits = isinstance(value, int) and not isinstance(value, bool) and value > 0
    else:
        fits = number and 0 < value < float("inf")
    if not fits:
        what = {bool: "true or false", int: "a whole number above 0"}.get(
            type(default), "a number above 0"
        )
        raise ValueError(f"{where} is {what}, by default {default!r}; got {value!r:.80}")
    return float(value) if isinstance(default, float) else value
