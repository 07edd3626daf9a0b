"""What ``bifurk run`` reads of a command before it becomes it."""

from __future__ import annotations

import pytest

from bifurk.attaching.launch import python_flags, script_of


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("python -IB train.py -E", "IB"),
        ("python3.11 -u -W error -Xdev -Es -m train -I", "uEs"),
        ("python -c pass -I", ""),
        ("python --check-hash-based-pycs always -I x.py", "I"),
        ("torchrun -I train.py", ""),
    ],
)
def test_options_of_python_are_told_from_the_script_s(command: str, flags: str) -> None:
    assert "".join(python_flags(command.split())) == flags


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python train.py --model x.py", "train"),
        ("python -m package.train", "train"),
        ("torchrun --nproc-per-node 2 folder/long.name.py", "long.name"),
        ("python -m torch.distributed.run train.py", "train"),
        ("/usr/bin/trainer --fast", "trainer"),
        ("python -m", "python"),
    ],
)
def test_a_run_is_called_after_its_script(command: str, name: str) -> None:
    assert script_of(command.split()) == name
