"""Outliers of a spectrum are told when they appear, multiply or vanish, and stay so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bifurk_service.detect.spectral_outlier import SpectralOutlier
from bifurk_service.detect.streams import EVENTS, MEASURED_NULLS, clocks
from bifurk_service.stats.registry import BY_NAME
from tests.detect.runs import Report, detections, marked

OUTLIERS = BY_NAME["spectrum_outliers"]


def _told(counts: Sequence[float]) -> list[Report]:
    return detections(SpectralOutlier(OUTLIERS), np.array(counts, dtype=np.float64)[:, None])


def test_an_outlier_is_told_at_its_second_spectrum() -> None:
    ((index, found),) = _told([0, 0, 0, 1, 1, 1])
    assert (index, found.before, found.after, found.score) == (4, 0.0, 1.0, 1.0)
    assert (found.onset_first_step, found.onset_last_step) == (30, 40)
    assert found.details == {"direction": "appears", "count": 1, "snapshots_since_onset": 2}


def test_all_outliers_gone_is_told() -> None:
    ((_, found),) = _told([2, 2, 0, 0, 0])
    assert found.details["direction"] == "vanishes"


@pytest.mark.parametrize("counts", [[0, 1, 0, 1, 0, 0], [3, 4, 4, 4], [3, 5, 5, 5], [1, 1, 2, 2]])
def test_a_passing_outlier_and_one_more_among_others_are_not_told(counts: list[float]) -> None:
    assert _told(counts) == []


def test_many_more_than_before_are_told() -> None:
    ((_, found),) = _told([3, 3, 6, 7])
    assert found.details["direction"] == "appears"
    assert _told([6, 6, 9, 9]) == []


def test_a_count_at_the_edge_is_told_a_few_times_and_no_more() -> None:
    flickering = np.random.default_rng(1).integers(0, 2, 400)
    assert len(_told(flickering.astype(np.float64).tolist())) <= 5


def test_spectra_that_come_rarely_are_counted_as_spectra() -> None:
    counts = np.full(60, np.nan)
    counts[::10] = [0, 0, 1, 1, 1, 1]
    values = counts[:, None]
    ((index, found),) = detections(
        SpectralOutlier(OUTLIERS), values, valid=np.isfinite(values), clock=clocks(60)
    )
    assert index == 30
    assert (found.onset_first_step, found.onset_last_step) == (110, 210)
    assert found.details["snapshots_since_onset"] == 11


def test_a_resume_begins_anew() -> None:
    times = marked(3, "resume")(clocks(6))
    values = np.array([0, 0, 0, 1, 1, 1], dtype=np.float64)[:, None]
    assert detections(SpectralOutlier(OUTLIERS), values, clock=times) == []


def test_matrices_of_noise_have_none() -> None:
    stream = MEASURED_NULLS["noise matrices"](np.random.default_rng(2), 6, 120)
    assert detections(SpectralOutlier(OUTLIERS), stream.values, valid=stream.valid) == []


def test_a_direction_that_emerges_is_told_at_the_second_spectrum_that_shows_it() -> None:
    stream = EVENTS["spike emerges"].generate(np.random.default_rng(3), 6, 250)
    found = dict.fromkeys(range(6), -1)
    for index, one in detections(SpectralOutlier(OUTLIERS), stream.values, valid=stream.valid):
        found[one.series] = index
    for series in range(6):
        spectra = np.flatnonzero(stream.valid[:, series])
        shown = stream.values[spectra, series] > 0
        twice = spectra[1:][shown[1:] & shown[:-1]]
        assert found[series] == (twice[0] if twice.size else -1)
