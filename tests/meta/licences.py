"""Fails unless every runtime dependency, direct or not, has a licence we may build on."""

import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

EXTRAS = ("service", "export")
ALLOWED = re.compile(
    r"MIT|BSD|Apache|PSF|Python Software Foundation|MPL|Mozilla|ISC|0BSD|Unlicense|CC0|Zlib|HPND"
)
FORBIDDEN = re.compile(r"\bA?GPL|General Public License(?!.*Lesser)|Proprietary")


def runtime_distributions() -> dict[str, Distribution]:
    """bifurk's dependencies with all of theirs, by name."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(text) for text in distribution("bifurk").requires or []]
    wanted = [
        r for r in waiting if not r.marker or any(r.marker.evaluate({"extra": e}) for e in EXTRAS)
    ]
    while wanted:
        requirement = wanted.pop()
        name = requirement.name.lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"{name} is a runtime dependency and not installed")
        for text in found[name].requires or []:
            child = Requirement(text)
            if _applies(child, requirement.extras):
                wanted.append(child)
    return found


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in [*extras, ""])


def licence_of(package: Distribution) -> str:
    """What a package says of its licence."""
    metadata = package.metadata
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License")]
    words = [metadata.get("License-Expression") or "", (metadata.get("License") or "")[:200]]
    return " | ".join(word for word in [*words, *classifiers] if word)


def main() -> int:
    """Prints what is not allowed; 0 when all is."""
    refused = [
        f"{name}: {licence_of(package) or 'no licence stated'}"
        for name, package in sorted(runtime_distributions().items())
        if not ALLOWED.search(licence_of(package)) or FORBIDDEN.search(licence_of(package))
    ]
    for line in refused:
        sys.stderr.write(f"licence not allowed: {line}\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
