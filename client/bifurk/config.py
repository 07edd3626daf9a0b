"""What ``watch`` can be told: one frozen object of documented fields, checked when made."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypedDict, get_args, get_type_hints
from urllib.parse import urlsplit

from bifurk.forwarding.target import NAMED
from bifurk.identity import fresh_attempt, fresh_run
from bifurk.layout import ROLES
from bifurk.packing import check_packings
from bifurk.wire.limits import MAX_NAME_CHARACTERS
from bifurk.wire.slug import check_slug
from bifurk.wire.tags import normal_tags

Mode: TypeAlias = Literal["online", "offline", "disabled"]
Payload: TypeAlias = Literal["auto", "sketch", "full"]
Globs: TypeAlias = tuple[str, ...]
Roles: TypeAlias = Mapping[str, str]
Packings: TypeAlias = dict[str, str]


def _home_spool() -> Path:
    try:
        return Path("~/.cache/bifurk/spool").expanduser()
    except RuntimeError:
        # A container's made-up user has no home. The folders inside belong to it alone.
        user = os.geteuid() if hasattr(os, "geteuid") else "user"
        return Path(tempfile.gettempdir(), f"bifurk-{user}", "spool")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchConfig:
    """Settings of one watch. Each field says what it is; ``documentation`` lists them.

    Raises:
        TypeError, ValueError: a field is of another kind, or out of range; the message names
            it and what was received.
    """

    # fmt: off
    project: Annotated[str, "Project the run belongs to; a slug."] = "default"
    run: Annotated[str, "The run's name in its project; a slug."] = field(default_factory=fresh_run)
    display_name: Annotated[str | None, "Free text shown instead of the run's name."] = None
    tags: Annotated[Globs, "Words to find the run by, at most 32."] = ()
    every: Annotated[int, "Optimizer steps between snapshots, at least 1."] = 100
    log_start: Annotated[bool, "Also snapshot the steps 1, 2, 4, ... below `every`."] = True
    url: Annotated[str | None, "The server: http(s)://host[:port][/prefix]."] = None
    token: Annotated[str | None, "Bearer token; never stored."] = field(default=None, repr=False)
    mode: Annotated[Mode, "online, offline, disabled; online by default with a url."] = "offline"
    include: Annotated[Globs, "Globs of parameter names to watch; none means all."] = ()
    exclude: Annotated[Globs, "Globs of parameter names to leave out."] = ()
    roles: Annotated[Roles, "Glob to role, over the built-in guess."] = field(default_factory=dict)
    packing: Annotated[Packings, "Glob to how a matrix is split."] = field(default_factory=dict)
    payload: Annotated[Payload, "Full values: auto (some), sketch (none), full (all)."] = "auto"
    full_bytes: Annotated[int, "Most bytes of full values a snapshot in payload auto."] = 16 << 20
    full_every: Annotated[int, "Full values travel with every this many snapshots."] = 1
    split: Annotated[bool, "Ranks share the sending of what each holds whole (DDP)."] = False
    directives: Annotated[bool, "Follow the server's wishes for more after an alert."] = True
    forward: Annotated[Globs, "Where scalars and alerts also go: wandb, mlflow."] = ()
    overhead_budget: Annotated[float | None, "Share of the time this may cost; None: any."] = 0.01
    start_step: Annotated[int | None, "Steps done before; default: the optimizer's own."] = None
    attempt: Annotated[str, "This try at the run; a slug."] = field(default_factory=fresh_attempt)
    spool_dir: Annotated[Path, "Folder of what is to be sent."] = field(default_factory=_home_spool)
    spool_bytes: Annotated[int, "Most bytes kept there; the oldest go first."] = 1 << 30
    offline_dir: Annotated[Path, "Folder that offline mode writes to."] = Path("bifurk")
    heartbeat_seconds: Annotated[float, "Seconds between two signs of life."] = 60.0
    # fmt: on

    def __post_init__(self) -> None:
        check_slug(self.project, "project")
        check_slug(self.run, "run")
        check_slug(self.attempt, "attempt")
        if self.display_name is not None:
            _check_display_name(self.display_name)
        _check_tags(self.tags)
        _one_of("mode", self.mode, get_args(Mode))
        _one_of("payload", self.payload, get_args(Payload))
        for name, least in (("every", 1), ("full_every", 1), ("full_bytes", 0), ("spool_bytes", 1)):
            _whole(name, getattr(self, name), least=least)
        if self.start_step is not None:
            _whole("start_step", self.start_step, least=0)
        if self.overhead_budget is not None and not 0 < self.overhead_budget < 1:
            raise ValueError(f"overhead_budget must be in (0, 1), got {self.overhead_budget!r}")
        if not (math.isfinite(self.heartbeat_seconds) and self.heartbeat_seconds > 0):
            raise ValueError(f"heartbeat_seconds must be above 0, got {self.heartbeat_seconds!r}")
        if self.url is not None:
            _check_url(self.url)
        _check_globs("include", self.include)
        _check_globs("exclude", self.exclude)
        for target in self.forward:
            _one_of("forward", target, NAMED)
        _check_roles(self.roles)
        check_packings(self.packing)


class WatchSettings(TypedDict, total=False):
    """The keyword arguments of ``watch``: the fields of ``WatchConfig``, None for not given."""

    project: str | None
    run: str | None
    display_name: str | None
    tags: str | tuple[str, ...] | list[str] | None
    every: int | None
    log_start: bool | None
    url: str | None
    token: str | None
    mode: Mode | None
    include: str | tuple[str, ...] | list[str] | None
    exclude: str | tuple[str, ...] | list[str] | None
    roles: Roles | None
    packing: Packings | None
    payload: Payload | None
    full_bytes: int | None
    full_every: int | None
    split: bool | None
    directives: bool | None
    forward: str | tuple[str, ...] | list[str] | None
    overhead_budget: float | None
    start_step: int | None
    attempt: str | None
    spool_dir: str | os.PathLike[str] | None
    spool_bytes: int | None
    offline_dir: str | os.PathLike[str] | None
    heartbeat_seconds: float | None


def documentation() -> dict[str, str]:
    """What each field of ``WatchConfig`` means, in one line, in their order."""
    hints = get_type_hints(WatchConfig, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def _whole(name: str, value: object, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def _check_display_name(name: object) -> None:
    if not isinstance(name, str) or len(name) > MAX_NAME_CHARACTERS:
        raise ValueError(
            f"display_name must be text of at most {MAX_NAME_CHARACTERS} characters,"
            f" got {name!r:.80}"
        )


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url must look like http(s)://host[:port][/prefix], got {url!r}")


def _check_tags(tags: tuple[str, ...]) -> None:
    try:
        normal_tags(tags)
    except ValueError as error:
        raise ValueError(f"tags: {error}") from None


def _check_globs(name: str, globs: tuple[object, ...]) -> None:
    if not all(isinstance(glob, str) and glob for glob in globs):
        raise ValueError(f"{name} must be globs of parameter names, got {globs!r}")


def _check_roles(roles: object) -> None:
    if not isinstance(roles, Mapping):
        raise TypeError(f"roles must map globs to roles, got {roles!r}")
    for glob, role in roles.items():
        _one_of(f"the role of {glob!r}", role, ROLES)
