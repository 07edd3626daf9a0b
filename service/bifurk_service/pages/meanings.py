"""What an alert of each kind may mean, for people who train models: causes, next looks, harmless.

What detectors can and cannot see, and how they are calibrated, is in ``docs/detectors``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bifurk_service.pages.meaning import Look, Meaning
from bifurk_service.pages.meanings_of_runs import OF_RUNS
from bifurk_service.pages.meanings_of_values import OF_VALUES

_OF_COURSES: Final[Mapping[str, Meaning]] = {
    "regime_shift": Meaning(
        what="A statistic left the course that its past predicted, and stayed away: a jump, a kink "
        "or a drift that set in. It is told only where several tensors, or several aspects of one "
        "tensor, moved together.",
        causes=(
            (
                "The optimizer took a much larger or smaller step than before: a change of the "
                "learning rate, a spike of the gradients, a change of batch size or of clipping."
            ),
            "The data changed: another mixture, a corrupt shard, a repeated or unshuffled stretch.",
            (
                "Something wrote into the weights: a partly loaded checkpoint, a merge, a wrong "
                "initialisation of one module, a kernel or a node that computes wrongly."
            ),
        ),
        looks=(
            Look(
                text="Did the step size move first? Weights that jump without a jump of the "
                "updates' usual size were written to, not trained.",
                at="evidence",
                statistic="update_ratio",
            ),
            Look(
                text="Is it one layer or all? One layer speaks for a fault there, all layers for "
                "the optimizer, the schedule or the data.",
                at="heatmap",
                statistic="std",
            ),
            Look(
                text="Has the loss on the same steps a spike, a step or nothing?",
                at="evidence",
            ),
            Look(
                text="How do the values look before and after: wider as a whole, or a few far out?",
                at="tensor",
            ),
        ),
        harmless="A change of your own stands under “Explained by”, the loss goes on as before, "
        "and the statistic settles at its new level. The first hundred snapshots of a run, "
        "while warm-up ends, have more of these than the rest.",
    ),
    "branch_split": Meaning(
        what="The layers of one role parted into two groups that go different ways: a fork of the "
        "population, not one layer that leaves.",
        causes=(
            (
                "Early and late layers take up different work as the task's structure is learned; "
                "then the branches are contiguous in depth."
            ),
            (
                "The layers are not treated alike: parameter groups with other learning rates or "
                "weight decay, frozen blocks, adapters on some layers only."
            ),
            (
                "Half of the model is on other hardware, another pipeline stage or shard, and is "
                "updated otherwise (stale, unsynchronised, in another precision)."
            ),
        ),
        looks=(
            Look(
                text="Which layers went where, and which began? Contiguous branches are depth; a "
                "cut at a pipeline or shard boundary is the system.",
                at="branches",
            ),
            Look(
                text="Do the same layers part in the size of their updates? Then it is the "
                "optimizer that treats them differently.",
                at="branches",
                statistic="update_ratio",
            ),
            Look(
                text="Does one branch lose rank while the other does not?",
                at="branches",
                statistic="stable_rank",
            ),
        ),
        harmless="The branches settle at two levels, the loss falls as before, and healthy runs of "
        "the same recipe fork at about the same step.",
    ),
    "layer_departure": Meaning(
        what="One layer, or two, left the course that the other layers of the same role share.",
        causes=(
            (
                "A fault of that layer alone: written weights, wrong initialisation, a bad kernel "
                "or device of that stage."
            ),
            "The first or the last layer specialises, as they often do first.",
            "That layer has a learning rate, weight decay or normalisation of its own.",
        ),
        looks=(
            Look(
                text="How far is it from the others, and does the gap still grow?",
                at="branches",
            ),
            Look(
                text="Did that layer move more than the others at the onset?",
                at="branches",
                statistic="update_ratio",
            ),
            Look(
                text="What do the layer's values look like: wider as a whole, or a few rows far "
                "out?",
                at="tensor",
            ),
        ),
        harmless="It is the first or last layer early in training, the gap stops growing, and the "
        "layer's updates are of the size that its neighbours have.",
    ),
    "turning_point": Meaning(
        what="A statistic that had long gone one way has turned: a slow fall from its highest "
        "value, or a rise from its lowest.",
        causes=(
            (
                "Learning itself: most matrices of a healthy model lose stable rank as structure "
                "forms."
            ),
            "The learning rate passed its peak, so that decay or noise outweighs growth.",
            "Weight decay has begun to win over the gradients.",
        ),
        looks=(
            Look(
                text="Did many matrices turn at once, or this one alone?",
                at="heatmap",
                statistic="stable_rank",
            ),
            Look(
                text="Does the largest singular value grow while the rank falls? Then one "
                "direction takes over.",
                at="evidence",
                statistic="spectral_norm",
            ),
            Look(
                text="Did the loss change its slope near the same step?",
                at="evidence",
            ),
        ),
        harmless="Nearly always: it is a milestone, never more than information. Look again only "
        "where it comes together with a warning.",
    ),
    "one_bad_snapshot": Meaning(
        what="Values were far out at a single snapshot and back at the next, in several tensors.",
        causes=(
            (
                "The snapshot was taken in mid-step, of averaged (EMA) weights, or as a checkpoint "
                "was being loaded."
            ),
            "One wild batch moved the weights, and the next steps took it back.",
            "Weights were swapped for an evaluation and swapped back.",
        ),
        looks=(
            Look(
                text="Is the point alone, with the same course before and after it?",
                at="evidence",
            ),
            Look(
                text="Was the update out while the weights themselves were not? Then the snapshot "
                "is at fault, not the training.",
                at="evidence",
                statistic="std",
            ),
            Look(text="Was there an evaluation or a resume at that step?", at="run"),
        ),
        harmless="It comes at the steps at which you evaluate or save, and the loss shows nothing.",
    ),
    "variance_burst": Meaning(
        what="A statistic began to swing more from snapshot to snapshot, about the same course.",
        causes=(
            "The learning rate is at the edge of stability: steps overshoot and come back.",
            "The gradients became noisier: a smaller batch, harder or more mixed data.",
            "Gradient clipping, loss scaling or an auxiliary loss switches on and off.",
        ),
        looks=(
            Look(
                text="Does the loss swing too, at the same steps?",
                at="evidence",
            ),
            Look(
                text="Which layers swing? All of them: the learning rate. One: that layer.",
                at="heatmap",
                statistic="update_ratio",
            ),
            Look(
                text="Do the weights begin to grow after the swings?",
                at="evidence",
                statistic="std",
            ),
        ),
        harmless="The batch was made smaller on purpose, or the swings fade as the rate decays.",
    ),
    "critical_slowing": Meaning(
        what="The middle of a role fluctuates more and more, and more and more slowly, as systems "
        "do before they tip over. It is the least certain kind, and off unless asked for.",
        causes=(
            "The pull back to the present course weakens before a real change.",
            "The noise of the gradients grows and slows down for a reason of its own.",
            "Chance: this kind has more false alarms than any other.",
        ),
        looks=(
            Look(text="Do the fluctuations grow to the eye?", at="evidence"),
            Look(text="Do the layers begin to part?", at="branches"),
            Look(
                text="Is another alert raised within some hundred snapshots? Without one, let it "
                "go.",
                at="run",
            ),
        ),
        harmless="By itself, always. Take it as a hint to save a checkpoint.",
    ),
}

MEANINGS: Final[Mapping[str, Meaning]] = {**OF_VALUES, **_OF_COURSES, **OF_RUNS}
"""By kind."""
