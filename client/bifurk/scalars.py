"""What the user logs between two snapshots: last, mean, min, max and count per name.

Values that lie on an accelerator are never waited for on the training thread: a detached copy
is queued on the device's own stream and read when the interval is summarised, in the
background.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from bifurk.wire import ScalarSummary

if TYPE_CHECKING:
    import torch

MAX_NAMES: Final = 1_000
"""Per interval: what a reader of the wire accepts."""
MAX_NAME_CHARACTERS: Final = 256
PENDING_VALUES: Final = 512
"""Device values kept per name before they are folded into four, still on the device."""

_log = logging.getLogger("bifurk")


class ScalarLog:
    """Collects values per name until ``take`` closes the interval; thread-safe, bounded."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._interval = Interval()
        self._refused: set[str] = set()

    def add(self, scalars: Mapping[str, object]) -> None:
        """Takes one value a name: a number, or anything with a single element.

        What is neither is left out, and said so once a name.
        """
        for name, value in scalars.items():
            problem = _problem_of_name(name)
            if problem is None:
                with self._lock:
                    problem = self._interval.add(name, value)
            if problem is not None:
                self._refuse(name, problem)

    def take(self) -> Interval:
        """What was logged since the last call; a new interval begins."""
        with self._lock:
            taken, self._interval = self._interval, Interval()
        return taken

    def restore(self, taken: Interval) -> None:
        """Puts a taken interval back; of a name that was logged since, what came since stays."""
        with self._lock:
            self._interval = taken.followed_by(self._interval)

    def _refuse(self, name: str, problem: str) -> None:
        if name not in self._refused and len(self._refused) < MAX_NAMES:
            self._refused.add(name)
            _log.warning("log(%s=...) is left out: %s", name[:MAX_NAME_CHARACTERS], problem)


class Interval:
    """The values of one interval; ``summaries`` reads those still on a device."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}

    def add(self, name: str, value: object) -> str | None:
        """Takes a value; returns what is wrong with it, or None."""
        if name not in self._series and len(self._series) >= MAX_NAMES:
            return f"more than {MAX_NAMES} names between two snapshots"
        number = _number(value)
        if isinstance(number, str):
            return number
        series = self._series.setdefault(name, _Series())
        if isinstance(number, float):
            series.add(number)
        else:
            series.add_on_device(number)
        return None

    def followed_by(self, later: Interval) -> Interval:
        """The names of both; of one in both the later values."""
        both = Interval()
        both._series = dict(islice({**self._series, **later._series}.items(), MAX_NAMES))
        return both

    def summaries(self) -> dict[str, ScalarSummary]:
        """One summary a name; waits for the device where values lie on one."""
        summaries = ((name, series.summary()) for name, series in self._series.items())
        return {name: summary for name, summary in summaries if summary is not None}


class _Series:
    """Running moments of one name; NaN, once seen, stays in mean, min and max."""

    def __init__(self) -> None:
        self.last = math.nan
        self.total = 0.0
        self.min = math.inf
        self.max = -math.inf
        self.count = 0
        self._last_on_device = False
        self._pending: list[torch.Tensor] = []
        self._folded: list[tuple[torch.Tensor, int]] = []

    def add(self, value: float) -> None:
        self.last, self._last_on_device = value, False
        self._merge(value, value, value, 1)

    def add_on_device(self, value: torch.Tensor) -> None:
        self._last_on_device = True
        self._pending.append(value)
        if len(self._pending) >= PENDING_VALUES:
            self._fold()

    def summary(self) -> ScalarSummary | None:
        """None where a signal's handler ends the interval before the first value is in."""
        self._read_device()
        if not self.count:
            return None
        mean = self.total / self.count
        return ScalarSummary(
            last=self.last, mean=mean, min=self.min, max=self.max, count=self.count
        )

    def _fold(self) -> None:
        import torch  # noqa: PLC0415  torch only where a tensor came

        with torch.no_grad():
            # One name may be logged from several devices, as pipeline stages do.
            home = self._pending[-1].device
            moved = [v.to(home, torch.float32, non_blocking=True) for v in self._pending]
            values = torch.stack(moved)
            folded = torch.stack([values[-1], values.sum(), values.min(), values.max()])
        self._folded.append((folded, len(self._pending)))
        self._pending = []

    def _read_device(self) -> None:
        if self._pending:
            self._fold()
        for folded, count in self._folded:
            last, total, low, high = folded.tolist()
            self.last = last if self._last_on_device else self.last
            self._merge(total, low, high, count)
        self._folded = []

    def _merge(self, total: float, low: float, high: float, count: int) -> None:
        lowest = low if math.isnan(low) or low < self.min else self.min
        highest = high if math.isnan(high) or high > self.max else self.max
        # At once: no signal's handler finds a sum of other values than are counted.
        self.total, self.min, self.max, self.count = (
            self.total + total,
            lowest,
            highest,
            self.count + count,
        )


def _problem_of_name(name: str) -> str | None:
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        return f"a name is 1 to {MAX_NAME_CHARACTERS} printable characters"
    return None


def _number(value: Any) -> float | torch.Tensor | str:
    """A float, a copy on the device, or what is wrong with the value."""
    if isinstance(value, int | float):
        return _float(value)
    if hasattr(value, "detach") and hasattr(value, "device"):
        if value.numel() != 1 or value.is_complex() or value.device.type == "meta":
            return f"expected one real number, got shape {tuple(value.shape)} of {value.dtype}"
        alone = value.detach().reshape(())
        return float(alone) if alone.device.type == "cpu" else alone.clone()
    if hasattr(value, "item") and getattr(value, "size", None) == 1:
        return _float(value.item())
    return f"expected a number, got {type(value).__name__}"


def _float(value: Any) -> float | str:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        return str(error)
