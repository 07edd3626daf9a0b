"""A folder to start commands in."""

from tests.attaching.conftest import launcher  # noqa: F401 - a fixture of this folder too
