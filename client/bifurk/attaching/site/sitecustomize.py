"""Runs at the start of every Python that ``bifurk run`` started, and of those it starts.

Next to nothing is imported here, and nothing raises. When torch has been imported, whoever imports
it, ``bifurk.attaching.hook`` is called.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class _AfterTorch:
    """Finds torch as everybody else would, and has the hook called once it is imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del target
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            _call_after(spec.loader)
        return spec


def _call_after(loader: object) -> None:
    """This loader's module, once it is there, is followed by the hook."""
    execute = getattr(loader, "exec_module", None)
    if execute is None:
        return

    def exec_module(module: ModuleType) -> None:
        del loader.exec_module  # type: ignore[attr-defined]
        execute(module)
        _attach()

    loader.exec_module = exec_module  # type: ignore[attr-defined]


def _attach() -> None:
    try:
        from bifurk.attaching.hook import attach  # noqa: PLC0415 - not before it is needed

        attach()
    except Exception as error:  # noqa: BLE001 - the script must not notice
        print(
            f"bifurk: {sys.executable} runs unwatched: {type(error).__name__}: {error}",
            file=sys.stderr,
        )


def _run_hidden() -> None:
    """The ``sitecustomize`` that this one stands in front of, if there is one."""
    here = os.path.dirname(__file__)
    sys.path[:] = [folder for folder in sys.path if folder != here]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


sys.meta_path.insert(0, _AfterTorch())
_run_hidden()
