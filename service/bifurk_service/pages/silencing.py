"""The rule that would keep alerts like one from people, as the alerts file takes it."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import takewhile

import yaml

ANYTHING = "*"
WILD = "[*?"
"""What a glob does not take as it stands."""


def silencing_rule(*, kind: str, project: str, run: str, tensors: Sequence[str]) -> str:
    """A rule as YAML: this kind, in this run, where no other tensor than like these is named."""
    match = {"kind": kind, "project": literal(project), "run": literal(run)}
    glob = glob_of(tensors)
    if glob not in ("", ANYTHING):
        match["tensor"] = glob
    named = f"{kind} in {run} is expected"
    document = {"rules": [{"name": named, "match": match, "action": "silence"}]}
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
    return text


def glob_of(names: Sequence[str]) -> str:
    """A glob that matches all of some names: what they begin and end with, part by part.

    >>> glob_of(["blocks.2.attention.qkv.weight", "blocks.2.mlp.up.weight"])
    'blocks.2.*.weight'
    >>> glob_of(["blocks.0.mlp.up.weight", "blocks.1.mlp.up.weight"])
    'blocks.*.mlp.up.weight'
    """
    parts = [name.split(".") for name in dict.fromkeys(names)]
    if len(parts) < 2:
        return literal(names[0]) if names else ""
    first = _common(parts)
    rest = [one[len(first) :] for one in parts]
    last = _common([one[::-1] for one in rest])[::-1]
    glob = ".".join([*map(literal, first), ANYTHING, *map(literal, last)])
    if all(fnmatchcase(name, glob) for name in names):
        return glob
    return ".".join(map(literal, first)) + ANYTHING


def _common(parts: Sequence[Sequence[str]]) -> list[str]:
    """What all of some lists begin with."""
    same = takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))
    return [column[0] for column in same]


def literal(name: str) -> str:
    """A glob that matches this name alone."""
    return "".join(f"[{letter}]" if letter in WILD else letter for letter in name)
