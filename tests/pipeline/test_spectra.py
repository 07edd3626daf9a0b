"""Full values on their way: exact motion, pieces of fused tensors, spectra within their time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select

from bifurk.wire import Part
from bifurk_service.domain import AlertState
from bifurk_service.pipeline.jobs import SpectraSchedule
from bifurk_service.pipeline.stale_blobs import LOOK_SECONDS
from bifurk_service.stats.measure import OUT_OF_TIME
from bifurk_service.stats.spectra.plan import vectors_due
from bifurk_service.store.models import (
    TENSOR_STATS,
    ProfileValue,
    Snapshot,
    SpectrumProgress,
    SpectrumRow,
    StoredAlert,
    StoredPart,
    Tensor,
)
from bifurk_service.store.profiles import profile_series
from bifurk_service.store.reasons import statistics_told
from bifurk_service.store.snapshots import stale_blobs
from bifurk_service.store.spectra import latest_spectrum, nearest_singular_values
from bifurk_service.store.tensor_courses import course_spectrum_steps
from tests.parts import make_part, make_tensor, weights_at
from tests.pipeline.house import House

LARGE = "blocks.0.mlp.up.weight"
"""The one tensor of ``make_part`` that travels as counts; a small matrix is beside it."""
FUSED = "h.0.attn.c_attn.weight"
WIDTH = 96


def fused_weights(sequence: int, layer: int = 0) -> NDArray[np.float32]:
    """Queries, keys and values of GPT-2's packing, [WIDTH, 3 WIDTH], of different scale."""
    start = np.random.default_rng([7, layer]).standard_normal((WIDTH, 3 * WIDTH))
    moved = np.random.default_rng([8, layer, sequence]).standard_normal((WIDTH, 3 * WIDTH))
    scales = np.repeat([0.01, 0.02, 0.04], WIDTH) * (1 + layer)
    return ((start + 0.01 * sequence * moved) * scales).astype(np.float32)


def fused_part(sequence: int, *, layers: int = 1, full: bool = True) -> Part:
    manifest = make_part(sequence).manifest
    tensors = tuple(
        replace(
            make_tensor(FUSED.replace("0", str(layer)), fused_weights(sequence, layer), full=full),
            layer=layer,
            role="attention.qkv",
        )
        for layer in range(layers)
    )
    return Part(manifest=manifest, tensors=tensors)


def statistics(house: House, name: str, sequence: int) -> dict[str, Any]:
    with house.database.read() as session:
        row = session.execute(
            statistics_told()
            .join(Tensor, Tensor.id == TENSOR_STATS.c.tensor_id)
            .where(Tensor.name == name, TENSOR_STATS.c.step == sequence * 10)
        )
        return dict(row.mappings().one())


def tensor_id(house: House, name: str) -> int:
    with house.database.read() as session:
        return session.scalars(select(Tensor.id).where(Tensor.name == name)).one()


def run(house: House, *parts: Part) -> None:
    for part in parts:
        house.receive(part)
        house.run_until("judged")


def test_motion_is_of_all_elements_where_all_came_both_times(house: House) -> None:
    run(house, make_part(0), make_part(1))
    now, before = (weights_at(sequence)[LARGE].astype(np.float64) for sequence in (1, 0))
    measured = statistics(house, LARGE, 1)
    exact = np.linalg.norm(now - before) / np.linalg.norm(now)
    assert measured["update_ratio_raw"] == pytest.approx(exact, rel=1e-12)
    assert measured["update_ratio_stderr"] == 0.0
    assert measured["cosine_to_first_stderr"] > 0.0, "since the first it is of the sample"


def test_motion_is_of_the_sample_where_one_snapshot_came_without_full_values(
    house: House,
) -> None:
    run(house, make_part(0, full=False), make_part(1), make_part(2, full=False))
    for sequence in (1, 2):
        assert statistics(house, LARGE, sequence)["update_ratio_stderr"] > 0.0


def test_full_values_that_are_gone_are_replaced_by_the_sample(house: House) -> None:
    run(house, make_part(0))
    with house.database.read() as session:
        [stale] = session.scalars(select(StoredPart.stale_key))
    house.blobs.delete(stale)
    run(house, make_part(1))
    assert statistics(house, LARGE, 1)["update_ratio_stderr"] > 0.0


def test_an_ended_attempt_leaves_no_full_values_behind(house: House) -> None:
    run(house, make_part(0), make_part(1))
    house.finish()
    house.clock.advance(LOOK_SECONDS)
    house.pipeline.advance()
    with house.database.read() as session:
        assert list(session.scalars(select(StoredPart.stale_key))) == [None, None]


def test_a_fused_projection_is_measured_in_its_pieces_too(house: House) -> None:
    run(house, fused_part(0), fused_part(1))
    with house.database.read() as session:
        stored = {t.name: t for t in session.scalars(select(Tensor))}
    fused = stored[FUSED]
    assert {(t.name, t.role, tuple(t.shape), t.piece_of) for t in stored.values()} == {
        (FUSED, "attention.qkv", (WIDTH, 3 * WIDTH), None),
        *(
            (f"{FUSED}[{word}]", f"attention.{word}", (WIDTH, WIDTH), fused.id)
            for word in ("query", "key", "value")
        ),
    }
    whole = fused_weights(1).astype(np.float64)
    for place, word in enumerate(("query", "key", "value")):
        piece = whole[:, place * WIDTH : (place + 1) * WIDTH]
        measured = statistics(house, f"{FUSED}[{word}]", 1)
        assert measured["std"] == pytest.approx(np.std(piece), rel=1e-6)
        assert measured["spectral_norm"] == pytest.approx(np.linalg.norm(piece, 2), rel=1e-6)
        assert measured["update_ratio_stderr"] == 0.0


def test_the_sampled_motion_of_a_piece_is_of_its_own_positions(house: House) -> None:
    run(house, fused_part(0), fused_part(1, full=False), fused_part(2))
    now, first = fused_weights(2).astype(np.float64), fused_weights(0).astype(np.float64)
    exact = np.linalg.norm((now - first)[:, WIDTH : 2 * WIDTH]) / np.linalg.norm(
        now[:, WIDTH : 2 * WIDTH]
    )
    measured = statistics(house, f"{FUSED}[key]", 2)
    assert measured["distance_to_first"] == pytest.approx(exact, rel=0.1)
    assert 0 < measured["update_ratio_stderr"] < 0.1 * measured["update_ratio"]
    with house.database.read() as session:
        steps = session.scalars(
            select(TENSOR_STATS.c.step)
            .join(Tensor, Tensor.id == TENSOR_STATS.c.tensor_id)
            .where(Tensor.name == f"{FUSED}[key]")
        )
        assert list(steps) == [0, 20], "without full values a piece is not measured"


def test_a_tensor_with_the_name_of_a_piece_is_itself(house: House) -> None:
    name = f"{FUSED}[key]"
    part = fused_part(0)
    own = make_tensor(name, fused_weights(5)[:3])
    run(house, fused_part(0), replace(fused_part(1), tensors=(*part.tensors, own)), fused_part(2))
    assert statistics(house, name, 1)["count"] == own.size
    with house.database.read() as session:
        assert session.scalars(select(Tensor.piece_of).where(Tensor.name == name)).one() is None


def test_spectra_are_stored_and_read_back(house: House) -> None:
    run(house, make_part(0), make_part(1, full=False), make_part(2))
    with house.database.read() as session:
        of = tensor_id(house, LARGE)
        assert course_spectrum_steps(session, 1, of) == [0, 20]
        stored = latest_spectrum(session, of, 1, step=15)
        assert stored is not None
        assert stored.step == 0
        exact = np.linalg.svd(weights_at(0)[LARGE].astype(np.float64), compute_uv=False)
        np.testing.assert_allclose(stored.singular_values, exact, rtol=1e-5, atol=0.0)
        np.testing.assert_array_equal(
            nearest_singular_values(session, 1, step=0, forward=True)[of], stored.singular_values
        )
        assert latest_spectrum(session, of, 1, step=-1) is None
        assert set(stored.document) >= {"raw", "biwhitened", "power_law"}


def test_what_the_time_for_spectra_did_not_reach_has_its_turn_next(house: House) -> None:
    house.spectra = SpectraSchedule(budget_seconds=0.0, vectors_every=3)
    house.pipeline.stop()
    house.pipeline = house.new_pipeline()
    run(house, *(fused_part(sequence) for sequence in range(5)))
    with house.database.read() as session:
        skipped = list(session.scalars(select(Snapshot.spectra_skipped).order_by(Snapshot.step)))
        measured = session.execute(
            select(Tensor.name, SpectrumRow.step)
            .join(SpectrumRow, SpectrumRow.tensor_id == Tensor.id)
            .order_by(SpectrumRow.step)
        ).all()
    assert skipped == [3] * 5
    assert [step for _, step in measured] == [0, 10, 20, 30, 40]
    assert len({name for name, _ in measured[:4]}) == 4, "each once before any again"
    left_out = statistics(house, measured[1][0], 0)
    assert left_out["stable_rank"] is None
    assert left_out["no_value"]["stable_rank"] == OUT_OF_TIME.reason


def test_tensors_of_an_open_alert_come_first(house: House) -> None:
    house.spectra = SpectraSchedule(budget_seconds=0.0, vectors_every=3)
    house.pipeline.stop()
    house.pipeline = house.new_pipeline()
    run(house, fused_part(0))
    watched = tensor_id(house, f"{FUSED}[value]")
    with house.database.write() as session:
        session.add(an_alert(watched))
    run(house, fused_part(1), fused_part(2))
    with house.database.read() as session:
        steps = session.execute(select(SpectrumRow.tensor_id, SpectrumRow.step)).all()
    assert {(watched, 10), (watched, 20)} <= set(map(tuple, steps))


def an_alert(tensor: int) -> StoredAlert:
    return StoredAlert(
        run_id=1,
        attempt_id=1,
        fingerprint="f",
        kind="regime_shift",
        severity="warning",
        state=AlertState.FIRING.value,
        statistic="std",
        detected_step=0,
        detected_sequence=0,
        onset_first_step=0,
        onset_last_step=0,
        sentence="",
        tensors=[{"id": tensor, "name": FUSED}],
        explained_by=[],
        evidence={},
        created_at=0.0,
        updated_at=0.0,
    )


def test_singular_vectors_are_looked_at_on_a_slower_schedule(house: House) -> None:
    """One in three snapshots here; the overlap is with the first of them."""
    run(house, *(fused_part(sequence) for sequence in range(7)))
    overlaps = [
        statistics(house, FUSED, sequence)["subspace_overlap_to_first"] for sequence in range(7)
    ]
    due = [sequence for sequence in range(1, 7) if vectors_due(sequence, 3)]
    assert [i for i, overlap in enumerate(overlaps) if overlap is not None] == due
    u0, u3 = (left_vectors(fused_weights(sequence)) for sequence in (0, due[0]))
    rank = min(16, WIDTH // 8)
    exact = np.linalg.norm(u0[:, :rank].T @ u3[:, :rank]) ** 2 / rank
    assert overlaps[due[0]] == pytest.approx(exact, abs=1e-4)


def left_vectors(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.linalg.svd(weights.astype(np.float64))[0]


def test_statistics_across_layers_are_stored_with_every_judged_snapshot(house: House) -> None:
    run(house, *(fused_part(sequence, layers=5) for sequence in range(2)))
    with house.database.read() as session:
        depth = profile_series(session, 1, "std_depth_correlation", "attention.key")
        names = set(session.scalars(select(ProfileValue.name)))
    [(role, steps, values)] = depth
    assert role == "attention.key"
    assert steps.tolist() == [0, 10]
    np.testing.assert_allclose(values, [1.0, 1.0])
    assert {"projection_std", "projection_std_drift", "spectral_cluster_drift_16"} <= names


def test_pieces_that_come_in_turns_have_a_first_of_their_own(house: House) -> None:
    """Each layer's full values come every fourth snapshot; the profile knows all of them then."""
    for sequence in range(8):
        part = fused_part(sequence, layers=4)
        turns = [
            t if i == sequence % 4 else replace(t, full=None) for i, t in enumerate(part.tensors)
        ]
        run(house, replace(part, tensors=tuple(turns)))
    with house.database.read() as session:
        [(_, steps, drift)] = profile_series(session, 1, "spectral_cluster_drift_16")
    assert np.isfinite(drift[steps >= 30]).all()


def test_a_late_snapshot_does_not_become_what_others_are_compared_with(house: House) -> None:
    house.clock.advance(0.0)
    house.receive(fused_part(1))
    house.run_until("judged")
    run(house, *(fused_part(sequence) for sequence in range(2, 6)))
    with house.database.read() as session:
        before = session.scalars(select(SpectrumProgress.first_sequence)).all()
    house.receive(fused_part(0))
    house.run_until("judged", "late")
    with house.database.read() as session:
        assert session.scalars(select(SpectrumProgress.first_sequence)).all() == before
    assert statistics(house, FUSED, 0)["subspace_overlap_to_first"] is None


def test_the_first_full_values_wait_for_their_own_successor(house: House) -> None:
    """The second snapshot is measured after the third: its motion is exact all the same."""
    for sequence in range(3):
        house.receive(make_part(sequence))
    house.pipeline.advance()
    house.run_until("judged")
    house.pipeline.advance()
    for sequence in (1, 2):
        assert statistics(house, LARGE, sequence)["update_ratio_stderr"] == 0.0
    with house.database.write() as session:
        second = session.scalars(select(Snapshot).where(Snapshot.sequence == 1)).one()
        second.measured_at, second.state = None, "received"
        first = session.scalars(select(StoredPart).order_by(StoredPart.id)).first()
        assert first is not None
        first.stale_key = "kept"
        session.flush()
        assert "kept" not in [blob.key for blob in stale_blobs(session)]
        second.measured_at, second.state = 1.0, "judged"
        session.flush()
        assert "kept" in [blob.key for blob in stale_blobs(session)]


def test_a_matrix_of_zeros_does_not_take_the_turn_of_the_others(house: House) -> None:
    house.spectra = SpectraSchedule(budget_seconds=0.0, vectors_every=3)
    house.pipeline.stop()
    house.pipeline = house.new_pipeline()
    part = make_part(0)
    zeros = make_tensor("a.lora_B.weight", np.zeros((40, 50), dtype=np.float32))
    run(house, replace(part, tensors=(zeros, *part.tensors)))
    with house.database.read() as session:
        assert len(session.scalars(select(SpectrumRow.tensor_id)).all()) == 1


def test_pieces_follow_a_tensor_that_changes_its_shape(house: House) -> None:
    run(house, fused_part(0))
    wider = np.ones((80, 240), dtype=np.float32) * np.arange(240, dtype=np.float32)
    resumed = replace(make_part(0).manifest, attempt="second")
    tensor = replace(make_tensor(FUSED, wider), layer=0, role="attention.qkv")
    run(house, Part(manifest=resumed, tensors=(tensor,)))
    with house.database.read() as session:
        shape = session.scalars(select(Tensor.shape).where(Tensor.name == f"{FUSED}[key]")).one()
    assert shape == [80, 80]


def test_profiles_have_a_first_where_no_spectrum_ever_came(house: House) -> None:
    for sequence in range(2):
        weights = {
            role: (1 + sequence) * fused_weights(0, layer)
            for layer, role in enumerate(("mlp.up", "mlp.down"))
        }
        weights["mlp.up"] = weights["mlp.up"] * (1 + sequence)
        tensors = tuple(
            replace(make_tensor(role, values, full=False), layer=0, role=role)
            for role, values in weights.items()
        )
        run(house, replace(make_part(sequence), tensors=tensors))
    with house.database.read() as session:
        [(_, steps, drift)] = profile_series(session, 1, "projection_std_drift")
    assert steps.tolist() == [0, 10]
    assert drift[0] == 0.0
    assert drift[1] > 0.1
