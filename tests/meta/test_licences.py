"""What the check of licences lets pass, and that it looks at every extra."""

from __future__ import annotations

import pytest

from tests.meta import licences


@pytest.mark.parametrize("licence", ["MIT", "BSD-3-Clause", "Apache-2.0", "MPL-2.0", "PSF-2.0"])
def test_permissive_licences_pass(licence: str) -> None:
    assert licences.is_allowed("some-package", licence)


@pytest.mark.parametrize(
    "licence",
    ["", "GPL-3.0-only", "AGPL-3.0", "LGPL-3.0-only", "MIT AND GPL-2.0", "Proprietary",
     "License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)"],
)  # fmt: skip
def test_others_do_not(licence: str) -> None:
    assert not licences.is_allowed("some-package", licence)


def test_an_exception_is_of_a_name_and_a_licence() -> None:
    assert licences.is_allowed("psycopg", "LGPL-3.0-only")
    assert not licences.is_allowed("psycopg", "Proprietary")


def test_every_extra_is_looked_at() -> None:
    found = licences.runtime_distributions()
    assert {"numpy", "fastapi", "torch", "pyarrow", "psycopg", "tensorboard"} <= set(found)


def test_all_that_is_depended_on_passes_and_every_exception_is_needed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert licences.main() == 0, capsys.readouterr().err
