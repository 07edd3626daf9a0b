"""Who posts, and how ranks agree on it without talking."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
import torch

from bifurk.configure import resolve
from bifurk.identity import (
    Identity,
    Rank,
    choose_attempt,
    current_rank,
    fresh_attempt,
    launcher_attempt,
)
from bifurk.wire import check_slug

TORCHRUN = {"TORCHELASTIC_RUN_ID": "job 7", "TORCHELASTIC_RESTART_COUNT": "2"}
SLURM = {"SLURM_JOB_ID": "123", "SLURM_STEP_ID": "4", "SLURM_RESTART_COUNT": "1"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (SLURM, "slurm-123-4-1"),
        ({"SLURM_JOB_ID": "123"}, "slurm-123-batch-0"),
        # torchrun's own name for a job without one: every such job would share it.
        ({"TORCHELASTIC_RUN_ID": "none"}, None),
        ({}, None),
    ],
)
def test_the_launcher_names_the_attempt(environ: dict[str, str], expected: str | None) -> None:
    assert launcher_attempt(environ) == expected


@pytest.mark.parametrize("environ", [TORCHRUN, TORCHRUN | SLURM])
def test_two_torchrun_jobs_with_one_fixed_id_are_two_attempts(environ: dict[str, str]) -> None:
    names = {choose_attempt(environ=environ, rank=Rank(ranks=2)) for _ in range(2)}
    assert len(names) == 2
    assert all(re.fullmatch("torchelastic-job-7-2-[0-9a-f]{8}", name) for name in names)


def test_a_long_job_id_still_makes_a_slug_of_its_own() -> None:
    environ = {"TORCHELASTIC_RUN_ID": "x" * 500}
    first, second = launcher_attempt(environ), launcher_attempt(environ)
    assert first is not None
    check_slug(first, "attempt")
    assert first != second


def test_ranks_agree_and_a_single_process_is_always_a_new_attempt() -> None:
    many = Rank(rank=3, ranks=8)
    assert choose_attempt(environ=SLURM, rank=many) == choose_attempt(
        environ=SLURM, rank=Rank(ranks=8)
    )
    assert choose_attempt(environ=SLURM, rank=Rank()) != choose_attempt(environ=SLURM, rank=Rank())


def test_the_user_s_name_wins_over_the_launcher_s() -> None:
    environ = SLURM | {"BIFURK_ATTEMPT": "mine"}
    assert resolve({}, environ=environ, rank=Rank(ranks=2)).attempt == "mine"
    assert resolve({"attempt": "this"}, environ=environ, rank=Rank(ranks=2)).attempt == "this"


def test_a_fresh_name_is_a_slug_and_draws_from_no_random_state_of_the_user() -> None:
    before = random_states()
    check_slug(fresh_attempt(), "attempt")
    assert random_states() == before


def random_states() -> tuple[object, ...]:
    numpy_state = str(np.random.get_state())  # noqa: NPY002  the user's global state is the point
    return random.getstate(), numpy_state, torch.random.get_rng_state().tolist()


def test_paths_name_the_rank() -> None:
    identity = Identity(project="p", run="r", attempt="a", rank=Rank(rank=2, ranks=4))
    assert identity.part_path(7) == "/api/v1/projects/p/runs/r/attempts/a/snapshots/7/parts/2"


def test_without_torch_distributed_there_is_one_rank() -> None:
    assert current_rank() == Rank(rank=0, ranks=1)
