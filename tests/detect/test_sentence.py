"""The sentence of every kind, word by word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bifurk_service.detect.registry import OPTIONAL_WATCHES, WATCHES
from bifurk_service.detect.sentence import sentence
from bifurk_service.detect.story import Story
from bifurk_service.detect.wording import WHAT
from bifurk_service.domain import AffectedTensor, Mark, TensorInfo
from bifurk_service.stats.registry import BY_NAME


def _tensor(
    name: str, layer: int | None, statistic: str, before: float, after: float
) -> AffectedTensor:
    return AffectedTensor(
        tensor=TensorInfo(id=1, name=name, layer=layer, role="other", shape=(8, 8)),
        statistics=(statistic,),
        onset_first_step=398,
        onset_last_step=402,
        before=before,
        after=after,
        score=2.0,
    )


def _story(kind: str, statistic: str, *places: tuple[str, int | None], **more: object) -> Story:
    before, after = more.pop("before", 1.0), more.pop("after", 3.0)
    story = Story(
        run="gpt-small",
        kind=kind,
        statistic=statistic,
        log_scale=BY_NAME[statistic].log_scale,
        tensors=tuple(_tensor(name, layer, statistic, before, after) for name, layer in places),  # type: ignore[arg-type]
        tensor_count=77,
        onset_first_step=398,
        onset_last_step=402,
        detected_step=404,
    )
    return replace(story, **more)  # type: ignore[arg-type]


ALL = tuple((f"blocks.{index % 6}.w{index}", index % 6) for index in range(77))
BLOCK = tuple((f"blocks.2.{index}", 2) for index in range(4))
RAISE = Mark(
    kind="learning_rate",
    step=400,
    details={"from": 1e-3, "to": 1e-2, "ratio": 10.0, "since_step": 398},
)
FALL = Mark(
    kind="learning_rate",
    step=1_400,
    details={"from": 1e-3, "to": 5e-4, "ratio": 0.5, "since_step": 1_398},
)
SAVED = Mark(kind="checkpoint", step=380, details={"path": "ckpt/380.pt"})

DEPARTED = tuple((f"blocks.{layer}.mlp.up.weight", layer) for layer in range(12))


def _split(story: Story, *, upper: range) -> Story:
    """The story with the tensors of these layers in branch 1, and only they have moved."""
    tensors = tuple(
        replace(
            one,
            branch=int(one.tensor.layer in upper),
            after=3.0 if one.tensor.layer in upper else 1.0,
        )
        for one in story.tensors
    )
    return replace(story, tensors=tensors)


BOTH = (*DEPARTED, *((f"blocks.{layer}.mlp.down.weight", layer) for layer in range(12)))
SENTENCES = {
    "layers part": (
        _split(_story("branch_split", "std", *DEPARTED, first=""), upper=range(8, 12)),
        (
            "gpt-small: the spread of the weights of mlp.up parted into two groups of layers: 8, "
            "9, 10 and 11 grew 3x, the other 8 did not. Began between steps 398 and 402, seen at "
            "404; which layer was first is not resolved."
        ),
    ),
    "layers part, the larger group moves": (
        _split(_story("branch_split", "std", *DEPARTED), upper=range(4, 12)),
        (
            "gpt-small: the spread of the weights of mlp.up parted into two groups of layers: "
            "the other 8 grew 3x, 0, 1, 2 and 3 did not. Began between steps 398 and 402, seen at "
            "404."
        ),
    ),
    "layers of two kinds part alike": (
        _split(_story("branch_split", "std", *BOTH, also=("spectral_norm",)), upper=range(8, 12)),
        (
            "gpt-small: the spread of the weights of mlp.up and mlp.down parted into two groups of "
            "layers: 8, 9, 10 and 11 grew 3x, the other 8 did not. Began between steps 398 and "
            "402, seen at 404. The largest singular value parted as well."
        ),
    ),
    "a layer departs": (
        _story("layer_departure", "std", *BLOCK, also=("update_ratio",)),
        (
            "gpt-small: the spread of the weights left the course of the other layers, 3x larger,"
            " in 4 of 77 tensors, all of layer 2. Began between steps 398 and 402, seen at 404. "
            "Weight updates departed as well."
        ),
    ),
    "singular values come out": (
        _story("spectral_outlier", "spectrum_outliers", ("a", 1), before=0.0, after=2.0),
        (
            "gpt-small: the number of singular values beyond the edge of the fitted bulk went from "
            "0 to 2 in a. Began between steps 398 and 402, seen at 404."
        ),
    ),
    "a rank collapses": (
        _story("rank_collapse", "stable_rank", ("a", 1), before=30.2, after=11.8),
        (
            "gpt-small: the stable rank fell from 30 to 12 in a. Began between steps 398 and 402, "
            "seen at 404."
        ),
    ),
    "paths fork": (
        _story("path_fork", "dying_share", ("a", 1), before=0.04, after=0.31, also=("path_flow",)),
        (
            "gpt-small: the share of paths near zero went from 0.04 to 0.31 in a: the paths fork. "
            "Began between steps 398 and 402, seen at 404. The flow of the paths forked as well."
        ),
    ),
    "a shape changes": (
        _story(
            "shape_change",
            "shape_class",
            ("a", 1),
            variant="from gaussian to scale_mixture",
            before=2.0,
            after=3.0,
        ),
        (
            "gpt-small: the shape of the values went from gaussian to scale mixture in a. Began "
            "between steps 398 and 402, seen at 404."
        ),
    ),
    "a burst": (
        _story("variance_burst", "update_ratio", *BLOCK, ratio=3.1),
        (
            "gpt-small: weight updates swing 3.1x as much as before in 4 of 77 tensors, all of "
            "layer 2. Began between steps 398 and 402, seen at 404."
        ),
    ),
    "one bad snapshot": (
        _story("one_bad_snapshot", "std", *BLOCK),
        (
            "gpt-small: the spread of the weights jumped at a single snapshot and came back in 4 "
            "of 77 tensors, all of layer 2. Began between steps 398 and 402, seen at 404."
        ),
    ),
    "slowing": (
        _story("critical_slowing", "std", *DEPARTED),
        (
            "gpt-small: the spread of the weights fluctuates more, and more slowly, in 12 of 77 "
            "tensors. Began between steps 398 and 402, seen at 404."
        ),
    ),
    "the run's own settings": (
        _story(
            "regime_shift",
            "update_ratio",
            *BLOCK,
            after=0.5,
            explained_by=(
                Mark(kind="batch_size", step=400, details={"from": 64, "to": 1_024}),
                Mark(kind="amp_scale", step=400),
                Mark(kind="warmup_end", step=400, details={"from": 0.0, "to": 3e-4}),
                Mark(kind="decay_start", step=402),
                Mark(kind="resume", step=402),
            ),
        ),
        (
            "gpt-small: weight updates became 2x smaller in 4 of 77 tensors, all of layer 2. Began "
            "between steps 398 and 402, seen at 404. The batch size went from 64 to 1,024 at step "
            "400: it may explain this. The run itself marked amp_scale at step 400. The warm-up "
            "ended at a learning rate of 0.0003 by step 400: it may explain this. The learning "
            "rate began to fall by step 402: it may explain this. The run was resumed at step 402."
        ),
    ),
    "a raised learning rate": (
        _story(
            "regime_shift",
            "update_ratio",
            *ALL,
            after=9.6,
            first="",
            explained_by=(RAISE,),
            checkpoint=SAVED,
        ),
        (
            "gpt-small: weight updates became 9.6x larger in 77 of 77 tensors. Began between "
            "steps 398 and 402, seen at 404; which layer was first is not resolved. The learning "
            "rate rose 10x between steps 398 and 400: probable cause. Last checkpoint before: "
            "step 380, ckpt/380.pt."
        ),
    ),
    "one layer, with a wake": (
        _story("regime_shift", "std", *BLOCK, also=("spectral_norm",), followers=39),
        (
            "gpt-small: the spread of the weights became 3x larger in 4 of 77 tensors, all of "
            "layer 2. Began between steps 398 and 402, seen at 404. The largest singular value "
            "shifted as well. 39 other tensors shifted in its wake."
        ),
    ),
    "one tensor, three aspects": (
        _story(
            "regime_shift",
            "spectral_norm",
            ("output.weight", None),
            after=81.2,
            also=("stable_rank", "cosine_to_first"),
        ),
        (
            "gpt-small: the largest singular value became 81x larger in output.weight. Began "
            "between steps 398 and 402, seen at 404. The stable rank and the cosine to the first "
            "snapshot shifted as well."
        ),
    ),
    "a little smaller, explained": (
        _story(
            "regime_shift",
            "std",
            ("a", 1),
            ("b", 1),
            ("c", 1),
            after=0.95,
            explained_by=(FALL, Mark(kind="evaluation", step=402)),
        ),
        (
            "gpt-small: the spread of the weights became 5 % smaller in a, b and c. Began between"
            " steps 398 and 402, seen at 404. The learning rate fell 2x between steps 1,398 and "
            "1,400: it may explain this. The run was evaluated at step 402: it may explain this."
        ),
    ),
    "no ratio": (
        _story(
            "regime_shift",
            "excess_kurtosis",
            *BLOCK,
            *ALL[:3],
            before=0.12,
            after=6.3,
            first="layer 2",
        ),
        (
            "gpt-small: the excess kurtosis went from 0.12 to 6.3 in 7 of 77 tensors, of layers "
            "0, 1 and 2. Began between steps 398 and 402, seen at 404; layer 2 was first."
        ),
    ),
    "a fall": (
        _story(
            "turning_point",
            "stable_rank",
            ("output.weight", None),
            variant="fall",
            before=30.5,
            after=28.94,
        ),
        (
            "gpt-small: the stable rank of output.weight has fallen from its highest value, 30.5 "
            "to 28.9. Turned between steps 398 and 402, seen at 404."
        ),
    ),
    "several rises": (
        _story("turning_point", "stable_rank", ("a", None), ("b", None), variant="rise", first="a"),
        (
            "gpt-small: the stable rank has risen from its lowest value in a and b. Turned "
            "between steps 398 and 402, seen at 404; a was first."
        ),
    ),
    "a split": (
        _story("mode_split", "dip_ratio", ("embedding.weight", None)),
        (
            "gpt-small: the values went from one mode to several in embedding.weight. Began "
            "between steps 398 and 402, seen at 404."
        ),
    ),
    "not finite": (
        _story("non_finite", "nonfinite_count", *BLOCK, after=300.0),
        (
            "gpt-small: 1,200 values are NaN or infinite in 4 of 77 tensors, all of layer 2. "
            "Began between steps 398 and 402, seen at 404."
        ),
    ),
    "one value, at the first snapshot": (
        _story(
            "non_finite",
            "nonfinite_count",
            ("a", 0),
            after=1.0,
            onset_first_step=404,
            onset_last_step=404,
        ),
        "gpt-small: 1 value is NaN or infinite in a. Began by step 404, seen at 404.",
    ),
    "stopped": (
        _story("frozen", "unmoved_share", ("a", 0), variant="stopped", explained_by=()),
        (
            "gpt-small: the weights stopped moving in a although the learning rate is above zero."
            " Began between steps 398 and 402, seen at 404."
        ),
    ),
    "never moved": (
        _story("frozen", "unmoved_share", ("a", 0), variant="never moved"),
        (
            "gpt-small: the weights have not moved once in a although the learning rate is above "
            "zero. Began between steps 398 and 402, seen at 404."
        ),
    ),
    "collapsed": (
        _story("collapsed", "std", ("a", 0), before=0.021, after=0.0),
        (
            "gpt-small: the spread of the weights fell from 0.021 to 0 in a. Began between steps "
            "398 and 402, seen at 404."
        ),
    ),
}


@pytest.mark.parametrize(("story", "expected"), SENTENCES.values(), ids=SENTENCES)
def test_the_sentence_word_by_word(story: Story, expected: str) -> None:
    assert sentence(story) == expected


def test_every_kind_has_its_sentence() -> None:
    kinds = {watch.kind for watch in (*WATCHES, *OPTIONAL_WATCHES)}
    assert kinds <= {story.kind for story, _ in SENTENCES.values()} == set(WHAT)


def test_nothing_is_ever_said_to_be_caused() -> None:
    assert not any("caused" in sentence(story) for story, _ in SENTENCES.values())
