"""Another device finds the same spectra, to what is promised of GPUs; else the processor does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bifurk_service.pipeline.cluster.device import solver_here, solver_on
from bifurk_service.stats.spectra.spectrum import MatrixSpectrum, measure_spectrum
from bifurk_service.stats.spectra.tridiagonal import reduce_symmetric
from bifurk_service.stats.value import NoValue

TOLERANCE = 1e-6
"""Relative: what the documentation promises."""

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
SHAPES = [(2, 3), (96, 160), (700, 384), (300, 300)]


def trained(rows: int, columns: int) -> NDArray[np.float32]:
    """Noise, and a few directions that stand out of it."""
    random = np.random.default_rng(rows)
    noise = random.normal(size=(rows, columns)) / np.sqrt(columns)
    spikes = random.normal(size=(rows, 3)) @ random.normal(size=(3, columns))
    return (noise + 4 * spikes / np.sqrt(rows * columns)).astype(np.float32)


def measured(matrix: NDArray[np.float32], **choices: object) -> MatrixSpectrum:
    spectrum = measure_spectrum(matrix, with_vectors=True, **choices)
    assert isinstance(spectrum, MatrixSpectrum), spectrum
    return spectrum


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_spectrum_is_the_same_to_a_millionth(shape: tuple[int, int], device: str) -> None:
    matrix = trained(*shape)
    here, there = measured(matrix), measured(matrix, solver=solver_on(device))
    np.testing.assert_allclose(there.singular_values, here.singular_values, rtol=TOLERANCE)
    assert (there.raw_outliers == ()) == (here.raw_outliers == ())
    for name, value in here.statistics.items():
        if isinstance(value, NoValue):
            assert there.statistics[name] == value
        else:
            assert there.statistics[name] == pytest.approx(value, rel=TOLERANCE, abs=1e-12), name


def test_what_a_device_cannot_do_the_processor_does(caplog: pytest.LogCaptureFixture) -> None:
    broken = solver_on("meta")
    matrix = trained(96, 160)
    for _ in range(2):
        found = measured(matrix, solver=broken)
        assert np.array_equal(found.singular_values, measured(matrix).singular_values)
    assert [one.message.split(":")[0] for one in caplog.records] == [
        "meta does not find eigenvalues, the processor does"
    ]


def test_a_gpu_is_looked_for_by_workers_with_the_label_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert solver_here() is reduce_symmetric
