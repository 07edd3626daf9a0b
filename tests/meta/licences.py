"""Fails unless every runtime dependency, direct or not, has a licence we may build on."""

import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

ALLOWED = re.compile(
    r"MIT|BSD|Apache|PSF|Python Software Foundation|MPL|Mozilla|ISC|0BSD|Unlicense|CC0|Zlib|HPND"
)
FORBIDDEN = re.compile(r"GPL|General Public License|Proprietary")
WEAK_COPYLEFT = re.compile(r"LGPL|Lesser General Public License")
REPLACEABLE = (
    "optional (the extra postgres), unmodified, and imported by SQLAlchemy only where a database "
    "URL names it: whoever installs it can replace it, which is what the LGPL asks for"
)
EXCEPTIONS = {"psycopg": REPLACEABLE, "psycopg-binary": REPLACEABLE}
"""Why these may be used though they are under the LGPL; no other package may, nor these under
another licence."""


def runtime_distributions() -> dict[str, Distribution]:
    """bifurk's dependencies, those of every extra among them, with all of theirs, by name."""
    found: dict[str, Distribution] = {}
    product = distribution("bifurk")
    extras = product.metadata.get_all("Provides-Extra") or []
    wanted = [
        requirement
        for requirement in map(Requirement, product.requires or [])
        if _applies(requirement, extras)
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


def is_allowed(name: str, licence: str) -> bool:
    """Whether a package of this name and licence may be depended on."""
    if name in EXCEPTIONS:
        return WEAK_COPYLEFT.search(licence) is not None
    return ALLOWED.search(licence) is not None and FORBIDDEN.search(licence) is None


def main() -> int:
    """Prints what is not allowed, and exceptions that nothing needs; 0 when there are none."""
    packages = runtime_distributions()
    wrong = [
        f"licence not allowed: {name}: {licence_of(package) or 'no licence stated'}"
        for name, package in sorted(packages.items())
        if not is_allowed(name, licence_of(package))
    ]
    wrong += [f"no longer depended on: {name}" for name in sorted(EXCEPTIONS.keys() - packages)]
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
