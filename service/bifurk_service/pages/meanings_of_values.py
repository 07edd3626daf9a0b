"""The texts of kinds that speak of values, spectra and paths rather than of courses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bifurk_service.pages.meaning import Look, Meaning

OF_VALUES: Final[Mapping[str, Meaning]] = {
    "non_finite": Meaning(
        what="Weights are NaN or infinite. Whatever is computed from them is lost from here on.",
        causes=(
            (
                "An overflow in half precision: activations, scores or gradients left its "
                "range, and the step was not skipped."
            ),
            "The training diverged: too large a learning rate, or a warm-up that is too short.",
            (
                "A division by zero or a logarithm of zero in a loss, a normalisation or a custom "
                "kernel; or bad data."
            ),
        ),
        looks=(
            Look(
                text="Which tensor was first? The order of onset tells where it began.",
                at="evidence",
            ),
            Look(
                text="Did updates or spreads grow before? Growth speaks for divergence, nothing at "
                "all for a single operation.",
                at="heatmap",
                statistic="update_ratio",
            ),
            Look(
                text="Did the loss rise or swing in the steps before?",
                at="evidence",
                statistic="std",
            ),
        ),
        harmless="Never. Stop, and go back to the checkpoint named above.",
    ),
    "collapsed": Meaning(
        what="The spread of a tensor fell to nothing: all its values are the same, or nearly.",
        causes=(
            "The tensor was overwritten: zeroed, reset, loaded from an empty or partial file.",
            "A sharding or offloading bug: the values live elsewhere and the copy is empty.",
            "A pruning or masking step took everything.",
        ),
        looks=(
            Look(
                text="Was it at once? A collapse within one snapshot is a write, not training.",
                at="evidence",
            ),
            Look(
                text="Which other tensors of the layer or shard went with it?",
                at="heatmap",
                statistic="std",
            ),
            Look(text="Does the tensor still move?", at="tensor"),
        ),
        harmless="You set it to zero on purpose, as when an adapter is merged and reset.",
    ),
    "frozen": Meaning(
        what="No element of a tensor moved over several snapshots, although the learning rate was "
        "above zero.",
        causes=(
            "It gets no gradient: detached, unused in the forward pass, requires_grad false.",
            "It is not in the optimizer, or in a group whose rate is zero.",
            "Updates are smaller than the format's resolution, as in pure bfloat16 at a low rate.",
        ),
        looks=(
            Look(
                text="Since which step, and which tensors with it?",
                at="evidence",
                statistic="unmoved_share",
            ),
            Look(
                text="Did the updates shrink towards it (rounding), or end at once (a switch)?",
                at="evidence",
                statistic="update_ratio",
            ),
            Look(
                text="Which roles and layers do not move at all?",
                at="heatmap",
                statistic="unmoved_share",
            ),
        ),
        harmless="You froze these layers. Then a rule that silences this kind for them is right.",
    ),
    "mode_split": Meaning(
        what="The density of a tensor's values went from one mode to several.",
        causes=(
            "Two kinds of rows: tokens that occur and tokens that never do, in an embedding.",
            "Some units are being pruned away, by weight decay or by a penalty.",
            "A part of the tensor is trained otherwise: new tokens, a partly frozen matrix.",
        ),
        looks=(
            Look(
                text="Watch the modes part in the garden, and step through the histograms.",
                at="tensor",
            ),
            Look(
                text="Does the dip stay above 1, or come and go?",
                at="evidence",
                statistic="dip_ratio",
            ),
            Look(
                text="Do the paths of single weights part as well?",
                at="evidence",
                statistic="path_dip_ratio",
            ),
        ),
        harmless="Embeddings and output layers split on skewed vocabularies in healthy runs.",
    ),
    "spectral_outlier": Meaning(
        what="Directions came to stand beyond what random entries explain, or returned into the "
        "bulk: the matrix took up, or lost, structure.",
        causes=(
            "Learning: features form as directions that leave the bulk.",
            "A mean or offset shared by all rows or columns grows (see the constant overlap).",
            "Weight decay pulls weak directions back into the bulk.",
        ),
        looks=(
            Look(
                text="The spectrum before and after, against the Marchenko-Pastur curve.",
                at="tensor",
            ),
            Look(
                text="Is the leading direction a shared offset? Near 1 it is.",
                at="evidence",
                statistic="outlier_constant_overlap",
            ),
            Look(
                text="Does one direction take over, so that the stable rank falls?",
                at="evidence",
                statistic="stable_rank",
            ),
        ),
        harmless="Nearly always: outliers that appear one after the other are what learning is.",
    ),
    "rank_collapse": Meaning(
        what="The stable rank of a matrix fell abruptly, or by half within few snapshots: one "
        "direction carries most of its energy.",
        causes=(
            "One direction blows up, as attention scores do when a training is near divergence.",
            "A shared offset grows in the rows or columns.",
            (
                "Strong weight decay leaves only what the gradients hold up, as when a network "
                "begins to generalise."
            ),
        ),
        looks=(
            Look(
                text="Does the largest singular value grow (blow-up), or do the others fall "
                "(decay)?",
                at="evidence",
                statistic="spectral_norm",
            ),
            Look(
                text="Is it all matrices of a layer, or of a role?",
                at="heatmap",
                statistic="stable_rank",
            ),
            Look(
                text="The spectrum at the steps before and after the onset.",
                at="tensor",
            ),
        ),
        harmless="Spread and largest singular value stay in bounds and the loss falls: the matrix "
        "has learned something low-dimensional.",
    ),
    "path_fork": Meaning(
        what="The paths of single weights parted: some go to zero, some grow.",
        causes=(
            "Weight decay or a sparsity penalty takes what the gradients do not hold up.",
            "Units die: their outputs are zero, so that their weights only decay.",
            "The tensor was rescaled or overwritten: paths are measured by the first snapshot.",
        ),
        looks=(
            Look(
                text="How many are near zero now, and does their share still rise?",
                at="evidence",
                statistic="dying_share",
            ),
            Look(
                text="Do others grow meanwhile?",
                at="evidence",
                statistic="growing_share",
            ),
            Look(
                text="Two modes in the garden are the dying and the growing ones.",
                at="tensor",
            ),
        ),
        harmless="You train for sparsity, or with strong weight decay, and the loss does not mind.",
    ),
    "shape_change": Meaning(
        what="The distribution of a tensor became one of another kind and stayed so: Gaussian "
        "values turned into heavier-tailed ones, say.",
        causes=(
            "Learning concentrates the changes in some weights: tails become heavier.",
            "Some rows move and others do not, as rare tokens in an embedding.",
            "Clipping, quantisation or a rescaling cut or moved the values.",
        ),
        looks=(
            Look(
                text="The histogram against its fitted Gaussian, before and after.",
                at="tensor",
            ),
            Look(
                text="Is it the tails?",
                at="evidence",
                statistic="excess_kurtosis",
            ),
            Look(
                text="Is it near a border between two classes? Near 0 it may go back.",
                at="evidence",
                statistic="shape_margin",
            ),
        ),
        harmless="It is information: early in training most embeddings leave their initial shape.",
    ),
}
"""By kind."""
