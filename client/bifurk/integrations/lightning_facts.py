"""What Lightning's ``Trainer`` tells of itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from bifurk.integrations.companion import Title

DEFAULT_NAME: Final = "lightning_logs"
"""What Lightning's loggers are called when nobody named them."""


def written(trainer: Any) -> dict[str, int | None]:
    """The checkpoints that the trainer's callbacks say they keep, and when each was written."""
    found: set[str] = set()
    for callback in trainer.checkpoint_callbacks:
        for name in ("best_model_path", "last_model_path"):
            found.add(str(getattr(callback, name, "") or ""))
        found.update(map(str, getattr(callback, "best_k_models", ())))
    return {path: _time_of(path) for path in found - {""}}


def _time_of(path: str) -> int | None:
    """When a file was changed last, in nanoseconds; None where it is on no disk of this machine."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return None


def title(trainer: Any, module: Any) -> Title:
    """The logger's name and version, where it was named; else a fresh one after the module."""
    stem = type(module).__name__
    for logger in trainer.loggers:
        name, version = logger.name, logger.version
        if name and name != DEFAULT_NAME:
            number = f"version_{version}" if isinstance(version, int) else version
            return Title(run="-".join(str(part) for part in (name, number) if part), stem=stem)
    return Title(stem=stem)


def facts(trainer: Any) -> dict[str, Any]:
    """For the mark at the start."""
    return {
        "trainer": "lightning",
        # Where ``seed_everything`` leaves it.
        "seed": os.environ.get("PL_GLOBAL_SEED"),
        "gradient_accumulation_steps": trainer.accumulate_grad_batches,
        "processes": trainer.world_size,
        "precision": str(trainer.precision),
        "gradient_clip_val": trainer.gradient_clip_val,
        "epochs": trainer.max_epochs,
    }


def schedule(trainer: Any, config: Any) -> dict[str, Any]:
    """For a mark about one scheduler's configuration."""
    return {
        "scheduler": type(config.scheduler).__name__,
        "interval": config.interval,
        "max_steps": trainer.max_steps if trainer.max_steps > 0 else None,
    }
