"""Brings in a trainer's package, or says what is wrong with the one that is there."""

from __future__ import annotations

import re
from importlib import import_module
from types import ModuleType
from typing import Any, Final

_NUMBERS: Final = re.compile(r"\d+")


def framework(module: str, *, at_least: tuple[int, int]) -> Any:
    """Imports a module of a package.

    Args:
        module: its dotted name. at_least: major and minor version of the package.

    Raises:
        ImportError: the package is not installed, cannot be imported, or is older.
    """
    package = module.partition(".")[0]
    wanted = ".".join(map(str, at_least))
    try:
        found: ModuleType = import_module(package)
        inside = import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        problem = "is not installed" if missing else f"cannot be imported ({error})"
        raise ImportError(
            f"this integration needs {package} {wanted} or later, which {problem}:"
            f" pip install '{package}>={wanted}'",
            name=package,
        ) from error
    version = str(getattr(found, "__version__", ""))
    numbers = tuple(map(int, _NUMBERS.findall(version)[:2]))
    if numbers < at_least:
        raise ImportError(
            f"this integration needs {package} {wanted} or later, got {version or 'no version'}:"
            f" pip install --upgrade '{package}>={wanted}'",
            name=package,
        )
    return inside
