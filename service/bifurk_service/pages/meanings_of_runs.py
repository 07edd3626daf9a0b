"""What alerts about a whole run may mean: it says nothing any more, or is unlike the good ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bifurk_service.pages.meaning import Look, Meaning

OF_RUNS: Final[Mapping[str, Meaning]] = {
    "silent": Meaning(
        what="No snapshot has come for far longer than this attempt usually takes between two.",
        causes=(
            "The training stopped or hangs: out of memory, a lost node, a collective that waits.",
            "A long evaluation, compilation or checkpoint is under way.",
            (
                "The network is down, or the client's address or token no longer works: snapshots "
                "wait in its spool."
            ),
        ),
        looks=(
            Look(text="Is the process alive, and does its own log go on?", at="run"),
            Look(
                text="What did the loss do in the last steps that came?",
                at="evidence",
            ),
            Look(
                text="Does bifurk doctor reach the server from the training's machine?",
                at="run",
            ),
        ),
        harmless="The run is at a long evaluation, or was stopped on purpose. The alert resolves "
        "itself when a snapshot comes.",
    ),
    "leaves_baseline": Meaning(
        what="So many courses of this run, each a statistic of a group of layers, are beyond the "
        "band of runs that went well, at one time, that chance seldom does it.",
        causes=(
            (
                "A setting differs from the good runs: learning rate, its schedule, batch size, "
                "initialisation, precision, versions."
            ),
            "The training goes wrong in the whole model: it runs away, blows up or stands still.",
            "The data differ: another mixture or order, or a stretch that the good runs never saw.",
        ),
        looks=(
            Look(
                text="Which settings differ from the good runs, and which group left first? The "
                "page of comparisons lists both.",
                at="baseline",
            ),
            Look(
                text="Did the size of the updates leave before the weights did? Then it is the "
                "optimizer.",
                at="baseline",
                statistic="update_ratio",
            ),
            Look(text="Is the loss worse than theirs at the same steps?", at="evidence"),
            Look(text="Do other alerts of this run say what happened?", at="run"),
        ),
        harmless="The run is meant to differ from the good ones (another learning rate or batch "
        "size), and its loss is as good as theirs. The alert resolves itself when the run is back.",
    ),
}
"""By kind."""
