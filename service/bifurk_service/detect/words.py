"""Numbers, names and places as sentences say them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bifurk_service.domain import AffectedTensor

FEW: Final = 3
"""Up to this many tensors are named in the sentence; more are counted."""

NOUNS: Final[dict[str, str]] = {
    "std": "the spread of the weights",
    "spectral_norm": "the largest singular value",
    "update_ratio": "weight updates",
    "excess_kurtosis": "the excess kurtosis",
    "gaussian_ks_distance": "the distance to a Gaussian",
    "cosine_to_first": "the cosine to the first snapshot",
    "stable_rank": "the stable rank",
    "effective_rank": "the effective rank",
    "dying_share": "the share of paths near zero",
    "path_flow": "the flow of the paths",
    "path_dip_ratio": "the dip of the paths' sizes",
}
"""What a sentence calls a statistic; others go by their own name."""

KNOWN_PLURALS: Final = frozenset({"update_ratio"})
"""Statistics whose noun takes a plural verb."""


def noun(statistic: str) -> str:
    """What a sentence calls a statistic."""
    return NOUNS.get(statistic, statistic)


def swing(statistic: str) -> str:
    """The verb for its fluctuations from snapshot to snapshot."""
    return "swing" if statistic in KNOWN_PLURALS else "swings"


def times(ratio: float) -> str:
    """The size of a ratio above 0, whichever way it goes."""
    factor = max(ratio, 1 / ratio)
    if factor < 1.095:
        return f"{100 * (factor - 1):.0f} %"
    return f"{factor:.2g}x" if factor < 10 else f"{factor:,.0f}x"


def listed(words: Sequence[str]) -> str:
    """The words with commas and an "and"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def where(tensors: Sequence[AffectedTensor], *, of: int) -> str:
    """A few tensors by name, more by count and layers; ``of`` is how many the model has."""
    count, layers = len(tensors), _layers(tensors)
    if count <= FEW:
        return listed([tensor.tensor.name for tensor in tensors])
    text = f"{count} of {of} tensors"
    if len(layers) == 1:
        return f"{text}, all of layer {layers[0]}"
    if 1 < len(layers) <= FEW:
        return f"{text}, of layers {listed([str(layer) for layer in layers])}"
    return text


def _layers(tensors: Sequence[AffectedTensor]) -> list[int]:
    layers = {tensor.tensor.layer for tensor in tensors}
    return [] if None in layers else sorted(layer for layer in layers if layer is not None)
