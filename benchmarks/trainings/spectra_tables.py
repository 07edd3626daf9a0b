"""The numbers of the real runs as Markdown tables: pure, from the collected documents."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from scipy.stats import spearmanr

from bifurk.layout import ROLES

from .page import table

LASTING: Final = 2
"""Snapshots in a row with an outlier before it counts as having appeared."""
LEAST_LAYERS: Final = 4
"""Fewer points have no rank correlation worth telling: of three, one order in three has |rho| = 1.
"""
NOTHING: Final = "-"
OUTLIERS: Final = "spectrum_outliers"
RAW: Final = "spectrum_outliers_raw"

Json = dict[str, Any]
Matrices = list[Json]
Cell = Callable[[Matrices], str]


def tables(results: Json) -> dict[str, str]:
    """Every table of the page by its name.

    Args:
        results: ``runs`` as ``collecting.collect`` gives them, each with ``matrices``;
            ``unigram_entropy`` in nats a byte.
    """
    runs = sorted(results["runs"], key=lambda run: (run["control"], run["seed"]))
    sound = [run for run in runs if not run["control"]]
    return {
        "losses": _losses(runs, results["unigram_entropy"]),
        "glance": _glance(runs),
        "initialisation": _initialisation(sound),
        **{name: _by_role(runs, cell) for name, cell in BY_ROLE.items()},
    }


def onset(matrix: Json, steps: list[int]) -> int | None:
    """Step from which on ``LASTING`` snapshots in a row have a biwhitened outlier, if any."""
    counts = matrix.get("spectrum_outliers", [])
    for index in range(len(counts) - LASTING + 1):
        if all(counts[index : index + LASTING]):
            return steps[index]
    return None


def _losses(runs: list[Json], entropy: float) -> str:
    rows = [
        [_title(run), f"{run['loss']['first']:.2f}", f"{run['loss']['last']:.2f}"] for run in runs
    ]
    rows.append(["entropy of single bytes", "", f"{entropy:.2f}"])
    return table(["", "first 50 steps", "last 50 steps"], rows)


def _glance(runs: list[Json]) -> str:
    """What the whole model did, a column a run."""
    rows = {
        "matrices": lambda ms: str(len(ms)),
        "with a verdict on outliers": lambda ms: str(len(_judged(ms))),
        "with a lasting biwhitened outlier": lambda ms: str(len(_onsets(ms))),
        "its first step, median": lambda ms: _median(_onsets(ms)),
        "biwhitened outliers at the end, median": lambda ms: _median(_last(ms, OUTLIERS)),
        "raw outliers at the end, median": lambda ms: _median(_last(ms, RAW)),
        "KS to Marchenko-Pastur over its null at the end, median": lambda ms: _median(
            _last(ms, "mp_ks_ratio")
        ),
        "stable rank, end / start, median": lambda ms: _median(_growth(ms, "stable_rank")),
        "std, end / start, median": lambda ms: _median(_growth(ms, "std")),
        "excess kurtosis at the end, median": lambda ms: _median(_last(ms, "excess_kurtosis")),
        "another shape class than at the start": lambda ms: str(
            sum(first != last for first, last in _ends(ms, "shape_class"))
        ),
    }
    return table(
        ["", *map(_title, runs)],
        [[what, *(cell(_matrices(run)) for run in runs)] for what, cell in rows.items()],
    )


def _initialisation(runs: list[Json]) -> str:
    """By role over all seeds; a control starts from the weights of the run of its seed."""
    rows = []
    for role in _roles(runs):
        found = [matrix for run in runs for matrix in _matrices(run) if matrix["role"] == role]
        ratios = _first(found, "mp_ks_ratio")
        rows.append(
            [
                f"`{role}`",
                " x ".join(map(str, found[0]["shape"])),
                str(len(found)),
                _median(ratios),
                _number(max(ratios)) if ratios else NOTHING,
                f"{sum(ratio <= 1 for ratio in ratios)} of {len(ratios)}",
                _of_judged(found, RAW),
                _of_judged(found, OUTLIERS),
            ]
        )
    return table(
        [
            "role",
            "shape",
            "matrices",
            "KS / null, median",
            "largest",
            "at most 1",
            "with a raw outlier",
            "with a biwhitened one",
        ],
        rows,
    )


def _by_role(runs: list[Json], cell: Cell) -> str:
    return table(
        ["role", *map(_title, runs)],
        [
            [f"`{role}`", *(cell([m for m in _matrices(r) if m["role"] == role]) for r in runs)]
            for role in _roles(runs)
        ],
    )


def _onset_cell(matrices: Matrices) -> str:
    judged, onsets = _judged(matrices), _onsets(matrices)
    if not judged:
        return NOTHING
    span = f" ({min(onsets)} to {max(onsets)})" if len(set(onsets)) > 1 else ""
    when = f"{_median(onsets)}{span}; " if onsets else ""
    return f"{when}{len(onsets)} of {len(judged)}"


def _outlier_cell(matrices: Matrices) -> str:
    return " / ".join(
        _median(_last(matrices, name)) for name in (OUTLIERS, RAW, "outlier_strength")
    )


def _direction_cell(matrices: Matrices) -> str:
    return " / ".join(
        _median(_last(matrices, name))
        for name in ("outlier_participation", "outlier_constant_overlap")
    )


def _depth_cell(matrices: Matrices) -> str:
    placed = [matrix for matrix in matrices if matrix["layer"] is not None]
    growth = _median(_growth(matrices, "std"))
    return f"{growth} / {_with_depth(placed, _last)} / {_with_depth(placed, _growth)}"


def _shape_cell(matrices: Matrices) -> str:
    ends = _ends(matrices, "shape_class")
    if not ends:
        return NOTHING
    before, after = (_counted(words) for words in zip(*ends, strict=True))
    return before if before == after else f"{before} → {after}"


def _rank_cell(matrices: Matrices) -> str:
    return f"{_median(_first(matrices, 'stable_rank'))} → {_median(_last(matrices, 'stable_rank'))}"


def _bulk_cell(matrices: Matrices) -> str:
    ratios = _last(matrices, "mp_ks_ratio")
    above = f"; {sum(r > 1 for r in ratios)} of {len(ratios)} above 1" if ratios else ""
    return f"{_median(ratios)}{above}"


def _alpha_cell(matrices: Matrices) -> str:
    alphas = _last(matrices, "power_law_alpha")
    return f"{_median(alphas)}; {len(alphas)} of {len(matrices)}" if alphas else "withheld"


BY_ROLE: Final[dict[str, Cell]] = {
    "onset": _onset_cell,
    "outliers": _outlier_cell,
    "directions": _direction_cell,
    "bulk": _bulk_cell,
    "depth": _depth_cell,
    "shapes": _shape_cell,
    "stable-rank": _rank_cell,
    "kurtosis": lambda matrices: _median(_last(matrices, "excess_kurtosis")),
    "alpha": _alpha_cell,
}


def _matrices(run: Json) -> Matrices:
    """The run's matrices, each with the step at which its outliers came."""
    return [{**matrix, "onset": onset(matrix, run["steps"])} for matrix in run["matrices"]]


def _judged(matrices: Matrices) -> Matrices:
    return [m for m in matrices if any(v is not None for v in m.get(OUTLIERS, []))]


def _onsets(matrices: Matrices) -> list[int]:
    return [matrix["onset"] for matrix in matrices if matrix["onset"] is not None]


def _ends(matrices: Iterable[Json], stat: str) -> list[tuple[Any, Any]]:
    """First and last value of those that have both."""
    ends = [(m[stat][0], m[stat][-1]) for m in matrices if m.get(stat)]
    return [(first, last) for first, last in ends if first is not None and last is not None]


def _first(matrices: Matrices, stat: str) -> list[float]:
    values = [matrix[stat][0] for matrix in matrices if matrix.get(stat)]
    return [value for value in values if value is not None]


def _last(matrices: Matrices, stat: str) -> list[float]:
    values = [matrix[stat][-1] for matrix in matrices if matrix.get(stat)]
    return [value for value in values if value is not None]


def _growth(matrices: Matrices, stat: str) -> list[float]:
    return [last / first for first, last in _ends(matrices, stat) if first]


def _with_depth(matrices: Matrices, read: Callable[[Matrices, str], list[float]]) -> str:
    """Spearman of a reading of the std with the layer's index."""
    pairs = [(m["layer"], value) for m in matrices for value in read([m], "std")]
    if len(pairs) < LEAST_LAYERS or len({value for _, value in pairs}) == 1:
        return NOTHING
    return f"{spearmanr(*zip(*pairs, strict=True)).statistic:+.2f}"


def _of_judged(matrices: Matrices, stat: str) -> str:
    values = _first(matrices, stat)
    return f"{sum(value > 0 for value in values)} of {len(values)}" if values else NOTHING


def _counted(words: Iterable[str]) -> str:
    counts = Counter(words)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {word}" for word, count in counts.most_common())


def _roles(runs: list[Json]) -> list[str]:
    """Those that occur, in the layout's order."""
    present = {matrix["role"] for run in runs for matrix in run["matrices"]}
    return [role for role in ROLES if role in present]


def _title(run: Json) -> str:
    return f"{'control' if run['control'] else 'run'} {run['seed']}"


def _median(values: Iterable[float]) -> str:
    found = list(values)
    return _number(float(statistics.median(found))) if found else NOTHING


def _number(value: float) -> str:
    """Three significant digits, without an exponent; whole numbers and halves as they are."""
    if (2 * value).is_integer():
        return f"{value:g}"
    return f"{value:.{max(0, 2 - _decade(value))}f}"


def _decade(value: float) -> int:
    return int(f"{value:.2e}".partition("e")[2])
