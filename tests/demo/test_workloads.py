"""The demo's networks: as described, reproducible, and struck only where the fault is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bifurk_service.demo import modular_addition, tiny_gpt
from bifurk_service.demo.runs import BY_NAME, RUNS, DemoRun, ModularAddition, TinyGpt
from bifurk_service.demo.worker import steps

Weights = dict[str, Tensor]


class Recorder:
    """Stands where the monitor would: keeps the weights after every optimizer step."""

    def __init__(self) -> None:
        self.snapshots: list[Weights] = []
        self.logged: list[dict[str, float]] = []
        self.closed = False

    @contextmanager
    def watch(self, model: nn.Module, optimizer: Optimizer) -> Iterator[Recorder]:
        self.snapshots.append(_copy(model))
        hook = optimizer.register_step_post_hook(lambda *_: self.snapshots.append(_copy(model)))
        yield self
        hook.remove()
        self.closed = True

    def log(self, **scalars: float) -> None:
        self.logged.append(scalars)


def _copy(model: nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def recorded(training: ModularAddition | TinyGpt) -> Recorder:
    recorder = Recorder()
    run = DemoRun(name="x", title="x", training=training, every=1)
    progress = list(steps(run, watch=recorder.watch))
    assert [line["step"] for line in progress] == list(range(1, training.steps + 1))
    return recorder


def same(a: Weights, b: Weights) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_modular_network_has_the_tensors_that_the_story_speaks_of() -> None:
    first = recorded(ModularAddition(steps=1)).snapshots[0]
    assert {name: tuple(value.shape) for name, value in first.items()} == {
        "embedding.weight": (59, 64),
        "hidden.weight": (256, 128),
        "hidden.bias": (256,),
        "output.weight": (59, 256),
        "output.bias": (59,),
    }


@pytest.mark.parametrize("training", [ModularAddition(steps=3), TinyGpt(steps=2)])
def test_a_seed_decides_a_training(training: Any) -> None:
    once, twice = recorded(training), recorded(training)
    other = recorded(type(training)(steps=training.steps, seed=99))
    assert same(once.snapshots[-1], twice.snapshots[-1])
    assert not same(once.snapshots[0], other.snapshots[0])


def test_a_training_leaves_the_callers_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    recorded(ModularAddition(steps=1))
    recorded(TinyGpt(steps=1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_monitor_is_told_loss_and_accuracy_and_closed_at_the_end() -> None:
    recorder = recorded(ModularAddition(steps=10))
    assert [set(scalars) for scalars in recorder.logged] == [{"loss"}] * 10 + [{"test_accuracy"}]
    assert recorder.closed


def test_the_pairs_are_split_once_and_shuffling_permutes_the_training_sums_only() -> None:
    true = modular_addition._Data.of(ModularAddition())
    shuffled = modular_addition._Data.of(ModularAddition(shuffled_labels=True))
    assert len(true.training_pairs) == 1566
    assert len(true.test_pairs) == 59 * 59 - 1566
    assert torch.equal(true.training_pairs, shuffled.training_pairs)
    assert torch.equal(true.test_sums, shuffled.test_sums)
    assert torch.equal(true.training_sums, true.training_pairs.sum(dim=1) % 59)
    assert (true.training_sums == shuffled.training_sums).double().mean() < 0.1
    assert torch.equal(true.training_sums.sort().values, shuffled.training_sums.sort().values)


def test_weight_decay_shrinks_the_embedding_and_none_leaves_it() -> None:
    def spread(weight_decay: float) -> float:
        weights = recorded(ModularAddition(steps=60, weight_decay=weight_decay)).snapshots[-1]
        return float(weights["embedding.weight"].std())

    assert spread(1.0) < 0.95 * spread(0.0)


def test_the_gpt_has_77_tensors_with_layers_and_roles_in_their_names() -> None:
    first = recorded(TinyGpt(steps=1)).snapshots[0]
    matrices = {name for name in first if name.startswith("blocks.2.") and first[name].ndim == 2}
    assert len(first) == 77
    assert 1.2e6 < sum(value.numel() for value in first.values()) < 1.3e6
    assert matrices == {
        "blocks.2.attention.qkv.weight",
        "blocks.2.attention.output.weight",
        "blocks.2.mlp.up.weight",
        "blocks.2.mlp.down.weight",
    }


def test_the_fault_triples_the_matrices_of_block_2_and_touches_nothing_else() -> None:
    sound = recorded(TinyGpt(steps=3)).snapshots
    faulty = recorded(TinyGpt(steps=3, fault_step=3)).snapshots
    assert same(sound[2], faulty[2])
    for name, value in faulty[3].items():
        factor = 3.0 if name.startswith("blocks.2.") and value.ndim == 2 else 1.0
        # One step of AdamW at 1e-3 moves no weight by more than a little over 1e-3.
        assert torch.allclose(value, factor * sound[2][name], atol=2e-3), name


def test_the_monitor_of_a_faulty_run_is_told_the_loss_and_nothing_more() -> None:
    recorder = recorded(TinyGpt(steps=2, fault_step=2))
    assert [set(scalars) for scalars in recorder.logged] == [{"loss"}] * 2


def test_the_corpus_is_text_of_the_running_python() -> None:
    corpus = tiny_gpt.standard_library()
    assert corpus.dtype == torch.uint8
    assert len(corpus) > 1 << 20
    assert b"import " in bytes(corpus[:100_000].tolist())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"steps": 0}, "got 0"), ({"fault_step": 261}, "from 1 to 260, got 261")],
)
def test_a_gpt_training_refuses_what_makes_no_sense(
    arguments: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TinyGpt(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"steps": 0}, "got 0"), ({"weight_decay": -1.0}, r"got -1\.0")]
)
def test_a_modular_training_refuses_what_makes_no_sense(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ModularAddition(**arguments)


def test_the_demo_runs_have_slugs_of_their_own_and_the_snapshots_they_promise() -> None:
    assert len(BY_NAME) == len(RUNS) == 5
    assert [run.steps // run.every for run in RUNS] == [200, 200, 200, 130, 130]
