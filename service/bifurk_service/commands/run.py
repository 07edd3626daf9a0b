"""``bifurk run``: the client's own command, under the service's name."""

from __future__ import annotations

import typer

from bifurk.attaching import launch

AS_THEY_ARE = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}
"""What follows belongs to the client's parser, and behind ``--`` to the command."""


def run(context: typer.Context) -> None:
    """Run a training script as it is, and watch its weights."""
    raise typer.Exit(launch.main(context.args))
