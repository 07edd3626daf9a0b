"""Other people's detectors on the same series: each as recommended, and tuned to white noise.

All see series in units of their own noise. What they are is said in ``PEERS``; none knows of a
course, a schedule, or other series.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import ruptures
from detecting.scoring import Seen
from numpy.typing import NDArray
from river import drift
from scipy.special import gammaln

Values = NDArray[np.float64]
Alarms = Callable[[Values, float], list[Seen]]
"""From values [length, series], NaN where there is none, and a setting: the alarms."""

Z_WINDOW: Final = 60
Z_LEAST: Final = 12
Z_RUNNING: Final = 2
EMA_SHORT: Final = 6
EMA_LONG: Final = 60
PELT_WINDOW: Final = 120
PELT_EVERY: Final = 5
BOCPD_LONGEST: Final = 120
BOCPD_RECENT: Final = 10
BOCPD_HAZARD: Final = 1 / 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A detector with one setting.

    Attributes:
        recommended: the setting that its authors or its library give.
        stricter: settings to try, from the loosest on, until white noise is left in peace.
        slow: a series costs so much that few are judged.
    """

    name: str
    alarms: Alarms
    recommended: float
    stricter: tuple[float, ...]
    setting: str
    slow: bool = False


def tuned(peer: Peer, white: Values, *, most: float = 0.02) -> float:
    """The loosest setting that alarms in at most this share of white series."""
    for setting in peer.stricter:
        ill = {alarm.series for alarm in peer.alarms(white, setting)}
        if len(ill) <= most * white.shape[1]:
            return setting
    return peer.stricter[-1]


def timed(peer: Peer, values: Values, setting: float) -> tuple[list[Seen], float]:
    """Alarms, and microseconds a value."""
    started = time.process_time()
    alarms = peer.alarms(values, setting)
    return alarms, 1e6 * (time.process_time() - started) / values.size


def _one_by_one(make: Callable[[float], Any]) -> Alarms:
    def alarms(values: Values, setting: float) -> list[Seen]:
        found = []
        for series in range(values.shape[1]):
            detector = make(setting)
            for snapshot, value in enumerate(values[:, series].tolist()):
                if value == value:
                    detector.update(value)
                    if detector.drift_detected:
                        found.append(Seen(series=series, snapshot=snapshot))
        return found

    return alarms


def _pelt(values: Values, penalty: float) -> list[Seen]:
    """Least squares of segment means over the newest values since the last change, every so often.

    The penalty is in variances, taken robustly from first differences, times ln of the number.
    """
    found = []
    for series in range(values.shape[1]):
        column = values[:, series]
        known = np.flatnonzero(np.isfinite(column))
        start = 0
        for end in range(2 * PELT_EVERY, len(known) + 1, PELT_EVERY):
            window = column[known[max(start, end - PELT_WINDOW) : end]]
            if len(window) < 2 * PELT_EVERY:
                continue
            variance = (1.4826 * np.median(np.abs(np.diff(window)))) ** 2 / 2
            if not variance:
                continue
            scaled = window[:, None] / np.sqrt(variance)
            search = ruptures.KernelCPD(kernel="linear", min_size=3)
            breaks = search.fit(scaled).predict(pen=penalty * np.log(len(window)))
            if len(breaks) > 1:
                start = end - (len(window) - breaks[-2])
                found.append(Seen(series=series, snapshot=int(known[end - 1])))
    return found


def _bocpd(values: Values, threshold: float) -> list[Seen]:
    """Adams and MacKay 2007: Gaussian of unknown mean and variance, constant hazard.

    An alarm where run lengths of at most ``BOCPD_RECENT`` hold this much of the posterior.
    """
    filled = _filled(values)
    length, count = filled.shape
    size = BOCPD_LONGEST + 1
    log_run = np.full((count, size), -np.inf)
    log_run[:, 0] = 0.0
    mean = np.repeat(filled[:1].T, size, axis=1)
    kappa, alpha, beta = np.ones((count, size)), np.ones((count, size)), np.ones((count, size))
    prior = filled[0].copy()
    armed = np.full(count, BOCPD_RECENT + 1)
    found = []
    for snapshot in range(1, length):
        value = filled[snapshot][:, None]
        scale = beta * (kappa + 1) / (alpha * kappa)
        density = (
            gammaln(alpha + 0.5)
            - gammaln(alpha)
            - 0.5 * np.log(2 * np.pi * alpha * scale)
            - (alpha + 0.5) * np.log1p((value - mean) ** 2 / (2 * alpha * scale))
        )
        grown = log_run + density + np.log1p(-BOCPD_HAZARD)
        joint = log_run + density + np.log(BOCPD_HAZARD)
        peak = joint.max(axis=1, keepdims=True)
        fresh = peak[:, 0] + np.log(np.exp(joint - peak).sum(axis=1))
        log_run = np.concatenate([fresh[:, None], grown[:, :-1]], axis=1)
        log_run -= log_run.max(axis=1, keepdims=True)
        log_run -= np.log(np.exp(log_run).sum(axis=1, keepdims=True))
        beta_new = beta + kappa * (value - mean) ** 2 / (2 * (kappa + 1))
        mean_new = (kappa * mean + value) / (kappa + 1)
        mean = np.concatenate([prior[:, None], mean_new[:, :-1]], axis=1)
        kappa = np.concatenate([np.ones((count, 1)), kappa[:, :-1] + 1], axis=1)
        alpha = np.concatenate([np.ones((count, 1)), alpha[:, :-1] + 0.5], axis=1)
        beta = np.concatenate([np.ones((count, 1)), beta_new[:, :-1]], axis=1)
        recent = np.exp(log_run[:, : BOCPD_RECENT + 1]).sum(axis=1)
        armed += 1
        fired = (recent > threshold) & (armed > 2 * BOCPD_RECENT) & (snapshot > 2 * BOCPD_RECENT)
        armed[fired] = 0
        found += [Seen(series=int(one), snapshot=snapshot) for one in np.flatnonzero(fired)]
    return found


def _z_score(values: Values, threshold: float) -> list[Seen]:
    """Distance from the mean of the values before, in their standard deviations, twice running."""
    filled = _filled(values)
    running = np.zeros(filled.shape[1], dtype=np.int64)
    found = []
    for snapshot in range(Z_LEAST, len(filled)):
        past = filled[max(0, snapshot - Z_WINDOW) : snapshot]
        spread = past.std(axis=0, ddof=1)
        far = np.abs(filled[snapshot] - past.mean(axis=0)) > threshold * spread
        running = np.where(far & (spread > 0), running + 1, 0)
        fired = np.flatnonzero(running == Z_RUNNING)
        found += [Seen(series=int(one), snapshot=snapshot) for one in fired]
    return found


def _turbulence(values: Values, threshold: float) -> list[Seen]:
    """A short mean of distances from a long mean, over a long mean of them."""
    filled = _filled(values)
    slow, fast = 2 / (EMA_LONG + 1), 2 / (EMA_SHORT + 1)
    level = filled[0].copy()
    short = long = np.zeros(filled.shape[1])
    above = np.zeros(filled.shape[1], dtype=np.bool_)
    found = []
    for snapshot in range(1, len(filled)):
        distance = np.abs(filled[snapshot] - level)
        level = level + slow * (filled[snapshot] - level)
        pace = max(slow, 1 / snapshot)
        short = short + max(fast, pace) * (distance - short)
        long = long + pace * (distance - long)
        now = (short > threshold * long) & (snapshot >= Z_LEAST)
        fired = np.flatnonzero(now & ~above)
        found += [Seen(series=int(one), snapshot=snapshot) for one in fired]
        above = now
    return found


def _filled(values: Values) -> Values:
    """The value before where there is none; the first known one at the start."""
    filled = values.copy()
    known = np.isfinite(filled)
    for snapshot in range(1, len(filled)):
        filled[snapshot] = np.where(known[snapshot], filled[snapshot], filled[snapshot - 1])
    for snapshot in range(len(filled) - 2, -1, -1):
        missing = ~np.isfinite(filled[snapshot])
        filled[snapshot] = np.where(missing, filled[snapshot + 1], filled[snapshot])
    return filled


PEERS: Final[Sequence[Peer]] = (
    Peer(
        name="ADWIN",
        alarms=_one_by_one(lambda setting: drift.ADWIN(delta=setting)),
        recommended=0.002,
        stricter=(0.2, 0.05, 0.02, 0.005, 0.002, 5e-4, 1e-4, 1e-5, 1e-6, 1e-8),
        setting="delta",
    ),
    Peer(
        name="Page-Hinkley",
        alarms=_one_by_one(lambda setting: drift.PageHinkley(threshold=setting)),
        recommended=50.0,
        stricter=(10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 120.0),
        setting="threshold",
    ),
    Peer(
        name="KSWIN",
        alarms=_one_by_one(lambda setting: drift.KSWIN(alpha=setting, seed=1)),
        recommended=0.005,
        stricter=(0.005, 1e-3, 1e-4, 3e-5, 1e-5, 1e-6),
        setting="alpha",
        slow=True,
    ),
    Peer(
        name="PELT, again and again",
        alarms=_pelt,
        recommended=2.0,
        stricter=(2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0),
        setting="penalty over log n",
        slow=True,
    ),
    Peer(
        name="BOCPD",
        alarms=_bocpd,
        recommended=0.5,
        stricter=(0.5, 0.7, 0.9, 0.95, 0.99, 0.999),
        setting="posterior of a recent change",
    ),
    Peer(
        name="z-score rule",
        alarms=_z_score,
        recommended=3.0,
        stricter=(2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 5.0),
        setting="standard deviations",
    ),
    Peer(
        name="EMA turbulence",
        alarms=_turbulence,
        recommended=2.0,
        stricter=(1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 4.0),
        setting="short over long",
    ),
)
