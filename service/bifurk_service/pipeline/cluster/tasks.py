"""What Dask's workers do: references come in, values go out.

Every task says of which bifurk it was sent before anything is unpickled, and gives back what it
raised as a value: what a future raises then is Dask's own.
"""

from __future__ import annotations

import pickle
import socket
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, Concatenate, ParamSpec, cast

import bifurk
from bifurk.wire import Part
from bifurk_service.pipeline.cluster.device import solver_here
from bifurk_service.pipeline.inputs import SnapshotInputs, inputs_of
from bifurk_service.pipeline.measuring import (
    Described,
    MeasureJob,
    MeasureOutcome,
    describe,
    finished,
    inputs_beside_earlier,
    measure_parts,
)
from bifurk_service.pipeline.reading import BlobRef, read_parts
from bifurk_service.pipeline.workers import WorkersAwayError
from bifurk_service.stats.measure import MeasuredSpectra, measure_spectra, out_of_time
from bifurk_service.stats.spectra.grouping import grouped, spectrum_seconds
from bifurk_service.stats.spectra.tridiagonal import Solver, reduce_symmetric

Told = ParamSpec("Told")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raised:
    """What a task raised.

    Attributes:
        host: the machine it ran on.
    """

    error: Exception
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """A snapshot whose spectra are more than one task: names by task, in the plan's order.

    Attributes:
        large: matrices for workers with a GPU, each by itself. rest: all others.
    """

    large: Sequence[tuple[str, ...]]
    rest: Sequence[tuple[str, ...]]


def packed(content: object) -> bytes:
    """A job or a result as it travels: one block, which Dask passes on and does not look into."""
    return pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(sent: bytes) -> Any:
    """What ``packed`` was given."""
    return pickle.loads(sent)  # noqa: S301 - whoever may send tasks may run anything here


def _task(work: Callable[Told, object]) -> Callable[Concatenate[str, Told], bytes]:
    def done(release: str, /, *args: Told.args, **kwargs: Told.kwargs) -> bytes:
        try:
            _check_release(release)
            return packed(work(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is raised again where the job came from
            error.add_note(traceback.format_exc())
            return packed(Raised(error=error, host=socket.gethostname()))

    return cast("Callable[Concatenate[str, Told], bytes]", wraps(work)(done))


def _check_release(release: str) -> None:
    if release != bifurk.__version__:
        raise WorkersAwayError(
            f"the worker on {socket.gethostname()} has bifurk {bifurk.__version__}, the server "
            f"{release}; install the same on both"
        )


@_task
def begin(sent: bytes, most_seconds: float, large_seconds: float) -> MeasureOutcome | Groups:
    """The whole of a snapshot that is one task's work, or else what its tasks are.

    Args:
        sent: the job. most_seconds: how much one task's spectra should take, about.
        large_seconds: what a matrix for a GPU takes at least; infinite where there is none.
    """
    job: MeasureJob = unpacked(sent)
    parts, inputs = _last_read(job.blob_url, job.parts)
    seconds = _matrices(inputs)
    names = job.plan.ordered(list(inputs.tensors))
    large = [(name,) for name in names if seconds.get(name, 0.0) >= large_seconds]
    small = {name: some for name, some in seconds.items() if some < large_seconds}
    rest = grouped(names, small, most_seconds=most_seconds)
    if large or len(rest) > 1 or job.plan.with_vectors:
        return Groups(large=large, rest=rest)
    return measure_parts(job, parts)


@_task
def describe_rest(sent: bytes) -> tuple[Described, MeasuredSpectra]:
    """Everything but spectra, and why tensors that are no matrices have none."""
    job: MeasureJob = unpacked(sent)
    parts, _ = _last_read(job.blob_url, job.parts)
    inputs = inputs_beside_earlier(job, parts)
    matrices = _matrices(inputs)
    others = {name: one for name, one in inputs.tensors.items() if name not in matrices}
    return describe(job, parts, inputs), measure_spectra(others, job.plan)


@_task
def spectra(sent: bytes, names: Sequence[str]) -> MeasuredSpectra:
    """The spectra of one group."""
    return _spectra(sent, names, reduce_symmetric)


@_task
def large_spectra(sent: bytes, names: Sequence[str]) -> MeasuredSpectra:
    """The spectrum of a large matrix, on this worker's GPU if it has one."""
    return _spectra(sent, names, solver_here())


@_task
def assemble(
    described: bytes, groups: Sequence[bytes], left_out: Sequence[str]
) -> MeasureOutcome | Raised:
    """What all the tasks of a snapshot gave, together; or what the first of them raised.

    Args:
        described: of ``describe_rest``. groups: of ``spectra``, in the plan's order.
        left_out: matrices that the time for spectra did not reach.
    """
    given = [unpacked(one) for one in (described, *groups)]
    for one in given:
        if isinstance(one, Raised):
            return one
    (rest, others), *found = given
    return finished(rest, [*found, others, out_of_time(left_out)])


def _spectra(sent: bytes, names: Sequence[str], solver: Solver) -> MeasuredSpectra:
    job: MeasureJob = unpacked(sent)
    _, inputs = _last_read(job.blob_url, job.parts)
    tensors = {name: inputs.tensors[name] for name in names}
    return measure_spectra(tensors, job.plan, solver=solver)


def _matrices(inputs: SnapshotInputs) -> dict[str, float]:
    """About how many seconds each spectrum takes, by name, where values for one came."""
    return {
        name: spectrum_seconds(tensor.shape)
        for name, tensor in inputs.tensors.items()
        if len(tensor.shape) > 1 and (tensor.full is not None or tensor.values is not None)
    }


@lru_cache(maxsize=1)
def _last_read(blob_url: str, refs: tuple[BlobRef, ...]) -> tuple[list[Part], SnapshotInputs]:
    """Of the snapshot that this worker had to do with last; it stays for the next task."""
    parts = read_parts(blob_url, refs)
    return parts, inputs_of(parts)
