"""From arguments and environment to a ``WatchConfig``: the one place that reads ``BIFURK_*``."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast, get_type_hints

from bifurk.config import Globs, Mode, Packings, Payload, Roles, WatchConfig, WatchSettings
from bifurk.identity import Rank, choose_attempt

PREFIX: Final = "BIFURK_"

NONE_IS_A_VALUE: Final = frozenset({"overhead_budget"})
"""Where None as an argument, or ``none`` in the environment, is not "not given"."""


def resolve(
    arguments: WatchSettings,
    *,
    environ: Mapping[str, str] | None = None,
    rank: Rank | None = None,
    transport_given: bool = False,
) -> WatchConfig:
    """The configuration: an argument wins over ``BIFURK_<NAME>``, that over the default.

    Args:
        arguments: as ``watch`` received them. environ: the process's own by default.
        rank: among how many the attempt's name is chosen.
        transport_given: online is then possible, and the default, without a url.

    Raises:
        TypeError: an argument of this name does not exist.
        ValueError: a value cannot be read or is out of range.
    """
    environ = os.environ if environ is None else environ
    chosen = _from_environment(environ) | _from_arguments(arguments)
    if "attempt" not in chosen:
        chosen["attempt"] = choose_attempt(environ=environ, rank=rank or Rank())
    reachable = transport_given or "url" in chosen
    chosen.setdefault("mode", "online" if reachable else "offline")
    if chosen["mode"] == "online" and not reachable:
        raise ValueError("mode 'online' needs a url: pass url= or set BIFURK_URL")
    config = WatchConfig(**chosen)
    # Where the folders lie is decided now: the training may change its working directory.
    return replace(
        config,
        spool_dir=_anchored(config.spool_dir),
        offline_dir=_anchored(config.offline_dir),
    )


def given(arguments: WatchSettings, *, environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """Names of the settings that an argument or the environment decides."""
    environ = os.environ if environ is None else environ
    return frozenset(_from_environment(environ) | _from_arguments(arguments))


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    chosen = {}
    for name, kind in get_type_hints(WatchConfig).items():
        variable = PREFIX + name.upper()
        if environ.get(variable):
            try:
                chosen[name] = _READERS[kind](environ[variable])
            except ValueError as error:
                raise ValueError(f"{variable}={environ[variable]!r}: {error}") from None
    return chosen


def _from_arguments(arguments: WatchSettings) -> dict[str, Any]:
    known = list(get_type_hints(WatchConfig))
    chosen = {}
    for name, value in arguments.items():
        if name not in known:
            raise TypeError(_unknown(name, known))
        if value is not None or name in NONE_IS_A_VALUE:
            chosen[name] = _normal(name, value)
    return chosen


def _normal(name: str, value: object) -> object:
    if name in ("tags", "include", "exclude", "forward"):
        return (value,) if isinstance(value, str) else tuple(cast("list[str]", value))
    if name in ("spool_dir", "offline_dir"):
        return _path(cast("str", value))
    return value


def _anchored(path: Path) -> Path:
    # A working directory that is gone makes a relative folder useless, which is said later.
    with contextlib.suppress(OSError):
        return path.absolute()
    return path


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"watch() has no setting {name!r}{hint}"


def _path(raw: str | os.PathLike[str]) -> Path:
    try:
        return Path(raw).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{os.fspath(raw)!r} cannot be used: {error}") from None


def _globs(raw: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in raw.split(",") if part.strip())


def _roles(raw: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in _globs(raw)]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError("expected glob=role,glob=role")
    return {glob.strip(): role.strip() for glob, _, role in pairs}


def _packings(raw: str) -> dict[str, str]:
    """Apart by semicolons, because packings themselves hold commas and equals signs."""
    pairs = [part.partition(":") for part in raw.split(";") if part.strip()]
    if not all(colon for _, colon, _ in pairs):
        raise ValueError("expected glob:packing;glob:packing, as in *.qkv.weight:query,key,value")
    return {glob.strip(): text.strip() for glob, _, text in pairs}


def _flag(raw: str) -> bool:
    if raw.lower() not in ("1", "0", "true", "false"):
        raise ValueError("expected true or false")
    return raw.lower() in ("1", "true")


def _number_or_none(raw: str) -> float | None:
    return None if raw.lower() == "none" else float(raw)


_READERS: Final[Mapping[object, Callable[[str], object]]] = {
    str: str,
    str | None: str,
    int: int,
    int | None: int,
    bool: _flag,
    float: float,
    float | None: _number_or_none,
    Path: _path,
    Globs: _globs,
    Roles: _roles,
    Packings: _packings,
    Mode: str,
    Payload: str,
}
"""How the text of a variable becomes a field of each type."""
