"""What finds the eigenvalues of a large matrix: the GPU of a worker that says it has one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.spectra.tridiagonal import Eigensystem, Solver, reduce_symmetric

log = logging.getLogger("bifurk.service")

LABEL: Final = "GPU"
"""The resource of workers with a GPU, as Dask's documentation names it: ``--resources GPU=1``."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decomposed:
    """All eigenvalues and eigenvectors, back in this machine's memory.

    Attributes:
        eigenvalues: float64 [p], descending. columns: float64 [p, p], unit eigenvectors alike.
    """

    eigenvalues: Floats
    columns: Floats

    def vectors(self, begin: int, end: int) -> Floats:
        """See ``Eigensystem.vectors``."""
        return np.asfortranarray(self.columns[:, begin:end])


def solver_here() -> Solver:
    """For a task on this worker: on its GPU, where it has the label, torch and a device.

    torch is no dependency of the service, and slow to import: nobody else looks for it.
    """
    return solver_on("cuda") if _is_labelled() and _has_cuda() else reduce_symmetric


@cache
def solver_on(device: str) -> Solver:
    """Finds eigenvalues on one of torch's devices; one for as long as the process lives."""
    return _DeviceSolver(device)


class _DeviceSolver:
    """``torch.linalg.eigh`` in float64.

    What a device cannot do, for want of memory or otherwise, LAPACK does in its place.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._has_complained = False

    def __call__(self, lower: Floats) -> Eigensystem:
        import torch  # noqa: PLC0415 - see ``solver_here``

        try:
            found = torch.linalg.eigh(torch.from_numpy(lower).to(self._device))
            values, columns = (tensor.flip(-1).cpu().numpy() for tensor in found)
        except RuntimeError as error:
            self._complain(error)
            return reduce_symmetric(lower)
        return Decomposed(eigenvalues=values, columns=columns)

    def _complain(self, error: RuntimeError) -> None:
        if not self._has_complained:
            self._has_complained = True
            log.warning("%s does not find eigenvalues, the processor does: %r", self._device, error)


def _is_labelled() -> bool:
    from distributed import get_worker  # noqa: PLC0415 - a task may be called elsewhere

    try:
        return LABEL in get_worker().state.total_resources
    except ValueError:
        return False


def _has_cuda() -> bool:
    try:
        import torch  # noqa: PLC0415 - see ``solver_here``
    except ImportError:
        return False
    return torch.cuda.is_available()
