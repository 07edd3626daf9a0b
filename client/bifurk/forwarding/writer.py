"""Into the TensorBoard writer that the user has open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bifurk.alerts import Alert
from bifurk.forwarding.target import PREFIX, NoRunError, sentence_of


class Writer:
    """Forwards to anything with ``add_scalar`` and ``add_text``.

    Args:
        writer: ``torch.utils.tensorboard.SummaryWriter``, for instance; stays the user's to close.
    """

    name = "TensorBoard"

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def find(self) -> None:
        """The writer was given."""

    def scalars(self, step: int, means: Mapping[str, float]) -> None:
        """See ``Target.scalars``."""
        writer = self._open()
        for name, mean in means.items():
            writer.add_scalar(f"{PREFIX}{name}", mean, step)

    def alert(self, alert: Alert) -> None:
        """Adds a text, at the step that the alert was seen at."""
        self._open().add_text(f"{PREFIX}alerts", sentence_of(alert), alert.detected_step)

    def _open(self) -> Any:
        # A closed SummaryWriter would open a new file by itself.
        if getattr(self._writer, "all_writers", self) is None:
            raise NoRunError("the TensorBoard writer is closed")
        return self._writer
