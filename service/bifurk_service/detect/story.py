"""All that the sentence of an alert says, before it is put in words."""

from __future__ import annotations

from dataclasses import dataclass

from bifurk_service.domain import AffectedTensor, Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a sentence tells.

    Attributes:
        variant: of kinds that have several; see ``event.variant_of``.
        log_scale: whether the statistic is multiplicative, so that changes of it are ratios.
        tensors: those it names, by onset. tensor_count: of the whole model.
        onset_first_step, onset_last_step: of most of them.
        first: the layer or tensor that began before all others; "" where that is not resolved;
            None where there is but one.
        ratio: of a burst, how many times as large its noise became.
        also: other statistics of the same tensors that moved.
        followers: how many other tensors shifted in the wake.
    """

    run: str
    kind: str
    statistic: str
    tensors: tuple[AffectedTensor, ...]
    tensor_count: int
    onset_first_step: int
    onset_last_step: int
    detected_step: int
    log_scale: bool = False
    variant: str = ""
    first: str | None = None
    ratio: float = 1.0
    also: tuple[str, ...] = ()
    followers: int = 0
    explained_by: tuple[Mark, ...] = ()
    checkpoint: Mark | None = None

    @property
    def spoken(self) -> list[AffectedTensor]:
        """The tensors in which the statistic it speaks of moved."""
        return [one for one in self.tensors if self.statistic in one.statistics]
