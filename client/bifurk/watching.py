"""``watch``: the one call that attaches bifurk to a training loop."""

from __future__ import annotations

import logging
import os
import sys
import weakref
from typing import TYPE_CHECKING, Unpack

import torch
from torch.optim import Optimizer

from bifurk.agreement import shared_names, shared_writer
from bifurk.by_identity import ByIdentity
from bifurk.capture import Capture
from bifurk.config import WatchConfig, WatchSettings
from bifurk.configure import given, resolve
from bifurk.held import is_spread
from bifurk.identity import Identity, Rank, current_rank
from bifurk.monitor import InertMonitor, Monitor
from bifurk.optimizers import as_optimizers
from bifurk.session import Session
from bifurk.sharing import Sender

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bifurk.transport import Transport

_log = logging.getLogger("bifurk")

_sessions: ByIdentity[Optimizer, Session] = ByIdentity()
"""The open session of each optimizer that is a clock."""
_unasked: weakref.WeakSet[Monitor] = weakref.WeakSet()
"""Watches that nobody called ``watch`` for: they give way to one that somebody does."""
_under_way: weakref.WeakSet[Session] = weakref.WeakSet()
"""Sessions, those of optimizers that no longer exist among them: they may still be ending."""


def watch(
    model: torch.nn.Module,
    optimizer: Optimizer | Sequence[Optimizer],
    *,
    transport: Transport | None = None,
    **settings: Unpack[WatchSettings],
) -> Monitor:
    """Posts snapshots of the model's weights while the optimizer steps.

    ::

        monitor = bifurk.watch(model, optimizer, run="gpt-small", every=100)
        for batch in loader:
            ...
            optimizer.step()
            monitor.log(loss=loss)
        monitor.close()

    Weights are read before the first step and after each step of the grid, never inside
    forward or backward. After this call has returned nothing of bifurk's raises into the
    training loop. The same optimizer twice gives the same monitor.

    Args:
        model: any module; wrapped by DDP or ``torch.compile`` or not. Under DDP every rank may
            call this; rank 0 posts, or, with ``split``, each its share of the tensors. Of a model
            sharded by ``fully_shard`` or ``FullyShardedDataParallel`` every rank has to call
            this, and posts its own shards.
        optimizer: one, or several of which the first is the clock.
        transport: instead of HTTP, see ``bifurk.testing``.
        settings: fields of ``WatchConfig``, each also ``BIFURK_<NAME>`` in the environment;
            an argument wins over the environment, that over the default. The most used:
            ``project``, ``run``, ``every`` (100 steps), ``url`` (without it snapshots go to
            ``./bifurk/``), ``include``, ``exclude``, ``roles`` and
            ``packing`` (globs of names), ``payload`` (``auto``, ``sketch``, ``full``), ``mode``
            (``online``, ``offline``, ``disabled``), ``token``, ``start_step``, ``attempt``.

    Raises:
        TypeError: model or optimizer is something else, or a setting does not exist.
        ValueError: a setting is out of range, or the model has nothing to watch.
    """
    optimizers = as_optimizers(optimizer)
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    rank = current_rank()
    known = _sessions.get(optimizers[0])
    if known is not None and known in _unasked:
        known.close(0.0)
    config = resolve(settings, rank=rank, transport_given=transport is not None)
    each_sends = is_spread(model) or (config.split and rank.ranks > 1)
    if each_sends and rank.ranks > 1 and (known is None or known.closed):
        settings = shared_names(settings, environ=os.environ, rank=rank)
        config = resolve(settings, rank=rank, transport_given=transport is not None)
    if known is not None and not known.closed:
        if any(getattr(config, name) != getattr(known.config, name) for name in given(settings)):
            _log.warning("this optimizer is watched already: its first monitor and settings stay")
        return known
    if config.mode == "disabled":
        return InertMonitor("mode is 'disabled'")
    if rank.rank > 0 and not each_sends:
        return InertMonitor(f"this is rank {rank.rank} of {rank.ranks}, and rank 0 posts")
    return _open(
        model, optimizers, config=config, rank=rank, each_sends=each_sends, transport=transport
    )


def watch_unasked(
    model: torch.nn.Module, optimizers: Sequence[Optimizer], *, run: str
) -> Monitor | None:
    """As ``watch``; ends without a wait where ``watch`` is called for the same optimizer later.

    Returns:
        None where the script watches something itself: it is left alone.
    """
    if any(not session.closed and session not in _unasked for session in _sessions.values()):
        return None
    monitor = watch(model, optimizers, run=run)
    _unasked.add(monitor)
    return monitor


def _end_replaced(config: WatchConfig) -> None:
    """At a prompt or in a notebook, ends an open watch of the same run: the cell has run again.

    Elsewhere nothing is run twice by itself, and two watches are what somebody wrote.
    """
    if not hasattr(sys, "ps1"):
        return
    for session in list(_under_way):
        if (session.config.project, session.config.run) == (config.project, config.run):
            if not session.closed:
                _log.info("another watch of run %s begins: the one before it ends", config.run)
            session.end_replaced()
            _under_way.discard(session)


def _open(
    model: torch.nn.Module,
    optimizers: tuple[Optimizer, ...],
    *,
    config: WatchConfig,
    rank: Rank,
    each_sends: bool,
    transport: Transport | None,
) -> Session:
    capture = Capture(
        model,
        config=config,
        optimizers=optimizers,
        sender=Sender(rank=rank.rank, sharing=rank.ranks if config.split else 1)
        if each_sends
        else None,
    )
    _end_replaced(config)
    identity = Identity(
        project=config.project,
        run=config.run,
        attempt=config.attempt,
        display_name=config.display_name,
        tags=config.tags,
        rank=rank,
        parts=rank.ranks if each_sends else 1,
        writer=shared_writer(rank if each_sends else Rank()),
    )
    session = Session(
        capture=capture,
        optimizers=optimizers,
        config=config,
        identity=identity,
        transport=transport,
    )
    _sessions[optimizers[0]] = session
    _under_way.add(session)
    _log.info(
        "watching %d tensors as %s/%s, attempt %s",
        len(capture.names),
        config.project,
        config.run,
        config.attempt,
    )
    return session
