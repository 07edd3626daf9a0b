"""Runs at the start of every Python that ``bifurk run`` started, and of those it starts.

Next to nothing is imported here, and nothing raises. When torch has been imported, whoever imports
it, ``bifurk.attaching.hook`` is called. Other Pythons than bifurk's run this too, as old as 2.7.
"""

import os
import sys

try:
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec
except ImportError:  # older than anything that torch runs on
    PathFinder = None


class _AfterTorch(object):
    """Finds torch as everybody else would, and has the hook called once it is imported.

    Many look for torch without importing it, or import it in vain: it stays until torch is there.
    """

    def find_spec(self, name, path=None, target=None):
        del target
        if name != "torch":
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            self._call_after(spec.loader)
        return spec

    def _call_after(self, loader):
        """This loader's module, once it is there, is followed by the hook."""
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return

        def exec_module(module):
            del loader.exec_module
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _attach()

        loader.exec_module = exec_module


def _attach():
    try:
        from bifurk.attaching.hook import attach

        attach()
    except Exception as error:
        try:
            if sys.stderr is not None:
                sys.stderr.write(
                    "bifurk: {} runs unwatched: {}: {}\n".format(
                        sys.executable, type(error).__name__, error
                    )
                )
        except Exception:  # closed, full, or the script's own object
            pass


def _run_hidden():
    """The ``sitecustomize`` that this one stands in front of, if there is one."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder for folder in sys.path if folder != here]
    if PathFinder is None:
        import imp  # type: ignore[import-not-found]

        try:
            found = imp.find_module("sitecustomize", sys.path)
        except ImportError:
            return
        imp.load_module("sitecustomize", *found)
        return
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if PathFinder is not None:
    sys.meta_path.insert(0, _AfterTorch())
_run_hidden()
