"""What a comparison says, word by word."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from bifurk_service.api.comparison_shapes import (
    ComparedTensorAnswer,
    ComparisonAnswer,
    PartedAnswer,
    PartingAnswer,
    SideAnswer,
)
from bifurk_service.api.comparison_words import sentences
from bifurk_service.api.schemas import (
    TensorReference,
)

side = partial(SideAnswer, thinned=[])


def tensor(layer: int | None, name: str = "w") -> TensorReference:
    return TensorReference(id=1, name=f"h.{layer}.{name}", layer=layer, role="mlp.up")


def compared(
    layer: int | None, ks: float | None, shift: float | None = None
) -> ComparedTensorAnswer:
    return ComparedTensorAnswer(
        tensor=tensor(layer),
        other_id=2,
        ks=ks,
        js_divergence=None,
        js_by_chance=None,
        wasserstein_1=None,
        wasserstein_1_sigma=shift,
        no_value=None if ks is not None else "no value is finite",
        statistics={},
    )


def test_what_chance_alone_would_show_is_not_spoken_of() -> None:
    small = compared(None, 0.3).model_copy(update={"js_divergence": 0.1, "js_by_chance": 0.2})
    large = compared(2, 0.1).model_copy(update={"js_divergence": 0.1, "js_by_chance": 0.01})
    assert "differ most in h.2.w (KS 0.1)" in sentences(comparison(small, large))[-1]
    assert sentences(comparison(small))[-1] == (
        "No tensor's distributions differ by more than two samples of one law would."
    )


def parted(layer: int | None, step: int, **more: Any) -> PartedAnswer:
    fields: dict[str, Any] = {
        "statistic": "std", "this": 0.06, "other": 0.02, "ratio": 3.0, "statistics": ["std"],
        "exact": True,
        **more,
    }  # fmt: skip
    return PartedAnswer(tensor=tensor(layer), step=step, **fields)


def parting(*tensors: PartedAnswer, **more: Any) -> PartingAnswer:
    fields: dict[str, Any] = {
        "levels": {}, "matrices": 9, "common_steps": 130, "first_step": 0, "last_step": 258,
        "first_difference": tensors[0].step if tensors else None, "first_difference_exact": True,
        "exact": all(one.exact for one in tensors),
        "last_together": tensors[0].step - 2 if tensors else None,
        **more,
    }  # fmt: skip
    return PartingAnswer(tensors=list(tensors), **fields)


def comparison(*tensors: ComparedTensorAnswer, **more: Any) -> ComparisonAnswer:
    fields: dict[str, Any] = {
        "this": side(run_id=1, project="demo", run="faulty", attempt="first", step=258),
        "other": side(run_id=2, project="demo", run="sound", attempt="first", step=258),
        "only_this": [], "only_other": [], "parting": None, "sentences": [],
        **more,
    }  # fmt: skip
    return ComparisonAnswer(tensors=list(tensors), **fields)


def test_a_fault_is_told_with_its_step_its_layer_and_its_size() -> None:
    found = comparison(
        compared(2, 0.31, 1.25),
        compared(1, 0.02),
        compared(None, 0.01),
        parting=parting(parted(2, 182), parted(2, 182), parted(3, 240), parted(None, 250)),
    )
    assert sentences(found) == [
        "faulty (step 258) against sound (step 258): 3 tensors of the same name.",
        (
            "They part at step 182 and are equal until step 180 (130 common steps, 0 to 258). "
            "There the std of h.2.w is 0.06 in faulty and 0.02 in sound, 3 times as large."
        ),
        (
            "First to part: 2 of 9 matrices, in layer 2. By step 258 there are 4: 2 in layer 2, "
            "1 in layer 3, 1 outside of layers."
        ),
        (
            "The distributions differ most in h.2.w (KS 0.31, a shift of 1.2 standard deviations "
            "of sound); largest KS by layer: layer 2 0.31, layer 1 0.02, outside of layers 0.01."
        ),
    ]


def test_what_is_thinned_is_told() -> None:
    both = comparison(compared(0, 0.1), parting=parting(parted(0, 100)))
    assert not any("hinned" in one for one in sentences(both))
    this = both.this.model_copy(update={"thinned": [[10, 90], [200, 210]]})
    other = both.other.model_copy(update={"thinned": [[0, 40]]})
    assert sentences(both.model_copy(update={"this": this, "other": other}))[-2] == (
        "Thinned are steps 10 to 90, 200 to 210 of faulty and 0 to 40 of sound: of them what was "
        "left whole is compared."
    )


def test_runs_that_differ_a_little_before_they_part_are_told_so() -> None:
    found = comparison(
        compared(0, 0.1), parting=parting(parted(0, 100, ratio=0.5), first_difference=20)
    )
    assert sentences(found)[1:3] == [
        (
            "They part at step 100, after differences within the usual from step 20 on "
            "(130 common steps, 0 to 258). There the std of h.0.w is 0.06 in faulty and 0.02 in "
            "sound, 2 times smaller."
        ),
        "First to part: 1 of 9 matrices, in layer 0. No other follows.",
    ]


def test_runs_that_were_never_together_are_told_so() -> None:
    found = comparison(compared(0, 0.1), parting=parting(parted(0, 0), last_together=None))
    assert sentences(found)[1].startswith("They are apart from their first common step on, 0 (")


def test_identical_runs_are_told_so() -> None:
    found = comparison(compared(0, 0.0), compared(1, 0.0), parting=parting())
    assert sentences(found)[1:] == [
        "They do not part: every compared statistic is the same (130 common steps, 0 to 258).",
        "The distributions of 2 tensors are the same.",
    ]


def test_runs_that_differ_within_the_usual_do_not_part() -> None:
    found = comparison(compared(0, 0.004), parting=parting(first_difference=10))
    assert sentences(found)[1] == (
        "They do not part: no matrix stays apart by more than is usual (130 common steps, "
        "0 to 258). The first difference of any size is at step 10."
    )


LONG: Final = {"common_steps": None, "first_difference_exact": False}
"""Of runs of which extremes of stretches were compared."""


def test_of_long_runs_it_is_told_what_was_compared() -> None:
    apart = parting(parted(0, 100), **LONG)
    assert sentences(comparison(parting=apart))[1].startswith(
        "They part at step 100 and no difference was found until step 98 (common steps 0 to 258). "
    )
    later = parting(parted(0, 100), first_difference=20, **LONG)
    assert sentences(comparison(parting=later))[1].startswith(
        "They part at step 100, after differences found within the usual from step 20 on ("
    )
    earlier = parting(parted(0, 100, exact=False), **LONG)
    assert sentences(comparison(parting=earlier))[1].startswith(
        "They are apart from step 100 on, or from earlier: no more was read, and what is "
        "condensed does not tell (common steps 0 to 258). There the std of h.0.w is 0.06 "
    )
    assert sentences(comparison(parting=parting(**LONG)))[1] == (
        "They do not part: no difference was found (common steps 0 to 258; of most stretches the "
        "least and greatest values were compared)."
    )
    unsaid = parting(first_difference=10, exact=False, **LONG)
    assert sentences(comparison(parting=unsaid))[1].startswith(
        "Whether they part is not told: too little was read, and what is condensed does not tell ("
    )
    within = parting(first_difference=10, **LONG)
    assert sentences(comparison(parting=within))[1].endswith(
        "The first difference that was found, among extremes of stretches, is at step 10."
    )


def test_runs_compared_without_a_matrix_are_told_so() -> None:
    found = comparison(compared(0, 0.004), parting=parting(first_difference=10, matrices=0))
    assert sentences(found)[1] == (
        "Where runs part is told of matrices, and none is compared (130 common steps, 0 to 258). "
        "The first difference of any size is at step 10."
    )


def test_runs_without_a_common_step_are_told_so() -> None:
    nothing = parting(common_steps=0, first_step=None, last_step=None)
    found = comparison(compared(0, None), parting=nothing)
    assert sentences(found)[1:] == [
        "They have no step in common, so where they part cannot be told.",
        "No tensor has two distributions to compare.",
    ]


def test_two_steps_of_one_run_are_named_by_their_steps() -> None:
    run = {"run_id": 1, "project": "demo", "run": "sound"}
    found = comparison(
        compared(0, 0.2, 0.5),
        this=side(**run, attempt="first", step=100),
        other=side(**run, attempt="first", step=0),
    )
    assert sentences(found) == [
        "sound: step 100 against step 0, 1 tensor.",
        (
            "The distributions differ most in h.0.w (KS 0.2, a shift of 0.5 standard deviations of "
            "step 0); largest KS by layer: layer 0 0.2."
        ),
    ]


def test_runs_of_the_same_name_are_told_apart_by_their_project() -> None:
    found = comparison(
        compared(0, 0.0),
        this=side(run_id=1, project="a", run="gpt", attempt="first", step=5),
        other=side(run_id=2, project="b", run="gpt", attempt="first", step=5),
        only_this=["x"],
    )
    assert sentences(found)[0] == (
        "a/gpt (step 5) against b/gpt (step 5): 1 tensor of the same name, 1 more only in a/gpt."
    )


def test_many_layers_are_counted() -> None:
    found = comparison(
        *(compared(layer, 0.1 + layer / 100) for layer in range(7)),
        parting=parting(*(parted(layer, 10) for layer in range(7))),
    )
    assert "1 in layer 3, 3 elsewhere" in sentences(found)[2]
    assert sentences(found)[3].endswith(
        "layer 6 0.16, layer 5 0.15, layer 4 0.14, layer 3 0.13, 3 other layers less."
    )


def test_two_attempts_of_one_run_are_named_by_both() -> None:
    run = {"run_id": 1, "project": "demo", "run": "sound", "step": 8}
    found = comparison(
        compared(0, 0.2, 0.5),
        this=side(**run, attempt="a"),
        other=side(**run, attempt="a.2"),
    )
    first = sentences(found)[0]
    assert first == "sound: step 8 of attempt a against step 8 of attempt a.2, 1 tensor."
